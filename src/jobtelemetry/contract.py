"""The metric contract: every family, with its type, labels, help and buckets.

The exporter, the dashboards, the rules and the metric reference are made from this module. Base unit is the
second; moments are exported as timestamps, never as ages; a label is always an identifier of bounded number.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

#: The label value of a label set that a full family had no room for.
OTHER = "__other__"

#: The label value under which label sets that have been idle for long keep their sums.
RETIRED = "__retired__"

#: The label of everything that an exporter shows, where it reads several Redis servers: the server's name.
REDIS = "redis"

#: Upper bounds in seconds. From one poll of a cache to the longest job that anybody lets run.
DURATION_BUCKETS: tuple[float, ...] = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    14400.0,
)  # fmt: skip

#: Upper bounds in seconds: a queue is healthy below a second and on fire above an hour.
WAIT_BUCKETS: tuple[float, ...] = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0,
    86400.0,
)  # fmt: skip

#: What ``status`` can be in ``jobtelemetry_queue_jobs``: RQ's job statuses and registries.
QUEUE_STATUSES: tuple[str, ...] = (
    "queued",
    "intermediate",
    "started",
    "scheduled",
    "deferred",
    "ready_to_enqueue",
    "rate_limited",
    "finished",
    "failed",
    "canceled",
)

#: What ``status`` can be in ``jobtelemetry_rq_workers``: RQ's worker states.
RQ_WORKER_STATUSES: tuple[str, ...] = ("started", "idle", "busy", "suspended")


#: What ``status`` can be in ``jobtelemetry_rate_limit_jobs``.
RATE_LIMIT_STATUSES: tuple[str, ...] = ("held", "allowed")

#: What ``hook`` can be in ``jobtelemetry_handler_errors_total``: where in jobtelemetry an error can happen.
HOOKS: tuple[str, ...] = (
    "enqueue",
    "label",
    "start",
    "fork",
    "trace",
    "classify",
    "record",
    "cancel",
    "tell",
    "settle",
    "reconcile",
    "flush",
    "probe",
    "register",
    "redis",
    "sink_logsink",
    "sink_sentrysink",
    "sink_tracingsink",
    "sink_callbacksink",
)


class Kind(str, Enum):
    """A Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Family:
    """One metric family.

    Args:
        name: The full name as Prometheus shows it (counters with ``_total``).
        kind: The type.
        help: One sentence, for ``# HELP`` and the metric reference.
        labels: Label names in order.
        buckets: Upper bounds without ``+Inf``; only for histograms.
        exemplars: Whether a series can carry the trace of a recent execution.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplars: bool = False


_JOB = ("worker", "queue")

JOB_EXECUTIONS = Family(
    "jobtelemetry_job_executions_total",
    Kind.COUNTER,
    "Executions that ended, by how they ended; each is counted exactly once.",
    (*_JOB, "state"),
    exemplars=True,
)
JOB_CANCELLATIONS = Family(
    "jobtelemetry_job_cancellations_total",
    Kind.COUNTER,
    "Executions that the job cancelled on purpose, by the reason it gave.",
    (*_JOB, "reason"),
)
JOB_ERRORS = Family(
    "jobtelemetry_job_errors_total",
    Kind.COUNTER,
    "Executions that ended in failure or discard, by exception class or kind of death.",
    (*_JOB, "error_type"),
)
JOB_RATE_LIMITED = Family(
    "jobtelemetry_job_rate_limited_total",
    Kind.COUNTER,
    "Executions that ended in failure or discard because of somebody's rate limit, whatever the exception is called.",
    _JOB,
)
JOB_DURATION = Family(
    "jobtelemetry_job_duration_seconds",
    Kind.HISTOGRAM,
    "How long an execution ran; an abandoned one has no known end and is not observed.",
    (*_JOB, "state"),
    DURATION_BUCKETS,
    exemplars=True,
)
JOB_WAIT = Family(
    "jobtelemetry_job_wait_seconds",
    Kind.HISTOGRAM,
    "From when a job could run (an intended delay is not counted) to its start.",
    _JOB,
    WAIT_BUCKETS,
)
JOBS_ENQUEUED = Family(
    "jobtelemetry_jobs_enqueued_total",
    Kind.COUNTER,
    "Times a job was put on its queue by an instrumented process; retries and repeats are counted too.",
    _JOB,
)
JOBS_CANCELLED_UNSTARTED = Family(
    "jobtelemetry_jobs_cancelled_unstarted_total",
    Kind.COUNTER,
    "Jobs cancelled with job.cancel() before they ran.",
    _JOB,
)
JOB_LAST_COMPLETED = Family(
    "jobtelemetry_job_last_completed_timestamp_seconds",
    Kind.GAUGE,
    "When an execution last completed, in Unix time.",
    _JOB,
)
JOB_CPU = Family(
    "jobtelemetry_job_cpu_seconds_total",
    Kind.COUNTER,
    "Processor time that executions took, of their work-horses and of the programs that these started; absent where "
    "it is not measured.",
    _JOB,
)
JOB_PEAK_MEMORY = Family(
    "jobtelemetry_job_peak_memory_bytes",
    Kind.GAUGE,
    "By how much an execution's work-horse grew at most, the largest of the last two hours in which any ran, also of "
    "one that was killed; absent where it is not measured.",
    _JOB,
)
JOB_MEMORY_LIMIT = Family(
    "jobtelemetry_job_memory_limit_bytes",
    Kind.GAUGE,
    "What a job can take before the control group of an RQ worker of this queue is full: its memory.max, less what "
    "the RQ worker held when it started; absent where there is no limit.",
    ("queue",),
)
EXECUTIONS_RUNNING = Family(
    "jobtelemetry_executions_running",
    Kind.GAUGE,
    "Executions that started and have not ended.",
    _JOB,
)
EXECUTION_OLDEST_START = Family(
    "jobtelemetry_execution_oldest_start_timestamp_seconds",
    Kind.GAUGE,
    "When the longest-running execution started, in Unix time; absent where nothing runs.",
    _JOB,
)
QUEUE_JOBS = Family(
    "jobtelemetry_queue_jobs",
    Kind.GAUGE,
    "Jobs that RQ holds, by queue and status; rate_limited is known for all queues together and has queue=''.",
    ("queue", "status"),
)
QUEUE_OLDEST_JOB = Family(
    "jobtelemetry_queue_oldest_job_timestamp_seconds",
    Kind.GAUGE,
    "When the job at the head of the queue was enqueued, in Unix time; absent where the queue is empty.",
    ("queue",),
)
QUEUE_OVERDUE_SCHEDULED = Family(
    "jobtelemetry_queue_overdue_scheduled_jobs",
    Kind.GAUGE,
    "Scheduled jobs whose time has come and that no scheduler has moved to the queue.",
    ("queue",),
)
QUEUE_BLOCKED_JOBS = Family(
    "jobtelemetry_queue_blocked_jobs",
    Kind.GAUGE,
    "Deferred jobs that will never run by themselves: a job that they depend on was cancelled, failed for good or is "
    "gone; absent where it is not known.",
    ("queue",),
)
RQ_WORKERS = Family(
    "jobtelemetry_rq_workers",
    Kind.GAUGE,
    "Live RQ worker processes, by queue they listen on and status.",
    ("queue", "status"),
)
RQ_WORKER_PROCESSES = Family(
    "jobtelemetry_rq_worker_processes",
    Kind.GAUGE,
    "Live RQ worker processes by status, each counted once however many queues it listens on.",
    ("status",),
)
RQ_WORKER_NEWEST_BIRTH = Family(
    "jobtelemetry_rq_worker_newest_birth_timestamp_seconds",
    Kind.GAUGE,
    "When the youngest live RQ worker of this queue was started, in Unix time; absent where it is not known.",
    ("queue",),
)
RQ_WORKER_LONGEST_IDLE = Family(
    "jobtelemetry_rq_worker_longest_idle_timestamp_seconds",
    Kind.GAUGE,
    "Since when the RQ worker of this queue that has been waiting longest for a job has done so, in Unix time; absent "
    "where none waits.",
    ("queue",),
)
RATE_LIMIT_JOBS = Family(
    "jobtelemetry_rate_limit_jobs",
    Kind.GAUGE,
    "Jobs of a RateLimit of RQ's: those that it holds back, and those that it has let through, which are queued or "
    "run; of the limits that hold most.",
    ("rate_limit", "status"),
)
RATE_LIMIT_OLDEST_JOB = Family(
    "jobtelemetry_rate_limit_oldest_job_timestamp_seconds",
    Kind.GAUGE,
    "Since when a RateLimit of RQ's has been holding back the job that it has held longest, in Unix time; absent where "
    "it holds none.",
    ("rate_limit",),
)
RQ_WORKERS_UNINSTRUMENTED = Family(
    "jobtelemetry_rq_workers_uninstrumented",
    Kind.GAUGE,
    "Live RQ workers whose executions are not recorded: a blind spot unless 0.",
)
QUEUE_RQ_WORKERS_UNINSTRUMENTED = Family(
    "jobtelemetry_queue_rq_workers_uninstrumented",
    Kind.GAUGE,
    "Live RQ workers that listen on this queue and whose executions are not recorded; where they are all of them, "
    "nothing that runs there is.",
    ("queue",),
)
UNRECORDED_EXECUTIONS = Family(
    "jobtelemetry_unrecorded_executions",
    Kind.GAUGE,
    "Executions that RQ counted for its live workers and jobtelemetry did not record: a blind spot unless 0.",
)
COUNTS_LOST_AT = Family(
    "jobtelemetry_counts_lost_timestamp_seconds",
    Kind.GAUGE,
    "Since when counts are missing because jobtelemetry's keys in Redis were lost, evicted or replaced by an older "
    "state, in Unix time; absent if they never were.",
)
COUNTS_LOST = Family(
    "jobtelemetry_counts_lost_executions",
    Kind.GAUGE,
    "How many executions are missing in the counters for that reason, as far as it is known.",
)
GENERATION_STARTED = Family(
    "jobtelemetry_generation_started_timestamp_seconds",
    Kind.GAUGE,
    "When the present generation of numbers began, in Unix time: nothing of it was lost since.",
)
ACCOUNTS_DIFFERENCE = Family(
    "jobtelemetry_accounts_difference_executions",
    Kind.GAUGE,
    "Executions in the accounts of RQ workers minus those in the counters, which have two entries each: a fault "
    "unless 0.",
)
VALUES_REJECTED = Family(
    "jobtelemetry_values_rejected",
    Kind.GAUGE,
    "Values under jobtelemetry's keys in Redis that are not ours or make no sense, and are passed over.",
)
CLOCK_SKEW = Family(
    "jobtelemetry_clock_skew_seconds",
    Kind.GAUGE,
    "By how much the worst clock of a host that runs RQ workers or enqueues is ahead of Redis's (negative: behind); "
    "absent where none is known to differ by more than a second.",
)
SCHEDULER_UP = Family(
    "jobtelemetry_scheduler_up",
    Kind.GAUGE,
    "Whether an RQ scheduler holds the lock of this queue.",
    ("queue",),
)
HANDLER_ERRORS = Family(
    "jobtelemetry_handler_errors_total",
    Kind.COUNTER,
    "Errors inside jobtelemetry's own hooks; the job was not affected.",
    ("hook",),
)
EXECUTIONS_RECONCILED = Family(
    "jobtelemetry_executions_reconciled_total",
    Kind.COUNTER,
    "Executions counted by the reconciler because nothing else reported their end.",
)
EXECUTIONS_LATE = Family(
    "jobtelemetry_executions_late_total",
    Kind.COUNTER,
    "Endings reported after the execution had been counted as abandoned; not counted again.",
)
SERIES_DROPPED = Family(
    "jobtelemetry_series_dropped_total",
    Kind.COUNTER,
    "Observations counted under '__other__' because the family was full; of a gauge of your own they are left out.",
    ("family",),
)
DEPLOY_INFO = Family(
    "jobtelemetry_deploy_info",
    Kind.GAUGE,
    "The version of the application that was deployed last; always 1, absent where nobody says.",
    ("version",),
)
DEPLOYED_AT = Family(
    "jobtelemetry_deploy_timestamp_seconds",
    Kind.GAUGE,
    "When a version of the application began to run, in Unix time; the last ten versions.",
    ("version",),
)
OWN_UNWRITTEN = Family(
    "jobtelemetry_own_metrics_unwritten_executions_total",
    Kind.COUNTER,
    "Executions that measured something in metrics of your own and whose work-horse was killed before it was written.",
)
OWN_LEFT_OUT = Family(
    "jobtelemetry_own_metrics_left_out_observations_total",
    Kind.COUNTER,
    "Observations in metrics of your own that a process had no room for, or that were no finite number.",
)
OWN_UNSERVED = Family(
    "jobtelemetry_own_metrics_unserved_series",
    Kind.GAUGE,
    "Series of metrics of your own that are kept and not shown, because a metric of that name has another type: here, "
    "or on another Redis server of this exporter.",
)
RECONCILER_UP = Family(
    "jobtelemetry_reconciler_up",
    Kind.GAUGE,
    "Whether this exporter can count executions that were abandoned: it may write to Redis; absent where it does not "
    "try.",
)
UP = Family(
    "jobtelemetry_up",
    Kind.GAUGE,
    "Whether Redis could be read for this scrape, or answers while everything is still being read for the first time.",
)
LABEL_SETS = Family(
    "jobtelemetry_label_sets",
    Kind.GAUGE,
    "Label sets that Redis has: each worker and queue, with the extra labels, is one.",
)
LABEL_SETS_READ = Family(
    "jobtelemetry_label_sets_read",
    Kind.GAUGE,
    "How many of them this exporter has read. They are fewer while it reads everything for the first time and that "
    "takes longer than a scrape: until it has read all of them, its answers have no other numbers.",
)
SCRAPE_DURATION = Family("jobtelemetry_scrape_duration_seconds", Kind.GAUGE, "How long this scrape took to read Redis.")
BUILD_INFO = Family("jobtelemetry_build_info", Kind.GAUGE, "The version of jobtelemetry; always 1.", ("version",))

FAMILIES: tuple[Family, ...] = (
    JOB_EXECUTIONS,
    JOB_CANCELLATIONS,
    JOB_ERRORS,
    JOB_RATE_LIMITED,
    JOB_DURATION,
    JOB_WAIT,
    JOBS_ENQUEUED,
    JOBS_CANCELLED_UNSTARTED,
    JOB_LAST_COMPLETED,
    JOB_CPU,
    JOB_PEAK_MEMORY,
    JOB_MEMORY_LIMIT,
    EXECUTIONS_RUNNING,
    EXECUTION_OLDEST_START,
    QUEUE_JOBS,
    QUEUE_OLDEST_JOB,
    QUEUE_OVERDUE_SCHEDULED,
    QUEUE_BLOCKED_JOBS,
    RQ_WORKERS,
    RQ_WORKER_PROCESSES,
    RQ_WORKER_NEWEST_BIRTH,
    RQ_WORKER_LONGEST_IDLE,
    RATE_LIMIT_JOBS,
    RATE_LIMIT_OLDEST_JOB,
    RQ_WORKERS_UNINSTRUMENTED,
    QUEUE_RQ_WORKERS_UNINSTRUMENTED,
    UNRECORDED_EXECUTIONS,
    COUNTS_LOST_AT,
    COUNTS_LOST,
    GENERATION_STARTED,
    ACCOUNTS_DIFFERENCE,
    VALUES_REJECTED,
    CLOCK_SKEW,
    SCHEDULER_UP,
    HANDLER_ERRORS,
    EXECUTIONS_RECONCILED,
    EXECUTIONS_LATE,
    SERIES_DROPPED,
    DEPLOY_INFO,
    DEPLOYED_AT,
    OWN_UNWRITTEN,
    OWN_LEFT_OUT,
    OWN_UNSERVED,
    RECONCILER_UP,
    UP,
    LABEL_SETS,
    LABEL_SETS_READ,
    SCRAPE_DURATION,
    BUILD_INFO,
)


def le(value: float, buckets: tuple[float, ...]) -> str:
    """The ``le`` label of the bucket that a value falls into.

    Args:
        value: The observation, in the unit of the buckets.
        buckets: Upper bounds in ascending order, without ``+Inf``.

    Returns:
        The smallest bound that is not below the value, as text, or ``"+Inf"``.
    """
    index = bisect_left(buckets, value)
    return repr(buckets[index]) if index < len(buckets) else "+Inf"


def series_per_row(family: Family) -> int:
    """Series that a family makes of one set of its labels: the value, when it began, and what a histogram has."""
    if family.kind is Kind.HISTOGRAM:
        return len(family.buckets) + 4  # +Inf, count, sum, created
    return 2 if family.kind is Kind.COUNTER else 1


def series_of_label_set(
    states: int, duration: Family = JOB_DURATION, wait: Family = JOB_WAIT, durations: int | None = None
) -> int:
    """Series that a worker on a queue makes which has ended in so many states, without reasons and error types.

    Args:
        states: The states.
        duration: The family of run times with the buckets that are shown.
        wait: The family of waits with the buckets that are shown.
        durations: Histograms of run times; one for each state by default.
    """
    rows = {JOB_EXECUTIONS: states, JOB_DURATION: states if durations is None else durations}
    shown = {JOB_DURATION: duration, JOB_WAIT: wait}
    families = [family for family in FAMILIES if family.labels == _JOB] + list(rows)
    return sum(rows.get(family, 1) * series_per_row(shown.get(family, family)) for family in families)


def coarse(buckets: tuple[float, ...]) -> tuple[float, ...]:
    """Every third bucket, each of them one of the given, so that counts stay exact."""
    return buckets[2::3]
