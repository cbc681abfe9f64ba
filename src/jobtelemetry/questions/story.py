"""All that is known of one job: its attempts in the log, what runs, what RQ says now, and its relatives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.log import newest_first
from jobtelemetry.questions.relations import Relations, relatives
from jobtelemetry.questions.rq_workers import rq_time
from jobtelemetry.questions.traceback import results_key, unpacked
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
_MOST_NEAR = 5


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
    story = Story(
        job=job,
        attempts=attempts,
        running=tuple(run for run in runs if run.job_id == job),
        rq=_rq_job(dict(zip(_FIELDS, (_text(value) for value in fields), strict=True)), dependents),
        relations=relatives(attempts, entries) if attempts else Relations(),
        traceback=unpacked(results),
    )
    return story if story.known else Story(job, near=_near(job, entries))


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
        **{name: rq_time(found[name]) for name in ("created_at", "enqueued_at", "started_at", "ended_at")},
        retries_left=int(left) if left.isascii() and left.isdigit() and len(left) < 16 else None,
        dependencies=dependencies,
        dependents=tuple(sorted(map(_text, dependents))),
    )


def _near(job: str, entries: list[LogEntry]) -> tuple[str, ...]:
    """Jobs whose id begins with or holds what was asked for: the newest."""
    ids = dict.fromkeys(entry.job for entry in entries)
    starts = [one for one in ids if one.startswith(job)]
    return tuple(dict.fromkeys([*starts, *(one for one in ids if job in one)]))[:_MOST_NEAR]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
