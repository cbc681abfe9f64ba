"""The names of jobtelemetry's Redis keys, and how labels become hash fields. Pure.

====================  ======  ==========================================================================
key                   type    content
====================  ======  ==========================================================================
``…:running``         hash    execution id -> JSON of the start; its presence is the token that counts once
``…:series``          hash    every counter, histogram bucket and timestamp, by encoded field
``…:exemplars``       hash    field of a series -> trace id, span id, value, time of a recent execution
``…:closed``          zset    executions counted without a token or given up, jobs to be given up again; trimmed
``…:instrumented``    hash    RQ worker name -> its birth, for the audit
``…:log``             stream  the execution log, bounded
``…:cancelled:<q>``   zset    cancelled jobs of a queue by expiry, so that RQ's registry can forget them
====================  ======  ==========================================================================

All live under RQ's own prefix (``rq:telemetry:``), so that a prefix with a hash tag keeps them in RQ's slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def encode(parts: Sequence[str]) -> str:
    """Join labels into one hash field. ``decode(encode(parts)) == parts`` for any strings, at least one."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def decode(field: str) -> tuple[str, ...]:
    """Split a hash field into the labels that :func:`encode` joined."""
    parts = field.split("|")
    if "%" in field:
        parts = [part.replace("%7C", "|").replace("%25", "%") for part in parts]
    return tuple(parts)


#: Fields of RQ's own job hash that jobtelemetry adds; RQ ignores and keeps fields that it does not know.
JOB_WORKER_FIELD = "jobtelemetry_worker"
JOB_DUE_FIELD = "jobtelemetry_due"
JOB_ATTEMPT_FIELD = "jobtelemetry_attempt"
JOB_REPORT_FIELD = "jobtelemetry_report"
JOB_CANCEL_REASON_FIELD = "jobtelemetry_cancel_reason"
JOB_CANCEL_DETAIL_FIELD = "jobtelemetry_cancel_detail"

#: Field of RQ's own worker hash: endings that RQ counted there and jobtelemetry recorded.
#: It lives and dies with RQ's counts, so the two can be compared.
WORKER_RECORDED_FIELD = "jobtelemetry_recorded"


@dataclass(frozen=True)
class Keys:
    """Every key, RQ's and ours, under one prefix.

    Args:
        prefix: RQ's key prefix; ``rq`` unless ``RQ_KEY_PREFIX`` says otherwise.
    """

    prefix: str = "rq"

    @property
    def running(self) -> str:
        return f"{self.prefix}:telemetry:running"

    @property
    def series(self) -> str:
        return f"{self.prefix}:telemetry:series"

    @property
    def exemplars(self) -> str:
        return f"{self.prefix}:telemetry:exemplars"

    @property
    def closed(self) -> str:
        return f"{self.prefix}:telemetry:closed"

    @property
    def instrumented(self) -> str:
        return f"{self.prefix}:telemetry:instrumented"

    @property
    def log(self) -> str:
        return f"{self.prefix}:telemetry:log"

    def cancelled(self, queue: str) -> str:
        return f"{self.prefix}:telemetry:cancelled:{queue}"

    # RQ's own keys: read (and, for a job hash and a worker hash, extended by fields), never created.

    @property
    def queues(self) -> str:
        return f"{self.prefix}:queues"

    @property
    def rq_workers(self) -> str:
        return f"{self.prefix}:workers"

    @property
    def rate_limits(self) -> str:
        return f"{self.prefix}:rl-keys"

    def rate_limited(self, rate_limit: str) -> str:
        return f"{self.prefix}:rl:{rate_limit}:rate_limited"

    def queue(self, name: str) -> str:
        return f"{self.prefix}:queue:{name}"

    def queue_name(self, key: str) -> str:
        """The queue's name from RQ's key of it."""
        return key.removeprefix(f"{self.prefix}:queue:")

    def intermediate(self, queue: str) -> str:
        return f"{self.prefix}:queue:{queue}:intermediate"

    def registry(self, status: str, queue: str) -> str:
        """RQ's registry for one job status of a queue."""
        return f"{self.prefix}:{_REGISTRIES[status]}:{queue}"

    def scheduler_lock(self, queue: str) -> str:
        return f"{self.prefix}:scheduler-lock:{queue}"

    def job(self, job_id: str) -> str:
        return f"{self.prefix}:job:{job_id}"

    def rq_worker(self, name: str) -> str:
        return f"{self.prefix}:worker:{name}"

    def rq_worker_name(self, key: str) -> str:
        """The RQ worker's name from RQ's key of it."""
        return key.removeprefix(f"{self.prefix}:worker:")

    def execution(self, job_id: str, execution_id: str) -> str:
        return f"{self.prefix}:execution:{job_id}:{execution_id}"


_REGISTRIES = {
    "started": "wip",
    "scheduled": "scheduled",
    "deferred": "deferred",
    "ready_to_enqueue": "ready",
    "finished": "finished",
    "failed": "failed",
    "canceled": "canceled",
}
