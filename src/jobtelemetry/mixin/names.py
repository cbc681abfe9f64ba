"""Names that dashboards, alerts and tests share: titles, uids, recorded series."""

from __future__ import annotations

from enum import Enum

from jobtelemetry.contract import JOB_EXECUTIONS, Family


class Board(Enum):
    """The dashboards; the value is the end of the uid and of the file name."""

    OVERVIEW = "overview"
    WORKER = "worker"
    PIPELINE = "pipeline"
    QUEUES = "queues"
    HEALTH = "slo"
    EXECUTIONS = "executions"

    @property
    def uid(self) -> str:
        """Stable, so that links and bookmarks survive a rebuild."""
        return f"jobtelemetry-{self.value}"

    @property
    def title(self) -> str:
        """What stands behind the config's prefix."""
        return {
            Board.OVERVIEW: "Overview",
            Board.WORKER: "Worker",
            Board.PIPELINE: "Pipeline",
            Board.QUEUES: "Queues and RQ workers",
            Board.HEALTH: "SLO and telemetry health",
            Board.EXECUTIONS: "Executions in the log",
        }[self]


def jobs_increase(window: str) -> str:
    """Jobs that a worker ended as completed or discard within the window, by state."""
    return increase("worker_state", JOB_EXECUTIONS, window)


def discard_ratio(window: str) -> str:
    """The part of these jobs that was discarded."""
    return f"worker:jobtelemetry_job_discards:ratio{window}"


def increase(labels: str, family: Family, window: str) -> str:
    """By how much a counter grew within the window, exactly, by these labels: ``worker_queue``."""
    return f"{labels}:{family.name.removesuffix('_total')}:increase{window}"


def match_baseline(window: str) -> str:
    """The least of the match ratios at the same hours before."""
    return f"worker:jobtelemetry_job_match:baseline{window}"


def waiting(window: str) -> str:
    """Jobs that waited on a queue at least, all through the window."""
    return f"queue:jobtelemetry_queue_jobs:least{window}"


def taken(window: str) -> str:
    """How often another job came to the head of the queue within the window."""
    return f"queue:jobtelemetry_queue_oldest_job:changes{window}"


def failure_ratio(window: str) -> str:
    """The part of a worker's executions that failed and are tried again."""
    return f"worker:jobtelemetry_job_failures:ratio{window}"


def failure_baseline(window: str) -> str:
    """The highest that it was at the same hours before."""
    return f"worker:jobtelemetry_job_failures:baseline{window}"


def run_time(figure: str, window: str) -> str:
    """``mean``, ``p95`` or ``count`` of completed executions; with ``_before`` that of the same hours before."""
    return f"worker:jobtelemetry_job_duration_seconds:{figure}_{window}"


def enqueue_rate(window: str) -> str:
    """How many jobs of a worker are enqueued in a second."""
    return f"worker:jobtelemetry_jobs_enqueued:rate{window}"


def enqueue_most(window: str) -> str:
    """The highest that it was in the past."""
    return f"worker:jobtelemetry_jobs_enqueued:most{window}"


def starts(window: str) -> str:
    """About how many jobs of a queue started."""
    return f"queue:jobtelemetry_job_wait_seconds:count_{window}"


def late_ratio(window: str) -> str:
    """The part of them that waited for too long."""
    return f"queue:jobtelemetry_job_late:ratio{window}"


def drain(window: str) -> str:
    """How long it takes to serve the jobs that wait on a queue, at the rate of the window."""
    return f"queue:jobtelemetry_queue_drain_seconds:rate{window}"


def births(window: str) -> str:
    """How many RQ workers of a queue were born at least in each fifth of the window."""
    return f"queue:jobtelemetry_rq_worker_births:least{window}"


#: How long ago a worker last completed.
PAUSE = "worker:jobtelemetry_job_pause_seconds:now"
#: Jobs that wait on a queue, and how many waited around the same time of the days before.
WAITING = "queue:jobtelemetry_queue_jobs:waiting"
WAITING_BEFORE = "queue:jobtelemetry_queue_jobs:waiting_before"
#: Live RQ workers that listen on a queue, and those of them that are not busy.
RQ_WORKERS = "queue:jobtelemetry_rq_workers:sum"
RQ_WORKERS_FREE = "queue:jobtelemetry_rq_workers:free"
#: The age of the oldest execution that runs too long.
RUNNING_TOO_LONG = "worker_queue:jobtelemetry_execution_age_seconds:over_limit"


def match_executions(window: str) -> str:
    """Executions that a worker completed or cancelled within the window."""
    return f"worker:jobtelemetry_job_matchable:increase{window}"


def match_ratio(window: str) -> str:
    """The part of these executions that completed."""
    return f"worker:jobtelemetry_job_match:ratio{window}"


def duration_p99(window: str) -> str:
    """The run time that 99 % of a worker's completed executions did not exceed."""
    return f"worker_queue:jobtelemetry_job_duration_seconds:p99_{window}"


#: The age at which an execution runs too long.
RUN_LIMIT = "worker_queue:jobtelemetry_execution_limit_seconds:p99"


def longest_pause(window: str) -> str:
    """The longest time that a worker went without completing within the window."""
    return f"worker:jobtelemetry_job_pause_seconds:max{window}"
