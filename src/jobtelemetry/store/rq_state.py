"""What RQ itself holds: queues, registries, its workers and what it counted for them. Read-only, in bounded pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from jobtelemetry.store.blocked import find_blocked
from jobtelemetry.store.decode import count_of
from jobtelemetry.store.keys import (
    FAILED,
    FAILED_AGAIN,
    LACKING,
    MEMORY_LIMIT,
    MISSING,
    SUCCEEDED,
    SUCCEEDED_AGAIN,
    UNBOOKED,
    UNTESTED,
    WORKER_MARK_FIELD,
    Keys,
    encode,
)
from jobtelemetry.store.record import text
from jobtelemetry.store.snapshot import QueueState, RateLimitState, RQWorkerState
from jobtelemetry.text import label_text

_WORKER_FIELDS = (
    "state",
    "queues",
    "birth",
    "death",
    "successful_job_count",
    "failed_job_count",
    "last_heartbeat",
    "hostname",
    WORKER_MARK_FIELD,
)
_COLUMNS = (SUCCEEDED, SUCCEEDED_AGAIN, FAILED, FAILED_AGAIN, UNBOOKED)
_DEFERRED = 7  # of a queue's row: five commands before the registries
_ZSETS = ("started", "scheduled", "deferred", "ready_to_enqueue", "finished", "failed", "canceled")
#: Commands that are sent at once, and RQ workers whose two counts are read at one moment.
_PIECE = 500
_WORKERS_AT_ONCE = 100
_MOST_NAMED = 5
_MOST_PREFIXES = 20  # of classes with one of their own; mostly there is one
#: Queues, and RQ workers, that one script counts: it holds Redis for less than a millisecond.
_QUEUES_BY_SCRIPT = 50
_WORKERS_BY_SCRIPT = 100
#: Scripts that are sent at once: enough for a thousand queues.
_CALLS_AT_ONCE = 20
_MARK = "\0"  # stands for the queue in the names of its keys

# A dozen commands for each of a thousand queues cost a client fifty times what they cost Redis. So they are asked for
# by script, where the user may run one, and come back as one JSON text. They are no part of store/lua, whose commands
# every RQ worker's user needs. The names of the keys are made here: the declared key says in which slot they are.
_QUEUES = """
local rows, spots = {}, cjson.decode(ARGV[2])
local function key(spot, queue) return spots[spot][1] .. queue .. spots[spot][2] end
for number = 3, #ARGV do
  local queue = ARGV[number]
  local row = {
    redis.call('LLEN', key(1, queue)), redis.call('LLEN', key(2, queue)), redis.call('LINDEX', key(1, queue), 0),
    redis.call('EXISTS', key(3, queue)), redis.call('ZCOUNT', key(4, queue), '-inf', ARGV[1]),
  }
  for spot = 5, #spots do row[spot + 1] = redis.call('ZCARD', key(spot, queue)) end
  rows[#rows + 1] = row
end
return cjson.encode(rows)
"""
_RQ_WORKERS = """
local rows, fields, columns = {}, cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
for number = 3, #ARGV, 2 do
  local function read(key, names)
    local row = redis.pcall('HMGET', key, unpack(names))
    if row.err and string.find(row.err, 'WRONGTYPE') then row = {} elseif row.err then error(row.err) end
    for place = 1, #names do row[place] = row[place] or false end
    return row
  end
  local names = {}
  for place, column in ipairs(columns) do names[place] = ARGV[number + 1] .. column end
  rows[#rows + 1] = {read(ARGV[number], fields), read(KEYS[1], names)}
end
return cjson.encode(rows)
"""


class Scripted:
    """Asks by script, as long as this user may run one; who may not asks by single commands."""

    def __init__(self) -> None:
        self._allowed = True
        #: Called whenever Redis has answered a part.
        self.gets_on: Callable[[], None] = lambda: None

    def ask(self, connection: Any, script: str, key: str, pieces: Sequence[Sequence[str]]) -> list[Any] | None:
        """One row for each thing that was asked for, all pieces together.

        Args:
            connection: A redis-py client.
            script: Returns a JSON array of rows.
            key: A key of the slot that it reads in.
            pieces: The arguments of each call.

        Returns:
            The rows; ``None`` where scripts cannot answer, and commands have to.
        """
        if not self._allowed:
            return None
        rows: list[Any] = []
        try:
            for first in range(0, len(pieces), _CALLS_AT_ONCE):
                pipe = connection.pipeline(transaction=False)
                for arguments in pieces[first : first + _CALLS_AT_ONCE]:
                    pipe.eval(script, 1, key, *arguments)
                rows += [row for reply in pipe.execute() for row in json.loads(text(reply))]
                self.gets_on()
        except (ResponseError, ValueError) as error:
            # The permission is asked for once; whatever else it was, the commands say what.
            self._allowed = not isinstance(error, NoPermissionError)
            return None
        return rows


def read_queues(
    connection: Any, keys: Keys, now: float, scripted: Scripted | None = None, discovery: Discovery | None = None
) -> tuple[tuple[QueueState, ...], tuple[RateLimitState, ...]]:
    """What RQ holds per queue, and what its rate limits hold back.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        now: The server's clock, Unix time in seconds.
        scripted: Asks by script; by single commands without it.
        discovery: Knows further prefixes, of applications' own classes, under which queues may be listed; is told of
            what this user may not read there.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    pipe = connection.pipeline(transaction=False)
    pipe.smembers(keys.queues)
    pipe.smembers(keys.rate_limits)
    found, limits = pipe.execute()
    listed = {text(key) for key in found}
    elsewhere = _elsewhere(connection, keys, listed, discovery or Discovery())
    names = sorted({keys.queue_name(key) for key in listed if key.startswith(keys.queue(""))} | elsewhere.keys())
    rows = (scripted and _rows_by_script(connection, keys, names, now, scripted)) or _rows(connection, keys, names, now)
    for name, row in zip(names, rows, strict=True):
        for queued, intermediate, head in elsewhere.get(name, ()):
            row[:3] = [int(row[0]) + queued, int(row[1]) + intermediate, row[2] or head]
    heads = _heads(connection, keys, [text(row[2]) if row[2] else None for row in rows])
    deferred = {name: int(row[_DEFERRED]) for name, row in zip(names, rows, strict=True) if row[_DEFERRED]}
    blocked = find_blocked(connection, keys, deferred)
    return tuple(
        _queue_state(name, row, head, blocked.get(name, ())) for name, row, head in zip(names, rows, heads, strict=True)
    ), _rate_limits(connection, keys, sorted(map(text, limits)), now)


def _elsewhere(
    connection: Any, keys: Keys, listed: set[str], discovery: Discovery
) -> dict[str, list[tuple[int, int, Any]]]:
    """By name what the lists of queues hold whose class has a key prefix of its own: jobs, intermediate ones, the head.

    Registries, jobs and locks of such a queue are where all are. Who may not read such a list, as a user who is kept to
    RQ's keys, does not know the queue: that it is empty would be wrong.
    """
    pipe = connection.pipeline(transaction=False)
    lists = [f"{prefix}:queues" for prefix in sorted(discovery.prefixes)]
    for name in lists:
        pipe.smembers(name)
    replies = pipe.execute(raise_on_error=False) if lists else []
    discovery.refused |= {name for name, reply in zip(lists, replies, strict=True) if _is_refusal(reply)}
    more = [() if _is_refusal(reply) else _unless_another_type(reply, ()) for reply in replies]
    everything = listed.union(*(map(text, members) for members in more))
    strange = sorted(key for key in everything if not key.startswith(keys.queue("")))
    if not strange:
        return {}
    found: dict[str, list[tuple[int, int, Any]]] = {}
    for piece in _pieces(strange, _PIECE // 3):
        pipe = connection.pipeline(transaction=False)
        for key in piece:
            pipe.llen(key)
            pipe.llen(f"{key}:intermediate")
            pipe.lindex(key, 0)
        replies = pipe.execute(raise_on_error=False)
        for key, first in zip(piece, range(0, len(replies), 3), strict=True):
            if any(map(_is_refusal, replies[first : first + 3])):
                discovery.refused.add(key)
                continue
            queued, intermediate, head = (_unless_another_type(reply, None) for reply in replies[first : first + 3])
            found.setdefault(keys.queue_name(key), []).append((int(queued or 0), int(intermediate or 0), head))
    return found


def _is_refusal(reply: Any) -> bool:
    return isinstance(reply, NoPermissionError)


def _rows_by_script(
    connection: Any, keys: Keys, names: list[str], now: float, scripted: Scripted
) -> list[list[Any]] | None:
    """The same as :func:`_rows`, in a twentieth of the time."""
    spots = [keys.queue(_MARK), keys.intermediate(_MARK), keys.scheduler_lock(_MARK)]
    spots += [keys.registry(status, _MARK) for status in ("scheduled", *_ZSETS)]
    parts = json.dumps([spot.split(_MARK) for spot in spots])
    pieces = [(str(now - 1), parts, *piece) for piece in _pieces(names, _QUEUES_BY_SCRIPT)]
    return scripted.ask(connection, _QUEUES, keys.queues, pieces)


def _rows(connection: Any, keys: Keys, names: list[str], now: float) -> list[list[Any]]:
    """What there is of each queue: jobs, those between queue and RQ worker, the head, the lock, overdue, registries."""
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
    return rows


def _rate_limits(connection: Any, keys: Keys, names: list[str], now: float) -> tuple[RateLimitState, ...]:
    """RQ's rate limits, those that hold most jobs back first."""
    found = []
    for piece in _pieces(names, _PIECE // 5):
        pipe = connection.pipeline(transaction=False)
        for name in piece:
            pipe.hget(keys.rate_limit(name), "concurrency")
            pipe.zcard(keys.rate_limit_allowed(name))
            pipe.zrangebyscore(keys.rate_limit_allowed(name), "-inf", "+inf", start=0, num=_MOST_NAMED)
            pipe.zcard(keys.rate_limited(name))
            pipe.zrangebyscore(keys.rate_limited(name), "-inf", "+inf", start=0, num=1, withscores=True)
        replies = pipe.execute()
        for name, first in zip(piece, range(0, len(replies), 5), strict=True):
            slots, allowed, some, held, oldest = replies[first : first + 5]
            since = min(now, max(0.0, float(oldest[0][1]))) if oldest else None  # it is by a producer's clock
            jobs = tuple(label_text(text(job)) for job in some)
            count = count_of(text(slots)) or 0 if slots is not None else 0
            found.append(RateLimitState(label_text(name), count, int(allowed), jobs, int(held), since))
    return tuple(sorted(found, key=lambda limit: -limit.held))


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


def _queue_state(name: str, row: list[Any], oldest: float | None, blocked: Sequence[str]) -> QueueState:
    queued, intermediate, _, lock, overdue, *registries = row
    jobs = {"queued": int(queued), "intermediate": int(intermediate)}
    jobs.update(zip(_ZSETS, map(int, registries), strict=True))
    named = tuple(map(label_text, blocked[:_MOST_NAMED]))
    return QueueState(name, jobs, oldest, int(overdue), bool(lock), len(blocked), named)


class Discovery:
    """RQ workers that RQ does not list, found by their keys.

    Those whose class has a key prefix of its own are listed by queue, and these lists have to be found. And one that
    lives through a loss of everything (``FLUSHALL``) is in no list any more: RQ lists a worker when it starts. Its
    hash comes anew with its next execution.

    Redis is asked for a few pieces of its key space at every look, more at the first, so the cost of a look does not
    depend on how many keys there are.
    """

    _FIRST, _LATER, _KEYS = 20, 2, 1000

    def __init__(self) -> None:
        self._cursor = 0
        self._steps = self._FIRST
        #: The sets in which RQ lists its workers by queue, and the hashes of workers, as far as they have been found.
        self.lists: set[str] = set()
        self.hashes: set[str] = set()
        #: Key prefixes of RQ workers whose class has one of its own.
        self.prefixes: set[str] = set()
        #: Of those, the keys that this user may not read, at the last look: RQ workers, and lists of jobs.
        self.refused: set[str] = set()

    def look(self, connection: Any, keys: Keys) -> None:
        """Look at the next pieces."""
        hashes, lists = keys.rq_worker(""), keys.workers_by_queue("")
        pattern = hashes.removesuffix(":").replace("[", "\\[") + "*:*"
        steps, self._steps = self._steps, self._LATER
        for _ in range(steps):
            try:
                self._cursor, found = connection.scan(self._cursor, match=pattern, count=self._KEYS)
            except ResponseError:  # this user may not look for keys; then only RQ's own list is known
                break
            names = set(map(text, found))
            self.lists.update(name for name in names if name.startswith(lists))
            self.hashes.update(name for name in names if name.startswith(hashes))
            if not self._cursor:
                break


def read_rq_workers(
    connection: Any, keys: Keys, discovery: Discovery, scripted: Scripted | None = None
) -> tuple[RQWorkerState, ...]:
    """Every live RQ worker, with RQ's counts and those of its account, both of one moment.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        discovery: What has been found of RQ's lists of workers.
        scripted: Asks by script; by single commands without it.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    discovery.look(connection, keys)
    pipe = connection.pipeline(transaction=False)
    pipe.smembers(keys.rq_workers)
    for by_queue in sorted(discovery.lists):
        pipe.smembers(by_queue)
    listed = [_unless_another_type(reply, ()) for reply in pipe.execute(raise_on_error=False)]
    found = {text(key) for members in listed for key in members}
    strange = (key.partition(":worker:") for key in sorted(found) if not key.startswith(keys.rq_worker("")))
    new = (prefix for prefix, separator, _ in strange if separator and prefix not in discovery.prefixes)
    discovery.prefixes.update(islice(new, _MOST_PREFIXES - len(discovery.prefixes)))
    refused = _refused(connection, [key for key in found if not key.startswith(keys.rq_worker(""))])
    discovery.refused = refused
    accounts = sorted(map(keys.account, (found | discovery.hashes) - refused))
    rows = (scripted and _workers_by_script(connection, keys, accounts, scripted)) or _workers(
        connection, keys, accounts
    )
    states = []
    for account, row in zip(accounts, rows, strict=True):
        state = _worker_state(account, *row)
        if state is not None:
            states.append(state)
        else:
            discovery.hashes.discard(keys.rq_worker(account))
    return tuple(states)


def _refused(connection: Any, strange: Sequence[str]) -> set[str]:
    """Which of these keys of RQ workers, whose class has a prefix of its own, this user may not read."""
    refused = set()
    for piece in _pieces(strange, _PIECE):
        pipe = connection.pipeline(transaction=False)
        for key in piece:
            pipe.hget(key, "birth")
        replies = pipe.execute(raise_on_error=False)
        refused |= {key for key, reply in zip(piece, replies, strict=True) if isinstance(reply, NoPermissionError)}
    return refused


def _workers_by_script(
    connection: Any, keys: Keys, accounts: list[str], scripted: Scripted
) -> list[tuple[Any, Any]] | None:
    """The same as :func:`_workers`, in a tenth of the time."""
    columns = [encode(["", column]) for column in _COLUMNS]
    pieces = [
        (
            *(json.dumps(_WORKER_FIELDS), json.dumps(columns)),
            *(part for account in piece for part in (keys.rq_worker(account), encode([account]))),
        )
        for piece in _pieces(accounts, _WORKERS_BY_SCRIPT)
    ]
    return scripted.ask(connection, _RQ_WORKERS, keys.accounts, pieces)


def _workers(connection: Any, keys: Keys, accounts: list[str]) -> list[tuple[Any, Any]]:
    """What RQ's hash and the account have of each RQ worker, both of one moment."""
    nothing = [None] * len(_WORKER_FIELDS)
    rows: list[tuple[Any, Any]] = []
    for piece in _pieces(accounts, _WORKERS_AT_ONCE):
        pipe = connection.pipeline()
        for account in piece:
            pipe.hmget(keys.rq_worker(account), _WORKER_FIELDS)
            pipe.hmget(keys.accounts, [encode([account, column]) for column in _COLUMNS])
        replies = [_unless_another_type(reply, nothing) for reply in pipe.execute(raise_on_error=False)]
        rows += zip(replies[::2], replies[1::2], strict=True)
    return rows


def still_there(connection: Any, keys: Keys, accounts: Iterable[str]) -> set[str]:
    """Of these, the RQ workers that are listed or whose hash says that they live.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    there = {keys.account(text(key)) for key in connection.smembers(keys.rq_workers)}
    for piece in _pieces(set(accounts) - there, _PIECE):
        pipe = connection.pipeline(transaction=False)
        for account in piece:
            pipe.hmget(keys.rq_worker(account), "state", "birth", "death", "last_heartbeat")
        for account, reply in zip(piece, pipe.execute(raise_on_error=False), strict=True):
            if _is_refusal(reply):  # nobody here can tell
                there.add(account)
                continue
            state, birth, death, heartbeat = _unless_another_type(reply, [None] * 4)
            # One whose hash came anew has only counts and heartbeats at first, and its account belongs to those.
            if _lives(state or heartbeat, birth, death):
                there.add(account)
    return there


def _lives(state: Any, birth: Any, death: Any) -> bool:
    """Not one that has gone, or that has expired and is not yet forgotten by RQ.

    An orphaned work-horse that counts its ending on the hash of a dead worker brings it back with nothing but that.
    """
    return bool(state or birth) and not death


def _unless_another_type(reply: Any, nothing: Any) -> Any:
    """A reply, with nothing in place of one about a key that another program uses."""
    if isinstance(reply, ResponseError) and "WRONGTYPE" in str(reply):
        return nothing
    if isinstance(reply, Exception):
        raise reply
    return reply


def _worker_state(account: str, row: Sequence[Any], columns: Sequence[Any]) -> RQWorkerState | None:
    facts = ("" if not value else text(value) for value in row)
    state, queues, birth, death, succeeded, failed, heartbeat, host, mark = facts
    if not _lives(state, birth, death):
        return None
    if not birth and not mark and not (succeeded or failed):
        return None  # RQ's hash came anew under it; whether it records, its first ending says
    # Without a mark, an account of that name belongs to an earlier RQ worker.
    booked = [count_of(text(value)) or 0 if value and mark else 0 for value in columns[: len(_COLUMNS)]]
    said = _mark(mark)
    remarks = (MISSING, LACKING, UNTESTED, MEMORY_LIMIT)
    missing, lacking, untested, memory_limit = (said.pop(remark, "") for remark in remarks)
    return RQWorkerState(
        name=account,
        queues=tuple(queues.split(",")) if queues else (),
        status=label_text(state) or "started",
        instrumented=bool(mark) and not missing,
        succeeded_by_rq=count_of(succeeded) or 0,
        failed_by_rq=count_of(failed) or 0,
        succeeded=booked[0] + booked[1],
        failed=booked[2] + booked[3],
        uncounted_by_rq=booked[4],
        versions=said,
        missing=tuple(missing.split()),
        lacking=tuple(lacking.split()),
        untested=bool(untested),
        birth=rq_time(birth),
        heartbeat=rq_time(heartbeat),
        host=label_text(host),
        memory_limit=count_of(memory_limit),
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
