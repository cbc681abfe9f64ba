"""The names of jobtelemetry's Redis keys and fields, and how labels become text. Pure.

=========================  ======  ====================================================================================
key                        type    content
=========================  ======  ====================================================================================
``…:meta``                 hash    the layout's version, the generation, the ledger's total, counters without labels
``…:accounts``             hash    RQ worker and column -> executions: the second entry of everything that is counted
``…:sets``                 zset    every label set, by the number of its last change
``…:set:<labels>``         hash    the counters, histogram buckets and timestamps of one label set (:data:`FIELDS`)
``…:traces:<labels>``      hash    field of a set -> trace id, span id, value, time of a recent execution
``…:running``              hash    execution id -> JSON of the start; its presence is the token that counts once
``…:closed``               zset    executions settled without their own word, jobs to be given up again; trimmed
``…:log``                  stream  the execution log, bounded
``…:deploys``              zset    when which version of the application began to run; the newest are kept
``…:cancelled:<queue>``    zset    cancelled jobs of a queue by expiry, so that RQ's registry can forget them
``…:families``             hash    users' own metrics: what each is, and how many series it has (:data:`FAMILY_FIELDS`)
``…:series``               zset    every series of those, by the number of its last change
``…:series:<series>``      hash    the value, or the buckets and the sum, of one of them (:data:`SERIES_FIELDS`)
``…:batches``              zset    the last batch of each process that measured outside of jobs; trimmed
=========================  ======  ====================================================================================

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


#: The version of this layout. A store that says another one is not read and not written.
LAYOUT = "2"

#: What the hash of one label set holds: name -> the parts that follow it, joined with ``|`` (see :func:`encode`).
#: The scripts write these names (``F.executions``) and the reader reads them; they stand nowhere else.
FIELDS: dict[str, tuple[str, ...]] = {
    "seen": (),  # when the label set was first seen, Unix time
    "changed": (),  # when it last changed, Unix time
    "completed": (),  # when an execution last completed, Unix time
    "enqueued": (),
    "unstarted": (),  # cancelled before they ran
    "limited": (),  # executions that failed of a rate limit
    "cpu": (),  # processor time, microseconds
    "memory": (),  # the largest peak of memory in the hour in which one was last measured, bytes
    "memory_hour": (),  # which hour that is, hours since 1970
    "memory_before": (),  # the largest of the hour before in which one was measured, bytes
    "executions": ("state",),
    "duration": ("state", "bucket"),  # executions per bucket, and the sum in microseconds in bucket "sum"
    "wait": ("bucket",),
    "cancellations": ("reason",),
    "errors": ("error_type",),
    "created": ("family", "value"),  # when a cancellation's reason or an error's type was first seen, Unix time
}

#: What the meta hash holds, in the same way.
META_FIELDS: dict[str, tuple[str, ...]] = {
    "layout": (),
    "generation": (),  # the id of the present generation of numbers
    "since": (),  # when it began, Unix time
    "start": (),  # what the ledger's total was then
    "counted": (),  # the ledger's total: every execution ever counted
    "forgotten": (),  # executions in label sets that were forgotten on purpose
    "change": (),  # the number of the last change of any label set
    "removed": (),  # how often label sets were taken away
    "previous": (),  # ids of earlier generations
    "lost_at": (),  # when a loss was first noticed, Unix time
    "lost": (),  # executions known to be lost in this generation
    "lost_before": (),  # and in earlier ones
    "why": (),  # what was noticed
    "acknowledged": (),  # when somebody last said that he has seen it, Unix time
    "running": (),  # how many entries the running table must have
    "written_off": (),  # of those that the ledger's total still has
    "clock": ("kind", "who"),  # by how many seconds a process's clock is ahead of Redis's, and when that was seen
    "closed_until": (),  # until when the key of closed executions must be there, Unix time
    "late": (),
    "reconciled": (),
    "dropped": ("family",),
    "distinct": ("family",),  # distinct reasons and error types
    "handler_errors": ("hook",),
    # Of users' own metrics: the number of the last change of any series, the total of their observations, what of it
    # was forgotten on purpose and what was lost, and how often series were taken away.
    "own_change": (),
    "own_counted": (),
    "own_forgotten": (),
    "own_written_off": (),
    "own_removed": (),
    "own_unwritten": (),  # executions that measured and were killed before they could write it
    "own_left_out": (),  # observations that a process had no room for, or that were no finite number
    "own_dropped": ("family",),  # observations that a full family had no room for
}

#: What the hash of families holds, in the same way; ``family`` is the full name, a counter's with ``_total``.
FAMILY_FIELDS: dict[str, tuple[str, ...]] = {
    "families": (),  # how many there are
    "definition": ("family",),  # the newest definition, as JSON
    "defined": ("family", "digest"),  # when each definition was first seen, Unix time
    "series": ("family",),  # how many series it has
}

#: What the hash of one series holds. A histogram has ``bucket`` and ``sum``, the others ``value``.
SERIES_FIELDS: dict[str, tuple[str, ...]] = {
    "seen": (),  # when it was first written, Unix time
    "observations": (),  # how many calls it is made of: the second entry of ``own_counted``
    "value": (),
    "sum": (),
    "bucket": ("le",),  # not cumulative
    "exemplar": ("field", "le"),  # of ``value`` (le is empty) or ``bucket``: value, labels, time
}

#: Columns of an account: executions that RQ counted as successful or failed, those that RQ does not count, and what
#: RQ counted although the execution had been counted before.
SUCCEEDED, FAILED, UNBOOKED = "succeeded", "failed", "unbooked"
SUCCEEDED_AGAIN, FAILED_AGAIN = "succeeded_again", "failed_again"
#: The executions that an RQ worker counted last, newest first: a transaction that is sent twice is known by them.
RECENT = "recent"
#: The execution that was counted last and that RQ will count in a transaction of its own (up to RQ 2.12).
LATER = "later"
#: Of the departed: the note that counts were lost, once more.
NOTED = "noted"
#: The account into which those of RQ workers that are gone are folded. No RQ worker has an empty name.
DEPARTED = ""

#: Fields of RQ's own job hash that jobtelemetry adds; RQ ignores and keeps fields that it does not know.
JOB_WORKER_FIELD = "jobtelemetry_worker"
JOB_DUE_FIELD = "jobtelemetry_due"
# What an RQ worker's mark says beside versions: hooks without which nothing is counted, others, an untested RQ, and the
# bytes that a job of it can take before its control group is full; and which version of the application it runs.
MISSING, LACKING, UNTESTED, MEMORY_LIMIT = "missing", "lacking", "untested", "memory_limit"
APP_VERSION = "app"
JOB_ATTEMPT_FIELD = "jobtelemetry_attempt"
JOB_REPORT_FIELD = "jobtelemetry_report"
JOB_MAX_ATTEMPTS_FIELD = "jobtelemetry_max_attempts"
JOB_CANCEL_REASON_FIELD = "jobtelemetry_cancel_reason"
JOB_CANCEL_DETAIL_FIELD = "jobtelemetry_cancel_detail"

#: Field of RQ's own worker hash: which jobtelemetry records for that worker, as JSON. It lives and dies with RQ's
#: counts in the same hash, so it also tells whether RQ began to count anew.
WORKER_MARK_FIELD = "jobtelemetry"
#: And how much memory its process has, in bytes, as it said with a heartbeat.
WORKER_MEMORY_FIELD = "jobtelemetry_memory"


@dataclass(frozen=True)
class Keys:
    """Every key, RQ's and ours, under one prefix.

    Args:
        prefix: RQ's key prefix; ``rq`` unless ``RQ_KEY_PREFIX`` says otherwise.
    """

    prefix: str = "rq"

    @property
    def meta(self) -> str:
        return f"{self.prefix}:telemetry:meta"

    @property
    def accounts(self) -> str:
        return f"{self.prefix}:telemetry:accounts"

    @property
    def sets(self) -> str:
        return f"{self.prefix}:telemetry:sets"

    def label_set(self, labels: str) -> str:
        """The hash of one encoded label set."""
        return f"{self.prefix}:telemetry:set:{labels}"

    def traces(self, labels: str) -> str:
        """The exemplars of one encoded label set."""
        return f"{self.prefix}:telemetry:traces:{labels}"

    @property
    def probe(self) -> str:
        """Written and deleted at once, to find out whether that is possible."""
        return f"{self.prefix}:telemetry:probe"

    @property
    def running(self) -> str:
        return f"{self.prefix}:telemetry:running"

    @property
    def closed(self) -> str:
        return f"{self.prefix}:telemetry:closed"

    @property
    def log(self) -> str:
        return f"{self.prefix}:telemetry:log"

    @property
    def deploys(self) -> str:
        return f"{self.prefix}:telemetry:deploys"

    @property
    def families(self) -> str:
        return f"{self.prefix}:telemetry:families"

    @property
    def series_index(self) -> str:
        return f"{self.prefix}:telemetry:series"

    def series(self, series: str) -> str:
        """The hash of one encoded series of a user's own metric."""
        return f"{self.prefix}:telemetry:series:{series}"

    @property
    def batches(self) -> str:
        return f"{self.prefix}:telemetry:batches"

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

    def rate_limit(self, rate_limit: str) -> str:
        """RQ's hash of one rate limit; beside it are the jobs that it has let through and those that it holds back."""
        return f"{self.prefix}:rl:{rate_limit}"

    def rate_limit_allowed(self, rate_limit: str) -> str:
        return f"{self.prefix}:rl:{rate_limit}:allowed"

    def rate_limited(self, rate_limit: str) -> str:
        return f"{self.prefix}:rl:{rate_limit}:rate_limited"

    def queue(self, name: str) -> str:
        return f"{self.prefix}:queue:{name}"

    def queue_name(self, key: str) -> str:
        """The queue's name from RQ's key of it, also of a class with a key prefix of its own."""
        own = f"{self.prefix}:queue:"
        return key.removeprefix(own) if key.startswith(own) else key.partition(":queue:")[2] or key

    def intermediate(self, queue: str) -> str:
        return f"{self.prefix}:queue:{queue}:intermediate"

    def registry(self, status: str, queue: str) -> str:
        """RQ's registry for one job status of a queue."""
        return f"{self.prefix}:{_REGISTRIES[status]}:{queue}"

    def scheduler_lock(self, queue: str) -> str:
        return f"{self.prefix}:scheduler-lock:{queue}"

    def job(self, job_id: str) -> str:
        return f"{self.prefix}:job:{job_id}"

    def rq_worker(self, account: str) -> str:
        """RQ's hash of the worker that an account belongs to."""
        return account.removeprefix(_WHOLE_KEY) if account.startswith(_WHOLE_KEY) else f"{self.prefix}:worker:{account}"

    def account(self, rq_worker_key: str) -> str:
        """What an RQ worker is called in the accounts: its name, or its whole key where its class has a prefix."""
        name = rq_worker_key.removeprefix(f"{self.prefix}:worker:")
        return name if name != rq_worker_key else f"{_WHOLE_KEY}{rq_worker_key}"

    def workers_by_queue(self, queue: str) -> str:
        """RQ's set of the workers that listen on a queue, whatever the prefix of their class."""
        return f"{self.prefix}:workers:{queue}"

    def execution(self, job_id: str, execution_id: str) -> str:
        return f"{self.prefix}:execution:{job_id}:{execution_id}"


#: Marks an account that is called by its RQ worker's whole key.
_WHOLE_KEY = "key="

_REGISTRIES = {
    "started": "wip",
    "scheduled": "scheduled",
    "deferred": "deferred",
    "ready_to_enqueue": "ready",
    "finished": "finished",
    "failed": "failed",
    "canceled": "canceled",
}
