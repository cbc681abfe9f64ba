"""Deferred jobs that nothing will ever let run, because of how a job ended that they depend on. Read-only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import text

#: Deferred jobs that are looked at in one look, all queues together: some ten milliseconds. Of more, the others are
#: taken as fine.
MOST = 1000
_PIECE = 500
_MOST_OF_ONE = 100
_DEPENDENCIES = ("dependency_ids", "dependency_id", "allow_dependency_failures")
_GONE = "gone"
#: How a job can have ended so that RQ does not let those run that depend on it. Without ``allow_failure`` a failure is
#: one of them; while RQ still retries a job, it is scheduled or queued.
_ENDED_BADLY = {"canceled", "stopped"}


@dataclass(frozen=True)
class _Deferred:
    queue: str
    dependencies: tuple[str, ...]
    allow_failure: bool


def find_blocked(connection: Any, keys: Keys, queues: Mapping[str, int]) -> dict[str, list[str]]:
    """What the deferred jobs of these queues wait for in vain.

    Args:
        queues: Queues with deferred jobs, and how many each has.

    Returns:
        By queue, a text for each of them.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    waiting = _deferred(connection, keys, queues)
    statuses = statuses_of(connection, keys, {one for job in waiting.values() for one in job.dependencies})
    found: dict[str, list[str]] = {}
    for job_id, (dependency, why) in _causes(waiting, statuses).items():
        found.setdefault(waiting[job_id].queue, []).append(f"{job_id} waits for {dependency} ({why})")
    return found


def why_blocked(connection: Any, keys: Keys, job_id: str) -> str:
    """What one deferred job waits for in vain: ``id (canceled)``; empty where it may still run.

    Those that it waits for and that are deferred themselves are looked at as well, a hundred of them at most.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    waiting: dict[str, _Deferred] = {}
    statuses: dict[str, str] = {}
    asked = {job_id}
    while asked and len(waiting) < _MOST_OF_ONE:
        for one, (several, first, allow) in _fields(connection, keys, asked, _DEPENDENCIES):
            waiting[one] = _Deferred("", _ids(several, first), allow == "1")
        new = {dependency for one in asked for dependency in waiting[one].dependencies} - statuses.keys()
        statuses |= statuses_of(connection, keys, new)
        asked = {one for one in new if statuses[one] == "deferred"} - waiting.keys()
    dependency, why = _causes(waiting, statuses).get(job_id, ("", ""))
    return f"{dependency} ({why})" if dependency else ""


def _causes(waiting: Mapping[str, _Deferred], statuses: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Of those that wait in vain, for which job and what became of that."""
    causes: dict[str, tuple[str, str]] = {}
    while True:  # who waits for one that waits in vain does so, too
        new = {
            job_id: cause
            for job_id, job in waiting.items()
            if job_id not in causes and (cause := _cause(job, statuses, causes))
        }
        if not new:
            return causes
        causes |= new


def _cause(
    job: _Deferred, statuses: Mapping[str, str], causes: Mapping[str, tuple[str, str]]
) -> tuple[str, str] | None:
    """The dependency that keeps a job back for ever, and what became of it."""
    bad = _ENDED_BADLY if job.allow_failure else _ENDED_BADLY | {"failed"}
    for one in job.dependencies:
        if one in causes:
            return one, "blocked itself"
        if statuses[one] in bad:
            return one, statuses[one]
    # RQ does not wait for a job that is gone, but only the end of another one makes it look.
    if job.dependencies and all(statuses[one] == _GONE for one in job.dependencies):
        return job.dependencies[0], _GONE
    return None


def _deferred(connection: Any, keys: Keys, queues: Mapping[str, int]) -> dict[str, _Deferred]:
    left, pipe, asked = MOST, connection.pipeline(transaction=False), []
    for queue, count in sorted(queues.items(), key=lambda item: item[1]):
        if left > 0:
            pipe.zrangebyscore(keys.registry("deferred", queue), "-inf", "+inf", start=0, num=left)
            asked.append(queue)
            left -= count
    where = {
        text(job_id): queue
        for queue, members in zip(asked, pipe.execute() if asked else (), strict=True)
        for job_id in members
    }
    found = {}
    for job_id, (several, one, allow) in _fields(connection, keys, where, _DEPENDENCIES):
        if dependencies := _ids(several, one):
            found[job_id] = _Deferred(where[job_id], dependencies, allow == "1")
    return found


def statuses_of(connection: Any, keys: Keys, job_ids: Iterable[str]) -> dict[str, str]:
    """What RQ says of each of these jobs; ``gone`` of one that it does not have."""
    # Every job has been created; a hash without that is what a hook of somebody left behind.
    fields = ("status", "created_at")
    return {
        job_id: (status or "unknown") if status or created else _GONE
        for job_id, (status, created) in _fields(connection, keys, job_ids, fields)
    }


def _fields(
    connection: Any, keys: Keys, job_ids: Iterable[str], fields: tuple[str, ...]
) -> Iterator[tuple[str, list[str]]]:
    listed = sorted(job_ids)
    for first in range(0, len(listed), _PIECE):
        piece = listed[first : first + _PIECE]
        pipe = connection.pipeline(transaction=False)
        for job_id in piece:
            pipe.hmget(keys.job(job_id), fields)
        for job_id, row in zip(piece, pipe.execute(), strict=True):
            yield job_id, ["" if value is None else text(value) for value in row]


def _ids(several: str, one: str) -> tuple[str, ...]:
    """What RQ stores: a JSON list, and for older readers the first of them."""
    try:
        found = json.loads(several) if several else [one]
    except (ValueError, RecursionError):
        return ()
    return tuple(name for name in found if isinstance(name, str) and name) if isinstance(found, list) else ()
