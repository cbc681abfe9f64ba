"""What the audit says: are all executions recorded, and if not, what is to be done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jobtelemetry.exporter.formats import duration, iso, number
from jobtelemetry.store.snapshot import RQWorkerState, Snapshot, WrongClock

#: Seconds by which a clock may differ before ages and waits mislead, and clocks that are named.
_MOST_SKEW = 2.0
_MOST_NAMED = 3


class Level(str, Enum):
    """How good the news is."""

    GOOD = "good"
    NEUTRAL = "neutral"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Verdict:
    """One judgement: a headline and what stands behind it or is to be done."""

    level: Level
    headline: str
    detail: str = ""


def audit(snapshot: Snapshot) -> Verdict:
    """Compare what RQ counted for its live workers with what was recorded, and ask the books themselves."""
    if snapshot.counts_lost_at is not None:
        return _counts_lost(snapshot)
    if snapshot.unrecorded or snapshot.uninstrumented:
        return _blind_spot(snapshot)
    if snapshot.accounts_difference:
        return _accounts_differ(snapshot.accounts_difference)
    workers = len(snapshot.rq_workers)
    if not workers:
        return Verdict(
            Level.NEUTRAL,
            "No RQ worker is running, so there is nothing to compare",
            "The figures below stay; RQ forgets its own count when a worker leaves." if snapshot.seen else "",
        )
    counted = sum(worker.counted_by_rq for worker in snapshot.rq_workers)
    return Verdict(
        Level.GOOD,
        "Complete: every execution that RQ counted is recorded",
        f"RQ counted {_many(counted, 'execution')} for its {_many(workers, 'live worker')}; all are recorded.",
    )


def remarks(snapshot: Snapshot, reconciler_problem: str = "") -> tuple[Verdict, ...]:
    """What else a reader should know before trusting or judging the figures.

    Args:
        snapshot: The state of the moment.
        reconciler_problem: Why this exporter's reconciler cannot write; empty if it can, or if there is none.
    """
    found = []
    if reconciler_problem:
        found.append(
            Verdict(
                Level.WARNING,
                "This exporter cannot count executions whose RQ worker died",
                f"{reconciler_problem}. One exporter that may write is enough; without one they stay as running.",
            )
        )
    if errors := sum(snapshot.handler_errors.values()):
        hooks = ", ".join(sorted(hook for hook, number in snapshot.handler_errors.items() if number))
        found.append(
            Verdict(
                Level.WARNING,
                f"{_many(errors, 'error')} inside jobtelemetry's own hooks",
                f"In {hooks}; no job was affected. The RQ workers' logs say why.",
            )
        )
    if dropped := sum(snapshot.dropped.values()):
        found.append(
            Verdict(
                Level.WARNING,
                f"{_many(dropped, 'observation')} without a series of their own",
                "They are counted under “all others”. Raise JOBTELEMETRY_MAX_LABEL_SETS, or use fewer names.",
            )
        )
    if wrong := [clock for clock in snapshot.clocks if abs(clock.ahead) >= _MOST_SKEW]:
        named = "; ".join(_how_wrong(clock) for clock in wrong[:_MOST_NAMED])
        more = len(wrong) - _MOST_NAMED
        found.append(
            Verdict(
                Level.WARNING,
                f"{_many(len(wrong), 'wrong clock')}: {named}{f'; and {number(more)} more' if more > 0 else ''}",
                "RQ dates by them, so waits and ages of their jobs are wrong by as much. Keep these clocks by NTP.",
            )
        )
    if snapshot.reconciled:
        found.append(
            Verdict(
                Level.NEUTRAL,
                f"{_many(snapshot.reconciled, 'execution')} counted by the reconciler",
                "Their RQ workers died or were cut off, and nothing else reported the end.",
            )
        )
    return tuple(found)


def suspects(snapshot: Snapshot) -> tuple[RQWorkerState, ...]:
    """The live RQ workers behind a blind spot, the largest gap first."""
    gaps = (worker for worker in snapshot.rq_workers if worker.unrecorded or not worker.instrumented)
    return tuple(sorted(gaps, key=lambda worker: (-worker.unrecorded, worker.name)))


def _counts_lost(snapshot: Snapshot) -> Verdict:
    """Something of the numbers is gone: evicted, deleted, restored from an older state."""
    known = f"at least {_many(snapshot.counts_lost, 'execution')}" if snapshot.counts_lost else "how many is not known"
    since = iso(snapshot.counts_lost_at or 0.0)
    return Verdict(
        Level.BAD,
        f"Blind spot: counts are missing since {since}, {known}",
        f"What was noticed: {snapshot.counts_lost_why}. Look for evictions, a restore or a fail-over of Redis. When "
        "that is understood, “jobtelemetry reset --losses” takes the note away; the numbers do not come back.",
    )


def _accounts_differ(difference: int) -> Verdict:
    """The two entries of the counted executions do not agree."""
    which = "accounts of the RQ workers have more than the figures" if difference > 0 else "figures have more"
    return Verdict(
        Level.BAD,
        f"Blind spot: the books differ by {_many(abs(difference), 'execution')}",
        f"The {which}: somebody edited or deleted keys of jobtelemetry, or Redis restored a part of them. "
        "“jobtelemetry doctor” says more.",
    )


def _blind_spot(snapshot: Snapshot) -> Verdict:
    facts, advice = [], []
    if snapshot.unrecorded:
        facts.append(f"{_many(snapshot.unrecorded, 'execution')} unrecorded")
    if snapshot.uninstrumented:
        facts.append(f"{_many(snapshot.uninstrumented, 'RQ worker')} uninstrumented")
        advice.append(
            "Restart those that are not instrumented with “jobtelemetry worker” or “jobtelemetry worker-pool”, "
            "or call jobtelemetry.instrument() where they are started."
        )
    if snapshot.unrecorded and any(worker.unrecorded for worker in snapshot.rq_workers if worker.instrumented):
        advice.append("For those that are, look for warnings of jobtelemetry in their logs.")
    return Verdict(Level.BAD, f"Blind spot: {', '.join(facts)}", " ".join(advice))


def _how_wrong(clock: WrongClock) -> str:
    return f"{clock.where} is {duration(abs(clock.ahead))} {'ahead of' if clock.ahead > 0 else 'behind'} Redis's"


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
