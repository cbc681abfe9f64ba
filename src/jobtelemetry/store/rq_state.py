"""What RQ itself holds: queues, registries, its workers and what it counted for them. Read-only, in bounded pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from redis.exceptions import ResponseError

from jobtelemetry.store.decode import count_of
from jobtelemetry.store.keys import (
    FAILED,
    FAILED_AGAIN,
    SUCCEEDED,
    SUCCEEDED_AGAIN,
    WORKER_MARK_FIELD,
    Keys,
    encode,
)
from jobtelemetry.store.record import text
from jobtelemetry.store.snapshot import QueueState, RQWorkerState
from jobtelemetry.text import label_text

_WORKER_FIELDS = ("state", "queues", "birth", "death", "successful_job_count", "failed_job_count", WORKER_MARK_FIELD)
_COLUMNS = (SUCCEEDED, SUCCEEDED_AGAIN, FAILED, FAILED_AGAIN)
_DEFERRED = 7  # of a queue's row: five commands before the registries
_ZSETS = ("started", "scheduled", "deferred", "ready_to_enqueue", "finished", "failed", "canceled")
#: Commands that are sent at once, and RQ workers whose two counts are read at one moment.
_PIECE = 500
#: Deferred jobs of all queues that are looked into at once.
_MOST_DEFERRED = 300
#: Statuses of a job after which what depends on it stays deferred, if nobody releases it. So it does if it is gone.
_NEVER = {"canceled", "stopped", "failed"}
_WORKERS_AT_ONCE = 100


def read_queues(connection: Any, keys: Keys, now: float) -> tuple[tuple[QueueState, ...], int]:
    """What RQ holds per queue, and how many jobs wait for a rate limit, all queues together.

    Args:
        now: The server's clock, Unix time in seconds.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    pipe = connection.pipeline(transaction=False)
    pipe.smembers(keys.queues)
    pipe.smembers(keys.rate_limits)
    found, limits = pipe.execute()
    names = sorted(keys.queue_name(text(key)) for key in found)
    rows: list[list[Any]] = []
    width = 5 + len(_ZSETS)
    for piece in _pieces(names, _PIECE // width):
        pipe = connection.pipeline(transaction=False)
        for queue in piece:
            pipe.llen(keys.queue(queue))
            pipe.llen(keys.intermediate(queue))
            pipe.lindex(keys.queue(queue), 0)
            pipe.exists(keys.scheduler_lock(queue))
            pipe.zcount(keys.registry("scheduled", queue), "-inf", now - 1)
            for status in _ZSETS:
                pipe.zcard(keys.registry(status, queue))
        replies = pipe.execute()
        rows += [replies[first : first + width] for first in range(0, len(replies), width)]
    heads = _heads(connection, keys, [text(row[2]) if row[2] else None for row in rows])
    limited = 0
    for piece in _pieces(sorted(map(text, limits)), _PIECE):
        pipe = connection.pipeline(transaction=False)
        for limit in piece:
            pipe.zcard(keys.rate_limited(limit))
        limited += sum(map(int, pipe.execute()))
    blocked = _blocked(connection, keys, [name for name, row in zip(names, rows, strict=True) if row[_DEFERRED]])
    states = map(_queue_state, names, rows, heads, (blocked.get(name, 0) for name in names))
    return tuple(states), limited


def _blocked(connection: Any, keys: Keys, queues: list[str]) -> dict[str, int]:
    """Deferred jobs that wait for what will never complete, by queue; of many, those deferred first are looked at."""
    pipe = connection.pipeline(transaction=False)
    for queue in queues[:_MOST_DEFERRED]:
        pipe.zrange(keys.registry("deferred", queue), 0, max(1, _MOST_DEFERRED // len(queues)) - 1)
    deferred = [
        (queue, text(job_id))
        for queue, found in zip(queues, pipe.execute() if queues else (), strict=False)
        for job_id in found
    ]
    pipe = connection.pipeline(transaction=False)
    for _, job_id in deferred:
        pipe.smembers(keys.dependencies(job_id))
        pipe.hget(keys.job(job_id), "allow_dependency_failures")
    replies = pipe.execute() if deferred else []
    waited_for = sorted({text(job_id) for found in replies[::2] for job_id in found})[: 4 * _MOST_DEFERRED]
    pipe = connection.pipeline(transaction=False)
    for job_id in waited_for:
        pipe.hget(keys.job(job_id), "status")
    status = dict(zip(waited_for, pipe.execute() if waited_for else (), strict=True))
    blocked: dict[str, int] = {}
    for (queue, _), found, allows in zip(deferred, replies[::2], replies[1::2], strict=True):
        never = _NEVER if not allows or text(allows) == "0" else _NEVER - {"failed"}
        ends = [status.get(text(job_id), b"unknown") for job_id in found]
        if any(end is None or text(end) in never for end in ends):
            blocked[queue] = blocked.get(queue, 0) + 1
    return blocked


def _heads(connection: Any, keys: Keys, job_ids: list[str | None]) -> list[float | None]:
    """When the jobs at the heads of the queues were enqueued."""
    known = [job_id for job_id in job_ids if job_id is not None]
    moments: list[float | None] = []
    for piece in _pieces(known, _PIECE):
        pipe = connection.pipeline(transaction=False)
        for job_id in piece:
            pipe.hget(keys.job(job_id), "enqueued_at")
        moments += map(rq_time, pipe.execute())
    found = iter(moments)
    return [None if job_id is None else next(found) for job_id in job_ids]


def _queue_state(name: str, row: list[Any], oldest: float | None, blocked: int) -> QueueState:
    queued, intermediate, _, lock, overdue, *registries = row
    jobs = {"queued": int(queued), "intermediate": int(intermediate)}
    jobs.update(zip(_ZSETS, map(int, registries), strict=True))
    return QueueState(name, jobs, oldest, int(overdue), bool(lock), blocked)


class Discovery:
    """RQ workers whose class has a key prefix of its own: RQ lists them by queue, and those lists have to be found.

    Redis is asked for a few pieces of its key space at every look, more at the first, so the cost of a look does not
    depend on how many keys there are.
    """

    _FIRST, _LATER, _KEYS = 20, 2, 1000

    def __init__(self) -> None:
        self._cursor = 0
        self._steps = self._FIRST
        self._lists: set[str] = set()

    def lists(self, connection: Any, keys: Keys) -> set[str]:
        """The sets in which RQ lists its workers by queue, as far as they have been found."""
        pattern = keys.workers_by_queue("*").replace("[", "\\[")
        steps, self._steps = self._steps, self._LATER
        for _ in range(steps):
            try:
                self._cursor, found = connection.scan(self._cursor, match=pattern, count=self._KEYS, _type="set")
            except ResponseError:  # this user may not look for keys; then only RQ's own list is known
                break
            self._lists.update(map(text, found))
            if not self._cursor:
                break
        return self._lists


def read_rq_workers(connection: Any, keys: Keys, discovery: Discovery) -> tuple[RQWorkerState, ...]:
    """Every live RQ worker, with RQ's counts and those of its account, both of one moment.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    pipe = connection.pipeline(transaction=False)
    pipe.smembers(keys.rq_workers)
    for listed in sorted(discovery.lists(connection, keys)):
        pipe.smembers(listed)
    accounts = sorted({keys.account(text(key)) for members in pipe.execute() for key in members})
    states = []
    for piece in _pieces(accounts, _WORKERS_AT_ONCE):
        pipe = connection.pipeline()
        for account in piece:
            pipe.hmget(keys.rq_worker(account), _WORKER_FIELDS)
            pipe.hmget(keys.accounts, [encode([account, column]) for column in _COLUMNS])
        replies = pipe.execute(raise_on_error=False)
        for account, row, columns in zip(piece, replies[::2], replies[1::2], strict=True):
            if isinstance(row, Exception):
                raise row
            foreign = isinstance(columns, ResponseError) and str(columns).startswith("WRONGTYPE")
            if isinstance(columns, Exception) and not foreign:
                raise columns
            # Where another program's key is in place of the accounts, nothing is booked.
            state = _worker_state(account, row, [None] * len(_COLUMNS) if foreign else columns)
            if state is not None:
                states.append(state)
    return tuple(states)


def _worker_state(account: str, row: Sequence[Any], columns: Sequence[Any]) -> RQWorkerState | None:
    state, queues, birth, death, succeeded, failed, mark = ("" if value is None else text(value) for value in row)
    if death or not (state or birth):
        # Gone, or expired and not yet forgotten by RQ: an orphaned work-horse that counts its ending on the hash of a
        # dead worker brings it back with nothing but that.
        return None
    # Without a mark, an account of that name belongs to an earlier RQ worker.
    booked = [count_of(text(value)) or 0 if value is not None and mark else 0 for value in columns]
    said = _mark(mark)
    missing = said.pop("missing", "")
    return RQWorkerState(
        name=account,
        queues=tuple(queues.split(",")) if queues else (),
        status=label_text(state) or "started",
        instrumented=bool(mark) and not missing,
        succeeded_by_rq=count_of(succeeded) or 0,
        failed_by_rq=count_of(failed) or 0,
        succeeded=booked[0] + booked[1],
        failed=booked[2] + booked[3],
        versions=said,
        missing=tuple(missing.split()),
        birth=rq_time(birth),
    )


def _mark(mark: str) -> dict[str, str]:
    try:
        said = json.loads(mark or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {str(name): label_text(value) for name, value in said.items() if isinstance(value, str)}


def rq_time(value: Any) -> float | None:
    """A moment in RQ's own format (``2026-01-31T12:00:00.000000Z``, UTC) as Unix time."""
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(text(value).rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment if moment >= 0 else None


def _pieces(names: Iterable[str], size: int) -> Iterator[list[str]]:
    listed = list(names)
    for first in range(0, len(listed), size):
        yield listed[first : first + size]
