"""What happens on each queue: who listens, what goes in and out, and when it will be empty. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtelemetry.store.snapshot import QueueState, Snapshot


@dataclass(frozen=True)
class Tallies:
    """What had gone in and out of each queue at one moment.

    Args:
        at: Unix time in seconds.
        entered: Times a job was put on it, as far as whoever did so is instrumented.
        ended: Executions of its jobs that ended.
        waiting: Jobs that waited on it.
    """

    at: float
    entered: Mapping[str, int] = field(default_factory=dict)
    ended: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueLine:
    """One queue.

    Args:
        state: What RQ holds.
        listening: Live RQ workers that listen on it.
        rate_in: Jobs put on it per second; ``None`` where no earlier reading is known.
        rate_out: Executions that ended per second; likewise.
        shrinking: Waiting jobs that it had less per second; negative where it grows; likewise.
    """

    state: QueueState
    listening: int = 0
    rate_in: float | None = None
    rate_out: float | None = None
    shrinking: float | None = None

    @property
    def waiting(self) -> int:
        """Jobs that wait on it."""
        return self.state.jobs.get("queued", 0)

    @property
    def drained_in(self) -> float | None:
        """Seconds until nothing waits at the present rate; ``None`` where it does not shrink or nobody knows."""
        if not self.waiting or self.shrinking is None or self.shrinking <= 0:
            return None
        return self.waiting / self.shrinking

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Unix times, seconds, jobs per second."""
        return {
            "queue": self.state.name,
            "jobs": dict(self.state.jobs),
            "oldest_enqueued": self.state.oldest_enqueued_at,
            "overdue_scheduled": self.state.overdue_scheduled,
            "blocked": self.state.blocked,
            "blocked_by": list(self.state.blocked_by),
            "scheduler_up": self.state.scheduler_up,
            "rq_workers": self.listening,
            "rate_in": self.rate_in,
            "rate_out": self.rate_out,
            "drained_in": self.drained_in,
        }


def tally_queues(snapshot: Snapshot) -> Tallies:
    """What has gone in and out so far."""
    entered: Tally[str] = Tally()
    ended: Tally[str] = Tally()
    for series, counter in snapshot.enqueued.items():
        entered[series.queue] += counter.value
    for (series, _), counter in snapshot.executions.items():
        ended[series.queue] += counter.value
    waiting = {queue.name: queue.jobs.get("queued", 0) for queue in snapshot.queues}
    return Tallies(snapshot.taken_at, entered, ended, waiting)


def queue_lines(snapshot: Snapshot, before: Tallies | None = None) -> tuple[QueueLine, ...]:
    """One line per queue, what needs a look first.

    Args:
        snapshot: The state of the moment.
        before: An earlier one, for the rates.
    """
    listening = Tally(queue for worker in snapshot.rq_workers for queue in dict.fromkeys(worker.queues))
    now = tally_queues(snapshot)
    lines = [_line(queue, listening[queue.name], before, now) for queue in snapshot.queues]
    return tuple(sorted(lines, key=_urgency))


def _line(queue: QueueState, listening: int, before: Tallies | None, now: Tallies) -> QueueLine:
    seconds = now.at - before.at if before is not None else 0.0
    if before is None or seconds <= 0:
        return QueueLine(queue, listening)
    name = queue.name
    return QueueLine(
        queue,
        listening,
        rate_in=_risen(before.entered, now.entered, name) / seconds,
        rate_out=_risen(before.ended, now.ended, name) / seconds,
        shrinking=(before.waiting.get(name, 0) - now.waiting.get(name, 0)) / seconds,
    )


def _risen(before: Mapping[str, int], now: Mapping[str, int], name: str) -> int:
    """How much a count has risen; one that fell was begun anew."""
    earlier, later = before.get(name, 0), now.get(name, 0)
    return later - earlier if later >= earlier else later


def _urgency(line: QueueLine) -> tuple[Any, ...]:
    """Those nobody works on, then overdue and blocked jobs, then by the longest wait, the number and the name."""
    unattended = line.waiting > 0 and not line.listening
    oldest = line.state.oldest_enqueued_at or float("inf")
    return (
        not unattended,
        not line.state.overdue_scheduled,
        not line.state.blocked,
        oldest,
        -line.waiting,
        line.state.name.casefold(),
    )
