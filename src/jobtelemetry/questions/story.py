"""All that is known of one job: its attempts in the log, what runs, what RQ says now, and its relatives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.log import newest_first
from jobtelemetry.questions.names import near_ids
from jobtelemetry.questions.relations import Relations, relatives
from jobtelemetry.questions.rq_workers import rq_time
from jobtelemetry.questions.traceback import results_key, unpacked
from jobtelemetry.store.blocked import statuses_of, why_blocked
from jobtelemetry.store.decode import running_entries
from jobtelemetry.store.keys import JOB_WORKER_FIELD, Keys
from jobtelemetry.store.snapshot import RunningExecution
from jobtelemetry.text import text_of

_FIELDS = (
    "status",
    "origin",
    "created_at",
    "enqueued_at",
    "started_at",
    "ended_at",
    "retries_left",
    "dependency_ids",
    JOB_WORKER_FIELD,
)
#: Jobs that it waits for or that wait for it whose status is asked for.
_MOST_RELATED = 100


@dataclass(frozen=True)
class RQJob:
    """What RQ holds of a job now; never its arguments, its result or its meta, which would have to be unpickled.

    Args:
        status: RQ's word for it.
        queue: Where it was enqueued.
        worker: The label that its producer noted; empty if none.
        created_at: Unix time in seconds, as the others; ``None`` if RQ does not say.
        enqueued_at: When it was last put on its queue.
        started_at: When it last started.
        ended_at: When it last ended.
        retries_left: ``None`` without retries.
        dependencies: Jobs that it waits or waited for.
        dependents: Jobs that wait for it.
        statuses: What RQ says of these, as far as it has them: ``gone`` where it does not. Of a hundred of them.
        blocked_by: Why it will never run, though it is deferred: ``reserve-1 (canceled)``; empty where it may.
    """

    status: str
    queue: str = ""
    worker: str = ""
    created_at: float | None = None
    enqueued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    retries_left: int | None = None
    dependencies: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    statuses: Mapping[str, str] = field(default_factory=dict)
    blocked_by: str = ""


@dataclass(frozen=True)
class Story:
    """The story of a job.

    Args:
        job: RQ's id.
        attempts: Those that ended, in their order, as far as the log reaches.
        running: Those that did not end.
        rq: What RQ holds of it.
        relations: Its relatives.
        near: Ids like it where nothing at all is known.
        traceback: Of its last failure, as RQ kept it; empty if it did not.
    """

    job: str
    attempts: tuple[LogEntry, ...] = ()
    running: tuple[RunningExecution, ...] = ()
    rq: RQJob | None = None
    relations: Relations = field(default_factory=Relations)
    near: tuple[str, ...] = ()
    traceback: str = ""

    @property
    def known(self) -> bool:
        """Whether anything is known of the job."""
        return bool(self.attempts or self.running or self.rq)

    @property
    def worker(self) -> str:
        """The label, from whoever knows it."""
        if self.attempts:
            return self.attempts[-1].worker
        if self.running:
            return self.running[0].series.worker
        return self.rq.worker if self.rq else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Unix times, seconds."""
        return {
            "job": self.job,
            "worker": self.worker or None,
            "attempts": [entry.as_dict() for entry in self.attempts],
            "running": [
                {"attempt": run.attempt, "started": run.started_at, "rq_worker": run.rq_worker} for run in self.running
            ],
            "rq": asdict(self.rq) if self.rq else None,
            "parents": [entry.job for entry in self.relations.parents],
            "children": [entry.job for entry in self.relations.children],
            "others_in_trace": self.relations.family,
            "traceback": self.traceback or None,
        }


def tell(connection: Any, keys: Keys, job: str, most: int | None = None) -> Story:
    """Look a job up everywhere.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        job: RQ's id.
        most: How many of the newest entries of the log to look at; all by default.
    """
    pipe = connection.pipeline()
    pipe.hmget(keys.job(job), _FIELDS)
    pipe.smembers(f"{keys.job(job)}:dependents")
    pipe.hgetall(keys.running)
    pipe.xrevrange(results_key(keys.prefix, job), count=1)
    *replies, results = pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    fields, dependents, table = replies
    entries = list(islice(newest_first(connection, keys), most))
    attempts = tuple(reversed([entry for entry in entries if entry.job == job]))
    runs = running_entries({_text(field): _text(value) for field, value in table.items()})
    now = _rq_job(dict(zip(_FIELDS, (_text(value) for value in fields), strict=True)), dependents)
    story = Story(
        job=job,
        attempts=attempts,
        running=tuple(run for run in runs if run.job_id == job),
        rq=_with_statuses(connection, keys, job, now) if now else None,
        relations=relatives(attempts, entries) if attempts else Relations(),
        traceback=unpacked(results),
    )
    return story if story.known else Story(job, near=tuple(near_ids(job, (entry.job for entry in entries))))


def _with_statuses(connection: Any, keys: Keys, job: str, found: RQJob) -> RQJob:
    """What became of those that it waits for and that wait for it."""
    related = (*found.dependencies, *found.dependents)[:_MOST_RELATED]
    if not related:
        return found
    blocked_by = why_blocked(connection, keys, job) if found.status == "deferred" else ""
    return replace(found, statuses=statuses_of(connection, keys, related), blocked_by=blocked_by)


def _rq_job(found: Mapping[str, str], dependents: Any) -> RQJob | None:
    if not found["status"]:
        return None
    try:
        named = json.loads(found["dependency_ids"] or "[]")
    except (ValueError, RecursionError):
        named = []
    dependencies = tuple(map(text_of, named)) if isinstance(named, list) else ()
    left = found["retries_left"]
    return RQJob(
        status=found["status"],
        queue=found["origin"],
        worker=found[JOB_WORKER_FIELD],
        created_at=rq_time(found["created_at"]),
        enqueued_at=rq_time(found["enqueued_at"]),
        started_at=rq_time(found["started_at"]),
        ended_at=rq_time(found["ended_at"]),
        retries_left=int(left) if left.isascii() and left.isdigit() and len(left) < 16 else None,
        dependencies=dependencies,
        dependents=tuple(sorted(map(_text, dependents))),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
