"""What the audit says: are all executions recorded, and if not, what is to be done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jobtelemetry.exporter.formats import number
from jobtelemetry.store.snapshot import RQWorkerState, Snapshot


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
    """Compare what RQ counted for its live workers with what was recorded."""
    if snapshot.unrecorded or snapshot.uninstrumented:
        return _blind_spot(snapshot)
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


def remarks(snapshot: Snapshot) -> tuple[Verdict, ...]:
    """What else a reader should know before trusting or judging the figures."""
    found = []
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
    if overdue := sum(queue.overdue_scheduled for queue in snapshot.queues):
        found.append(
            Verdict(
                Level.WARNING,
                f"{_many(overdue, 'scheduled job')} overdue",
                "No scheduler moves them to their queue: start a worker with --with-scheduler.",
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


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
