"""Two stretches of time side by side: did the success ratio or the match ratio of a worker change? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobtelemetry.outcomes import MATCH, RATIOS, State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.names import UnknownNameError
from jobtelemetry.questions.proportions import Difference, Proportion, difference
from jobtelemetry.store.snapshot import Deploy

_MOST_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """One ratio of one worker, before and after."""

    worker: str
    ratio: str
    before: Proportion
    after: Proportion
    difference: Difference | None

    @property
    def verdict(self) -> str:
        """``higher``, ``lower``, ``no change shown`` or ``nothing to compare``."""
        if self.difference is None:
            return "nothing to compare"
        if not self.difference.certain:
            return "no change shown"
        return "higher" if self.difference.value > 0 else "lower"


@dataclass(frozen=True)
class Stretches:
    """Two stretches of time, one after the other.

    Args:
        begin: Unix time in seconds at which the older one begins, as the other moments.
        split: Where it ends and the newer one begins.
        end: Where that ends.
        deploy: The deploy that divides them, if one does.
        earlier: Deploys within the older one.
    """

    begin: float
    split: float
    end: float
    deploy: Deploy | None = None
    earlier: tuple[Deploy, ...] = ()


def up_to_now(now: float, before: float, after: float) -> Stretches:
    """The last ``after`` seconds, and the ``before`` seconds before them."""
    return Stretches(now - after - before, now - after, float("inf"))


def around_deploy(deploys: Sequence[Deploy], version: str, before: float, after: float | None = None) -> Stretches:
    """As long as a version ran, and the time before.

    Args:
        deploys: All that are marked, the oldest first.
        version: Whose last deploy divides; empty for the newest of all.
        before: Seconds of the older stretch.
        after: Seconds of the newer one at most; ``None`` for up to the next deploy, or now.

    Raises:
        UnknownNameError: There is no such deploy; the message has those that there are.
    """
    found = [i for i, one in enumerate(deploys) if version in ("", one.version)]
    if not found:
        newest = list(dict.fromkeys(one.version for one in reversed(deploys)))[:_MOST_NAMED]
        raise UnknownNameError(
            f"no deploy of {version!r} is marked; there is {', '.join(newest)}"
            if deploys
            else "no deploy is marked: 'jobtelemetry deploy mark VERSION' marks one, and so do RQ workers that are "
            "told their application's version"
        )
    at = found[-1]
    split = deploys[at].at
    following = [one.at for one in deploys[at + 1 :]]
    end = min(float("inf") if after is None else split + after, *following, float("inf"))
    begin = split - before
    earlier = tuple(one for one in deploys[:at] if one.at > begin)
    return Stretches(begin, split, end, deploys[at], earlier)


def compare(entries: Iterable[LogEntry], split: float, confidence: float = 0.95) -> tuple[Comparison, ...]:
    """Compare what was recorded before a moment with what was recorded from then on.

    Args:
        entries: Of both stretches, in any order.
        split: Unix time in seconds.
        confidence: Of the interval.

    Returns:
        Per worker both ratios, the match ratio only where a job was cancelled, sorted by worker.
    """
    counts: dict[tuple[str, bool, State], int] = {}
    for entry in entries:
        key = (entry.worker, entry.recorded_at >= split, entry.state)
        counts[key] = counts.get(key, 0) + 1
    found = []
    for worker in sorted({worker for worker, _, _ in counts}):
        for ratio in RATIOS:
            before, after = (
                _proportion(*(counts.get((worker, is_after, state), 0) for state in ratio.states))
                for is_after in (False, True)
            )
            other = before.n - before.hits + after.n - after.hits
            if (ratio is MATCH and not other) or not before.n + after.n:
                continue
            found.append(Comparison(worker, ratio.name, before, after, difference(before, after, confidence)))
    return tuple(found)


def _proportion(completed: int, beside: int) -> Proportion:
    return Proportion(completed, completed + beside)
