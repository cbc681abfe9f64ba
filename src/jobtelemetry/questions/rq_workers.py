"""What the RQ workers do at this moment: where each runs, on what, since when, and whether it still beats.

Read in pipelines of bounded length, and only where somebody asks; a scrape does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from jobtelemetry.store.keys import APP_VERSION, WORKER_MEMORY_FIELD, Keys
from jobtelemetry.store.snapshot import RQWorkerState, RunningExecution, Snapshot

_FIELDS = (
    "hostname",
    "pid",
    "current_job",
    "last_heartbeat",
    "birth",
    "version",
    "python_version",
    "successful_job_count",
    "failed_job_count",
    WORKER_MEMORY_FIELD,
)
#: Commands that one pipeline has at most.
_PIPELINE = 250
#: RQ workers that are looked at when nobody says which.
MOST = 1000
_MOST_DIGITS = 19  # of a count; more is none


@dataclass(frozen=True)
class RQWorker:
    """One live RQ worker.

    Args:
        name: RQ's name for it.
        queues: It listens on these.
        state: RQ's word: ``started``, ``idle``, ``busy``, ``suspended``.
        instrumented: Whether its executions are recorded.
        hostname: Where it runs; empty if RQ does not say, as the other texts.
        pid: Its process there; ``None`` if RQ does not say.
        job: The job that it runs; empty if none.
        job_worker: That job's function or class, where it is recorded.
        job_since: When it started that job, Unix time in seconds; ``None`` if unknown, as the other moments.
        heartbeat: When it last told RQ that it lives.
        born: When it was started.
        rq_version: RQ's version.
        python_version: Python's version.
        succeeded: Jobs that RQ counted as succeeded.
        failed: Jobs that RQ counted as failed.
        memory: Bytes of its process in memory (RSS) at a recent heartbeat; ``None`` where it does not say.
        app_version: Which version of the application it runs, where it was told.
    """

    name: str
    queues: tuple[str, ...] = ()
    state: str = ""
    instrumented: bool = False
    hostname: str = ""
    pid: int | None = None
    job: str = ""
    job_worker: str = ""
    job_since: float | None = None
    heartbeat: float | None = None
    born: float | None = None
    rq_version: str = ""
    python_version: str = ""
    succeeded: int = 0
    failed: int = 0
    memory: int | None = None
    app_version: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Unix times in seconds."""
        return {key: None if value == "" else value for key, value in asdict(self).items()}


def most_telling(workers: Iterable[RQWorkerState]) -> list[RQWorkerState]:
    """Those that are not recorded, then those that are busy, then by name."""
    return sorted(workers, key=lambda one: (one.instrumented, one.status != "busy", one.name.casefold()))


def read_rq_workers(
    connection: Any, keys: Keys, snapshot: Snapshot, workers: Sequence[RQWorkerState] | None = None
) -> tuple[RQWorker, ...]:
    """Look at RQ workers.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        snapshot: Read just before; it says which live, and what each runs as far as that is recorded.
        workers: Which of them, in this order; by default :func:`most_telling` says, and at most :data:`MOST`.
    """
    asked = list(most_telling(snapshot.rq_workers)[:MOST] if workers is None else workers)
    running: dict[str, RunningExecution] = {}
    for run in sorted(snapshot.running, key=lambda run: run.started_at):
        running.setdefault(run.rq_worker, run)
    rows = list(_pipelined(connection, [("HMGET", keys.rq_worker(one.name), *_FIELDS) for one in asked]))
    found = [dict(zip(_FIELDS, map(_text, row), strict=True)) for row in rows]
    # RQ 2 notes the job in the worker's hash, RQ 3 in a set of its own; what is recorded spares the question.
    silent = [one.name for one, facts in zip(asked, found, strict=True) if _is_silent(one, facts, running)]
    sets = _pipelined(connection, [("SRANDMEMBER", f"{keys.rq_worker(name)}:executions", "5") for name in silent])
    executions = {name: min(map(_text, members), default="") for name, members in zip(silent, sets, strict=True)}
    jobs = {
        one.name: running[one.name].job_id
        if one.name in running
        else facts["current_job"] or executions.get(one.name, "").rpartition(":")[0]
        for one, facts in zip(asked, found, strict=True)
    }
    unrecorded = sorted({job for name, job in jobs.items() if job and name not in running})
    starts = dict(
        zip(
            unrecorded,
            _pipelined(connection, [("HGET", keys.job(job), "started_at") for job in unrecorded]),
            strict=True,
        )
    )
    return tuple(
        _told(one, facts, jobs[one.name], running.get(one.name), _text(starts.get(jobs[one.name])))
        for one, facts in zip(asked, found, strict=True)
    )


def _told(one: RQWorkerState, facts: dict[str, str], job: str, run: RunningExecution | None, started: str) -> RQWorker:
    return RQWorker(
        name=one.name,
        queues=one.queues,
        state=one.status,
        instrumented=one.instrumented,
        hostname=facts["hostname"],
        pid=_count(facts["pid"]) or None,
        job=job,
        job_worker=run.series.worker if run else "",
        job_since=run.started_at if run else rq_time(started),
        heartbeat=rq_time(facts["last_heartbeat"]),
        born=rq_time(facts["birth"]),
        rq_version=facts["version"],
        python_version=facts["python_version"].partition(" ")[0],
        succeeded=_count(facts["successful_job_count"]),
        failed=_count(facts["failed_job_count"]),
        memory=_count(facts[WORKER_MEMORY_FIELD]) or None,
        app_version=one.versions.get(APP_VERSION, ""),
    )


def rq_time(text: str) -> float | None:
    """A moment in RQ's own format (``2026-01-31T12:00:00.000000Z``, UTC) as Unix time."""
    try:
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp() if text else None
    except ValueError:
        return None


def _is_silent(one: RQWorkerState, facts: dict[str, str], running: dict[str, RunningExecution]) -> bool:
    return one.status == "busy" and not facts["current_job"] and one.name not in running


def _pipelined(connection: Any, commands: Sequence[tuple[str, ...]]) -> Iterator[Any]:
    for begin in range(0, len(commands), _PIPELINE):
        pipe = connection.pipeline(transaction=False)
        for command in commands[begin : begin + _PIPELINE]:
            pipe.execute_command(*command)
        yield from pipe.execute()


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
