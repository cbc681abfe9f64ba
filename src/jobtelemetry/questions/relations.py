"""Which jobs belong together, as far as their traces and times tell. Pure.

The log has no parent of a job, but it has the trace. A job that became ready while another one of the same trace ran
was enqueued by it, or by something else that ran at that time: where only one ran it is the parent, where several did
each is a candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobtelemetry.questions.entries import LogEntry

#: Seconds by which clocks of two processes, and what is measured before and after a job ran, may disagree.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Relations:
    """The relatives of a job.

    Args:
        parents: Executions that ran when it became ready; more than one where traces do not tell which it was.
        children: Executions that became ready while it ran.
        family: How many executions of other jobs share its trace.
    """

    parents: tuple[LogEntry, ...] = ()
    children: tuple[LogEntry, ...] = ()
    family: int = 0


def relatives(attempts: Sequence[LogEntry], others: Iterable[LogEntry]) -> Relations:
    """Find the relatives of a job.

    Args:
        attempts: The job's own entries, the oldest first.
        others: All entries of the log; those of other jobs and traces are passed over.
    """
    traces = {entry.trace for entry in attempts if entry.trace}
    job = attempts[0].job if attempts else ""
    family = [entry for entry in others if entry.trace in traces and entry.job != job]
    parents = [entry for entry in family if _enqueued(entry, attempts[0])]
    children = [entry for entry in family if any(_enqueued(attempt, entry) for attempt in attempts)]
    by_start = sorted(children, key=lambda entry: (entry.started_at or 0.0, entry.job))
    return Relations(tuple(parents), tuple(by_start), len(family))


def _enqueued(one: LogEntry, other: LogEntry) -> bool:
    """Whether ``one`` was running when ``other`` became ready."""
    began, ready = one.started_at, other.ready_at
    return began is not None and ready is not None and began - TOLERANCE <= ready <= one.ended_at + TOLERANCE
