"""What one look at Redis found: plain values, ready to be shown by anything."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from jobtelemetry.contract import Kind
from jobtelemetry.outcomes import State
from jobtelemetry.store.listeners import Listeners, by_queue

K = TypeVar("K")
V = TypeVar("V")


class Series(NamedTuple):
    """The label set that every job family shares; ``extra`` has the further labels that carry a value, by name."""

    worker: str
    queue: str
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> str:
        """The extra label ``source``; empty without."""
        return dict(self.extra).get("source", "")


class Deploy(NamedTuple):
    """A version of the application, when it began to run (Unix time in seconds), and who said so."""

    version: str
    at: float
    by: str = ""


class Progress(NamedTuple):
    """How many label sets a reader has read, and how many there are; fewer while it reads all for the first time."""

    read: int
    of: int


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

    @classmethod
    def together(cls, parts: Iterable[Histogram]) -> Histogram:
        """One of all observations of these, in whatever order they come."""
        parts = tuple(parts)
        counts: Tally[str] = Tally()
        for one in parts:
            counts.update(one.counts)
        # By age, so that the newest of each bucket stays.
        exemplars = sorted(
            (exemplar.timestamp, bound, exemplar) for one in parts for bound, exemplar in one.exemplars.items()
        )
        return cls(
            dict(counts),
            fsum(one.sum for one in parts),  # the same in any order: a sum never falls by what was rounded
            min((one.created for one in parts if one.created), default=0.0),
            {bound: exemplar for _, bound, exemplar in exemplars},
        )


@dataclass(frozen=True)
class Counter:
    """A count, when its series was first seen (Unix time), and the newest exemplar."""

    value: int = 0
    created: float = 0.0
    exemplar: Exemplar | None = None


@dataclass(frozen=True)
class Amount:
    """What was used up, in the family's unit, and when its series was first seen (Unix time)."""

    value: float = 0.0
    created: float = 0.0
    exemplar: None = None


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
        wait: Seconds from when it could run to its start; ``None`` if unknown.
        retries_left: What RQ had at the start.
        trace: The trace context of its span, or empty.
        account: What its RQ worker is called in the accounts, if not by its name.
    """

    execution_id: str
    job_id: str
    series: Series
    rq_worker: str
    started_at: float
    attempt: int
    wait: float | None = None
    retries_left: int = 0
    trace: str = ""
    account: str = ""


@dataclass(frozen=True)
class QueueState:
    """What RQ holds for one queue.

    ``jobs`` is keyed by the contract's ``QUEUE_STATUSES``; ``blocked`` are deferred jobs that nothing will ever let
    run, ``None`` if nobody looked; ``blocked_by`` has a few of them and what they wait for:
    ``"id waits for id (failed)"``.
    """

    name: str
    jobs: Mapping[str, int] = field(default_factory=dict)
    oldest_enqueued_at: float | None = None
    overdue_scheduled: int = 0
    scheduler_up: bool = False
    blocked: int | None = None
    blocked_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateLimitState:
    """One rate limit of RQ's.

    Args:
        key: Its name.
        slots: How many of its jobs may be queued or run at the same time; 0 if RQ does not say.
        allowed: How many it has let through, which are queued or run.
        allowed_jobs: A few of these.
        held: How many it holds back.
        oldest: Since when the first of them, Unix time; ``None`` if none is held.
    """

    key: str
    slots: int = 0
    allowed: int = 0
    allowed_jobs: tuple[str, ...] = ()
    held: int = 0
    oldest: float | None = None


@dataclass(frozen=True)
class WrongClock:
    """A clock that differs from Redis's by more than a second.

    Args:
        kind: Who dates with it: ``rq_worker``, ``producer``, or ``jobs`` of a queue, whose producers are not
            instrumented and do not say who they are.
        who: The RQ worker's name, the producer's process, or the queue.
        host: Where that runs; empty if nobody says.
        ahead: Seconds by which it is ahead of Redis's; negative where it is behind.
    """

    kind: str
    who: str
    host: str
    ahead: float

    @property
    def where(self) -> str:
        """Whose clock it is, in words: ``web-1, where process 12 enqueues,``."""
        host = self.host or "an unknown host"
        if self.kind == "rq_worker":
            return f"{host}, where RQ worker {self.who} runs,"
        return (
            f"{host}, where process {self.who} enqueues,"
            if self.kind == "producer"
            else f"whoever enqueues on {self.who}"
        )


@dataclass(frozen=True)
class RQWorkerState:
    """One live RQ worker process: what RQ counted for it, and what its account has.

    Args:
        name: Its name; its whole key in Redis where its class has a prefix of its own.
        queues: What it listens on.
        status: RQ's state of it.
        instrumented: Whether its executions are recorded.
        succeeded_by_rq: Endings that RQ counted as successful.
        failed_by_rq: Endings that RQ counted as failed.
        succeeded: Of those, what its account has.
        failed: Of those, what its account has.
        versions: What it says of itself: the versions of ``jobtelemetry``, ``rq`` and ``redis`` (redis-py), and of
            the application (``app``) where it is told.
        missing: Hooks that its RQ does not have, so that it cannot be recorded.
        lacking: Other hooks that its RQ does not have: it is recorded, with fewer labels or spans.
        untested: Whether its RQ is newer than its jobtelemetry was tested with.
        birth: When it started, Unix time by its own clock; ``None`` if RQ does not say.
        heartbeat: When it last told RQ that it lives, in the same way.
        host: Where it runs; empty if RQ does not say.
        uncounted_by_rq: Executions in its account that RQ does not count, such as cancelled ones.
        idle_since: Since when it has been waiting for a job, Unix time; ``None`` if it works, or nobody knows.
        memory_limit: Bytes that a job of it can take before its control group is full; ``None`` if not known.
    """

    name: str
    queues: tuple[str, ...] = ()
    status: str = ""
    instrumented: bool = False
    succeeded_by_rq: int = 0
    failed_by_rq: int = 0
    succeeded: int = 0
    failed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    untested: bool = False
    birth: float | None = None
    heartbeat: float | None = None
    host: str = ""
    uncounted_by_rq: int = 0
    idle_since: float | None = None
    memory_limit: int | None = None

    @property
    def counted_by_rq(self) -> int:
        """Endings that RQ counted."""
        return self.succeeded_by_rq + self.failed_by_rq

    @property
    def recorded(self) -> int:
        """Endings that the account has, of those that RQ counts."""
        return self.succeeded + self.failed

    @property
    def unrecorded(self) -> int:
        """Endings that RQ counted and jobtelemetry did not, successes and failures each; never negative."""
        return max(0, self.succeeded_by_rq - self.succeeded) + max(0, self.failed_by_rq - self.failed)


@dataclass(frozen=True)
class LabelSet:
    """Everything that is counted for one :class:`Series`. Only what occurred is in the mappings.

    ``cpu`` is processor time in seconds, ``peak_memory`` the largest recent peak in bytes; ``None`` as long as neither
    was measured.
    """

    series: Series
    created: float = 0.0
    changed: float = 0.0
    executions: Mapping[State, Counter] = field(default_factory=dict)
    cancellations: Mapping[str, Counter] = field(default_factory=dict)
    errors: Mapping[str, Counter] = field(default_factory=dict)
    durations: Mapping[State, Histogram] = field(default_factory=dict)
    wait: Histogram = field(default_factory=Histogram)
    enqueued: int = 0
    unstarted: int = 0
    limited: int = 0
    last_completed: float | None = None
    cpu: float | None = None
    peak_memory: int | None = None

    @property
    def ended(self) -> int:
        """Executions that ended."""
        return sum(counter.value for counter in self.executions.values())


class OwnExemplar(NamedTuple):
    """A recent exemplar of a user's own metric: its labels, the value, and when, Unix time in seconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp: float


@dataclass(frozen=True)
class OwnSeries:
    """One series of a user's own metric.

    Args:
        labels: Names and values.
        value: What a counter or a gauge has.
        counts: A histogram's observations per bucket, *not* cumulative, by the text of the upper bound.
        sum: The sum of a histogram's observations.
        observations: How many calls it is made of.
        created: When it was first written, Unix time.
        exemplars: The newest ones: a counter's under ``""``, a histogram's by bucket.
    """

    labels: tuple[tuple[str, str], ...]
    value: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    sum: float = 0.0
    observations: int = 0
    created: float = 0.0
    exemplars: Mapping[str, OwnExemplar] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnFamily:
    """One of users' own metrics.

    Args:
        name: The full name; a counter's with ``_total``.
        kind: Its type.
        help: What it says of itself.
        unit: Its unit, or nothing.
        buckets: The texts of a histogram's upper bounds, as the newest definition has them, with ``+Inf``.
        series: Its series, sorted; one that did not change since the reader's last look is the same object.
        unserved: Series that are kept and not shown, because they are of another type or would clash with others.
        definitions: In how many ways it has been defined.
    """

    name: str
    kind: Kind
    help: str = ""
    unit: str = ""
    buckets: tuple[str, ...] = ()
    series: tuple[OwnSeries, ...] = ()
    unserved: int = 0
    definitions: int = 1

    @property
    def family(self) -> str:
        """The name without ``_total``."""
        return self.name.removesuffix("_total") if self.kind is Kind.COUNTER else self.name


class Merged(Mapping[K, V]):
    """A mapping that is put together when it is first asked: most readers want a few of them, or none."""

    def __init__(self, make: Callable[[], dict[K, V]]) -> None:
        self._make = make
        self._made: dict[K, V] | None = None

    def _all(self) -> dict[K, V]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: K) -> V:
        return self._all()[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


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
        rate_limits: RQ's rate limits, those that hold most jobs back first.
        rq_workers: Live RQ workers.
        handler_errors: Errors in jobtelemetry's hooks, by hook.
        reconciled: Executions counted by the reconciler.
        late: Endings that came after that.
        dropped: Observations that a full family had no room for, by family.
        created: When the first number was written, Unix time; the ``_created`` of counters without labels.
        cpu: Processor time in seconds, by series; only those for which it was measured.
        peak_memory: The largest recent peak of memory in bytes, by series; only those for which it was measured.
        sets: The label sets that the mappings above are made of; one that did not change since the reader's last
            look is the same object.
        rate_limited_executions: Executions that failed of a rate limit, by series.
        generation_started: When the present generation of numbers began, Unix time; 0 if there is none.
        counts_lost_at: Since when counts are missing, Unix time; ``None`` if none are known to be.
        counts_lost: How many executions, as far as anybody can know.
        counts_lost_why: What was noticed.
        accounts_difference: Executions that the accounts have more (or fewer: negative) than the label sets.
        rejected: Values under our keys that are not ours or make no sense.
        rejected_names: Some of them: key and field.
        clocks: Those that are known to be wrong, the worst first: of live RQ workers, and of who enqueued within the
            last hour.
        deploys: When which version of the application began to run, the oldest first.
        own: Users' own metrics.
        own_missing: Observations in them that are missing.
        own_unwritten: Executions whose observations died with their work-horse.
        own_left_out: Observations that a process had no room for, or that were no finite number.
        own_clashing: Series of users' own metrics that an exporter of several Redis servers does not show, because
            another server has a metric of that name and of another type.
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
    rate_limits: tuple[RateLimitState, ...] = ()
    rq_workers: tuple[RQWorkerState, ...] = ()
    handler_errors: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    reconciled: int = 0
    late: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    created: float = 0.0
    cpu: Mapping[Series, Amount] = field(default_factory=dict)
    peak_memory: Mapping[Series, float] = field(default_factory=dict)
    sets: tuple[LabelSet, ...] = ()
    rate_limited_executions: Mapping[Series, Counter] = field(default_factory=dict)
    generation_started: float = 0.0
    counts_lost_at: float | None = None
    counts_lost: int = 0
    counts_lost_why: str = ""
    accounts_difference: int = 0
    rejected: int = 0
    rejected_names: tuple[str, ...] = ()
    clocks: tuple[WrongClock, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    own: tuple[OwnFamily, ...] = ()
    own_missing: int = 0
    own_unwritten: int = 0
    own_left_out: int = 0
    own_clashing: int = 0

    @cached_property
    def listeners(self) -> Mapping[str, Listeners]:
        """The RQ workers of each queue on which any listens, taken together."""
        return by_queue(self.rq_workers)

    @property
    def rate_limited(self) -> int:
        """Jobs that rate limits hold back, all queues together."""
        return sum(limit.held for limit in self.rate_limits)

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the worst clock is ahead of Redis's (negative: behind); ``None`` if none is known."""
        return self.clocks[0].ahead if self.clocks else None

    @property
    def own_unserved(self) -> int:
        """Series of users' own metrics that are kept and not shown."""
        return self.own_clashing + sum(family.unserved for family in self.own)

    @property
    def proven(self) -> bool:
        """Whether every execution is known to be counted: nothing unrecorded, nothing lost, the books agree."""
        return not (
            self.unrecorded or self.uninstrumented or self.accounts_difference or self.counts_lost_at is not None
        )

    @property
    def unrecorded(self) -> int:
        """Executions that RQ counted for its live workers and jobtelemetry did not record."""
        return sum(worker.unrecorded for worker in self.rq_workers)

    @property
    def uninstrumented(self) -> int:
        """Live RQ workers whose executions are not recorded."""
        return sum(not worker.instrumented for worker in self.rq_workers)

    @property
    def extra_labels(self) -> tuple[str, ...]:
        """The names of the extra labels that any series carries, so that they are worth showing."""
        return tuple(dict.fromkeys(name for series in self.seen for name, _ in series.extra))

    @property
    def has_sources(self) -> bool:
        """Whether any series carries a source, so that the label is worth showing."""
        return "source" in self.extra_labels
