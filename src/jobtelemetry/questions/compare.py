"""Two stretches of time side by side: did the success ratio or the match ratio of a worker change? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobtelemetry.outcomes import MATCH, RATIOS, State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.proportions import Difference, Proportion, difference


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
