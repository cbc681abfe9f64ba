"""What one look at Redis found: plain values, ready to be shown by anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from jobtelemetry.outcomes import State


class Series(NamedTuple):
    """The label set that every job family shares."""

    worker: str
    queue: str
    source: str = ""


class Exemplar(NamedTuple):
    """A recent sampled execution behind a series.

    ``value`` is in the family's unit (seconds, or 1 for a counter); ``timestamp`` is Unix time in seconds.
    """

    trace_id: str
    span_id: str
    value: float
    timestamp: float


@dataclass(frozen=True)
class Histogram:
    """Observations of one series.

    Args:
        counts: Observations per bucket, *not* cumulative, keyed by the text of the bucket's upper bound
            (``"0.5"``, ``"+Inf"``); buckets without observations are absent.
        sum: The sum of the observations, in seconds.
        created: When the series was first seen, Unix time.
        exemplars: The newest exemplar per bucket.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    sum: float = 0.0
    created: float = 0.0
    exemplars: Mapping[str, Exemplar] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of observations."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Counter:
    """A count, when its series was first seen (Unix time), and the newest exemplar."""

    value: int = 0
    created: float = 0.0
    exemplar: Exemplar | None = None


@dataclass(frozen=True)
class RunningExecution:
    """An execution that started and has not ended.

    Args:
        execution_id: RQ's id of the execution.
        job_id: RQ's id of the job.
        series: Its label set.
        rq_worker: The RQ worker that runs it.
        started_at: Unix time in seconds.
        attempt: 1-based number within its job; 0 if unknown.
        ready_at: When it could run, Unix time; ``None`` if unknown.
        retries_left: What RQ had at the start.
        trace: The trace context of its span, or empty.
    """

    execution_id: str
    job_id: str
    series: Series
    rq_worker: str
    started_at: float
    attempt: int
    ready_at: float | None = None
    retries_left: int = 0
    trace: str = ""


@dataclass(frozen=True)
class QueueState:
    """What RQ holds for one queue.

    ``jobs`` is keyed by the contract's ``QUEUE_STATUSES``; ``blocked`` are deferred jobs that nothing will ever let
    run, ``None`` if nobody looked.
    """

    name: str
    jobs: Mapping[str, int] = field(default_factory=dict)
    oldest_enqueued_at: float | None = None
    overdue_scheduled: int = 0
    scheduler_up: bool = False
    blocked: int | None = None


@dataclass(frozen=True)
class RQWorkerState:
    """One live RQ worker process, and what RQ and jobtelemetry each counted for it.

    ``birth`` is when it was started, Unix time; ``None`` if unknown.
    """

    name: str
    queues: tuple[str, ...] = ()
    status: str = ""
    instrumented: bool = False
    counted_by_rq: int = 0
    recorded: int = 0
    birth: float | None = None

    @property
    def unrecorded(self) -> int:
        """Endings that RQ counted and jobtelemetry did not record; never negative."""
        return max(0, self.counted_by_rq - self.recorded)


_EMPTY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Snapshot:
    """Everything that is exported, as it was at one moment.

    Every known :class:`Series` (``seen``) has all its states in ``executions`` and its entry in ``wait``,
    ``enqueued`` and ``cancelled_unstarted``, at 0 where nothing happened yet.

    Args:
        taken_at: The server's clock, Unix time in seconds.
        seen: Known series and when each was first seen.
        executions: Ended executions by series and state.
        cancellations: By series and reason.
        errors: By series and error type.
        durations: Run time by series and state; only states that occurred.
        waits: Wait by series.
        enqueued: Times a job was put on a queue.
        cancelled_unstarted: Jobs cancelled before they ran.
        last_completed: When a series last completed, Unix time; absent if never.
        running: The running table.
        queues: What RQ holds.
        rate_limited: Jobs that wait for a rate limit, all queues together.
        rq_workers: Live RQ workers.
        handler_errors: Errors in jobtelemetry's hooks, by hook.
        reconciled: Executions counted by the reconciler.
        late: Endings that came after that.
        dropped: Observations that a full family had no room for, by family.
        created: When the first number was written, Unix time; the ``_created`` of counters without labels.
        rate_limited_executions: Executions that failed of a rate limit, by series.
        generation_started: When the present generation of numbers began, Unix time; 0 if there is none.
        counts_lost_at: Since when counts are missing, Unix time; ``None`` if none are known to be.
        counts_lost: How many executions, as far as anybody can know.
        accounts_difference: Executions that the accounts have more (negative: fewer) than the label sets; 0 is health.
        rejected: Values under our keys that are not ours or make no sense.
        clock_skew: Seconds by which a clock differed from Redis's, at most; ``None`` if not known.
    """

    taken_at: float
    seen: Mapping[Series, float] = field(default_factory=dict)
    executions: Mapping[tuple[Series, State], Counter] = field(default_factory=dict)
    cancellations: Mapping[tuple[Series, str], Counter] = field(default_factory=dict)
    errors: Mapping[tuple[Series, str], Counter] = field(default_factory=dict)
    durations: Mapping[tuple[Series, State], Histogram] = field(default_factory=dict)
    waits: Mapping[Series, Histogram] = field(default_factory=dict)
    enqueued: Mapping[Series, Counter] = field(default_factory=dict)
    cancelled_unstarted: Mapping[Series, Counter] = field(default_factory=dict)
    last_completed: Mapping[Series, float] = field(default_factory=dict)
    running: tuple[RunningExecution, ...] = ()
    queues: tuple[QueueState, ...] = ()
    rate_limited: int = 0
    rq_workers: tuple[RQWorkerState, ...] = ()
    handler_errors: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    reconciled: int = 0
    late: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    created: float = 0.0
    rate_limited_executions: Mapping[Series, Counter] = field(default_factory=dict)
    generation_started: float = 0.0
    counts_lost_at: float | None = None
    counts_lost: int = 0
    accounts_difference: int = 0
    rejected: int = 0
    clock_skew: float | None = None

    @property
    def unrecorded(self) -> int:
        """Executions that RQ counted for its live workers and jobtelemetry did not record."""
        return sum(worker.unrecorded for worker in self.rq_workers)

    @property
    def uninstrumented(self) -> int:
        """Live RQ workers whose executions are not recorded."""
        return sum(not worker.instrumented for worker in self.rq_workers)

    @property
    def has_sources(self) -> bool:
        """Whether any series carries a source, so that the label is worth showing."""
        return any(series.source for series in self.seen)
