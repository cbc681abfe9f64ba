"""What RQ itself holds: queues, registries, its workers and what it counted for them. Read-only, in bounded pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from jobtelemetry.store.scripted import Members, Scripted, Sheet
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
_ZSETS = ("started", "scheduled", "deferred", "ready_to_enqueue", "finished", "failed", "canceled")
#: Commands that are sent at once, and RQ workers whose two counts are read at one moment.
_PIECE = 500
_WORKERS_AT_ONCE = 100
_MOST_NAMED = 5
_MOST_PREFIXES = 20  # of classes with one of their own; mostly there is one
#: Queues, RQ workers, and lists of these, that one script looks at: it holds Redis for less than a millisecond.
_QUEUES_BY_SCRIPT = 25
_WORKERS_BY_SCRIPT = 50
_LISTS_BY_SCRIPT = 20
_LONGEST_LIST = 100
_MARK = "\0"  # stands for the queue in the names of its keys
#: What a queue's keys are counted by, those that most queues have first: the script stops when it has met all of them.
_COUNTED_BY = {
    "lock": "EXISTS",
    "finished": "ZCARD",
    "failed": "ZCARD",
    "queued": "LLEN",
    "started": "ZCARD",
    "canceled": "ZCARD",
    "scheduled": "ZCARD",
    "deferred": "ZCARD",
    "intermediate": "LLEN",
    "ready_to_enqueue": "ZCARD",
}

_QUEUES = """
local rows, spots, job = {}, cjson.decode(ARGV[2]), ARGV[3]
for number, queue in ipairs(cjson.decode(ARGV[4])) do
  local keys = {}
  for place, spot in ipairs(spots) do keys[place] = spot[2] .. queue .. spot[3] end
  local left = redis.call('EXISTS', unpack(keys))
  if left == 0 then
    rows[number] = '0'
  else
    local row, oldest, overdue = {}, false, 0
    for place, spot in ipairs(spots) do
      row[place] = left > 0 and redis.call(spot[1], keys[place]) or 0
      if row[place] > 0 then
        left = left - 1
        if spot[4] == 'queued' then
          local head = redis.call('LINDEX', keys[place], 0)
          oldest = redis.call('HGET', job .. head, 'enqueued_at')
        elseif spot[4] == 'scheduled' then
          overdue = redis.call('ZCOUNT', keys[place], '-inf', ARGV[1])
        end
      end
    end
    row[#row + 1] = oldest
    row[#row + 1] = overdue
    rows[number] = cjson.encode(row)
  end
end
return table.concat(rows, '\\n')
"""
_RQ_WORKERS = """
local rows, fields, columns, asked = {}, cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local function read(key, names)
  local row = redis.pcall('HMGET', key, unpack(names))
  if not row.err then return row end
  if not string.find(row.err, 'WRONGTYPE') then error(row.err) end
  row = {}
  for place = 1, #names do row[place] = false end
  return row
end
for number = 1, #asked, 2 do
  local row = read(asked[number], fields)
  if row[#fields] then
    local names = {}
    for place, column in ipairs(columns) do names[place] = asked[number + 1] .. column end
    for place, value in ipairs(read(KEYS[1], names)) do row[#fields + place] = value end
  end
  rows[#rows + 1] = cjson.encode(row)
end
return table.concat(rows, '\\n')
"""
# What lists have that is not in the declared one; a long list is for who asked.
_UNLISTED = """
local found, long = {}, {}
for _, list in ipairs(cjson.decode(ARGV[2])) do
  local size = redis.pcall('SCARD', list)
  if type(size) == 'table' then
    if not string.find(size.err, 'WRONGTYPE') then error(size.err) end
  elseif size > tonumber(ARGV[1]) then
    long[#long + 1] = list
  else
    for _, member in ipairs(redis.call('SDIFF', list, KEYS[1])) do found[#found + 1] = member end
  end
end
return cjson.encode({found, long})
"""


class Queues:
    """Reads what RQ holds per queue, and what its rate limits hold back; a queue that is as before is the same object.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        scripted: Asks by script; by single commands without it.
        discovery: Knows further prefixes, of applications' own classes, under which queues may be listed; is told of
            what this user may not read there.
    """

    def __init__(
        self, connection: Any, keys: Keys, scripted: Scripted | None = None, discovery: Discovery | None = None
    ) -> None:
        self._connection, self._keys = connection, keys
        self._scripted = scripted or Scripted(connection, allowed=False)
        self._discovery = discovery or Discovery()
        self._members = Members(self._scripted)
        self._listed: frozenset[str] = frozenset()
        self._strange: frozenset[str] = frozenset()
        self._names: list[str] = []
        self._added: dict[str, QueueState] = {}
        self._blocked: dict[str, QueueState] = {}
        self._sheet = Sheet(_QUEUES, at_once=_QUEUES_BY_SCRIPT, arguments=json.dumps, make=_of_script)
        places = {
            "lock": keys.scheduler_lock(_MARK),
            "queued": keys.queue(_MARK),
            "intermediate": keys.intermediate(_MARK),
            **{status: keys.registry(status, _MARK) for status in _ZSETS},
        }
        self._spots = json.dumps([[by, *places[what].split(_MARK), what] for what, by in _COUNTED_BY.items()])

    def read(self, now: float) -> tuple[tuple[QueueState, ...], tuple[RateLimitState, ...]]:
        """Every queue by name, and the rate limits.

        Args:
            now: The server's clock, Unix time in seconds.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        connection, keys = self._connection, self._keys
        listed = self._members.of((keys.queues, keys.rate_limits)) or [
            frozenset(map(text, connection.sscan_iter(key, count=_PIECE))) for key in (keys.queues, keys.rate_limits)
        ]
        if listed[0] is not self._listed:
            self._listed = listed[0]
            self._strange = frozenset(key for key in listed[0] if not key.startswith(keys.queue("")))
            self._names = sorted(map(keys.queue_name, listed[0] - self._strange))
        elsewhere = _elsewhere(connection, keys, self._strange, self._discovery)
        names = sorted({*self._names, *elsewhere}) if elsewhere else self._names
        asked = (str(now - 1), self._spots, keys.job(""))
        states = self._sheet.read(self._scripted, keys.queues, names, *asked)
        if states is None:
            states = tuple(_states(connection, keys, names, now))
        if elsewhere:
            states = self._with_elsewhere(states, elsewhere)
        return self._with_blocked(states), _rate_limits(connection, keys, sorted(listed[1]), now)

    def _with_elsewhere(
        self, states: tuple[QueueState, ...], elsewhere: Mapping[str, Sequence[tuple[int, int, Any]]]
    ) -> tuple[QueueState, ...]:
        """The same with what lists of other prefixes hold besides."""
        heads = [next((text(head) for *_, head in elsewhere.get(state.name, ()) if head), None) for state in states]
        before, self._added = self._added, {}
        for state, oldest in zip(states, _heads(self._connection, self._keys, heads), strict=True):
            if lists := elsewhere.get(state.name):
                jobs = dict(state.jobs)
                jobs["queued"] += sum(queued for queued, _, _ in lists)
                jobs["intermediate"] += sum(intermediate for _, intermediate, _ in lists)
                first = state.oldest_enqueued_at if state.jobs["queued"] else oldest
                new = replace(state, jobs=jobs, oldest_enqueued_at=first)
                old = before.get(state.name)
                self._added[state.name] = old if old is not None and old == new else new
        return tuple(self._added.get(state.name, state) for state in states)

    def _with_blocked(self, states: tuple[QueueState, ...]) -> tuple[QueueState, ...]:
        """The same with what of their deferred jobs nothing will ever let run."""
        deferred = {state.name: state.jobs["deferred"] for state in states if state.jobs["deferred"]}
        blocked = find_blocked(self._connection, self._keys, deferred)
        if not blocked:
            return states
        before, self._blocked = self._blocked, {}
        found = []
        for state in states:
            if texts := blocked.get(state.name):
                named = tuple(map(label_text, texts[:_MOST_NAMED]))
                new = replace(state, blocked=len(texts), blocked_by=named)
                old = before.get(state.name)
                self._blocked[state.name] = old if old is not None and old == new else new
            found.append(self._blocked.get(state.name, state))
        return tuple(found)


def _of_script(name: str, row: Any) -> QueueState:
    *counts, oldest, overdue = row or (*(0 for _ in _COUNTED_BY), False, 0)
    return _queue_state(name, dict(zip(_COUNTED_BY, counts, strict=True)), rq_time(oldest), overdue)


def _elsewhere(
    connection: Any, keys: Keys, strange: frozenset[str], discovery: Discovery
) -> dict[str, list[tuple[int, int, Any]]]:
    """By name what the lists of queues hold whose class has a key prefix of its own: jobs, intermediate ones, the head.

    Registries, jobs and locks of such a queue are where all are. Who may not read such a list, as a user who is kept to
    RQ's keys, does not know the queue: that it is empty would be wrong.
    """
    if not strange and not discovery.prefixes:
        return {}
    pipe = connection.pipeline(transaction=False)
    lists = [f"{prefix}:queues" for prefix in sorted(discovery.prefixes)]
    for name in lists:
        pipe.smembers(name)
    replies = pipe.execute(raise_on_error=False) if lists else []
    discovery.refused |= {name for name, reply in zip(lists, replies, strict=True) if _is_refusal(reply)}
    more = [() if _is_refusal(reply) else _unless_another_type(reply, ()) for reply in replies]
    everything = strange.union(*(map(text, members) for members in more))
    found: dict[str, list[tuple[int, int, Any]]] = {}
    for piece in _pieces(sorted(key for key in everything if not key.startswith(keys.queue(""))), _PIECE // 3):
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


def _states(connection: Any, keys: Keys, names: list[str], now: float) -> Iterator[QueueState]:
    """The same by single commands."""
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
    for name, (queued, intermediate, _, lock, overdue, *registries), oldest in zip(names, rows, heads, strict=True):
        counts = {"lock": lock, "queued": queued, "intermediate": intermediate}
        yield _queue_state(name, counts | dict(zip(_ZSETS, registries, strict=True)), oldest, overdue)


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


def _queue_state(name: str, counts: Mapping[str, Any], oldest: float | None, overdue: Any) -> QueueState:
    jobs = {status: int(counts[status]) for status in ("queued", "intermediate", *_ZSETS)}
    return QueueState(name, jobs, oldest, int(overdue), bool(counts["lock"]), blocked=0)


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


class RQWorkers:
    """Reads what RQ's workers are, with RQ's counts and those of their accounts; one that is as before is the same.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        scripted: Asks by script; by single commands without it.
    """

    def __init__(
        self, connection: Any, keys: Keys, scripted: Scripted | None = None, discovery: Discovery | None = None
    ) -> None:
        self._connection, self._keys = connection, keys
        self._scripted = scripted or Scripted(connection, allowed=False)
        self._discovery = discovery or Discovery()
        self._members, self._long_lists = Members(self._scripted), Members(self._scripted)
        self._found: tuple[Any, ...] = ()
        self._all: frozenset[str] = frozenset()
        #: Those whose class has a key prefix of its own, and of them the ones that this user may not read.
        self._strange: list[str] = []
        self._refused: set[str] = set()
        self._accounts: list[str] | None = None
        self._rows: tuple[RQWorkerState | None, ...] = ()
        self._states: tuple[RQWorkerState, ...] = ()
        self._sheet = Sheet(_RQ_WORKERS, at_once=_WORKERS_BY_SCRIPT, arguments=self._asked, make=_of_row)
        columns = [encode(["", column]) for column in _COLUMNS]
        self._columns = (json.dumps(_WORKER_FIELDS), json.dumps(columns))

    def _asked(self, accounts: list[str]) -> str:
        return json.dumps([part for one in accounts for part in (self._keys.rq_worker(one), encode([one]))])

    def read(self) -> tuple[RQWorkerState, ...]:
        """Every live RQ worker, both counts of one moment; the same object as before if nothing changed.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        connection, keys, hashes = self._connection, self._keys, self._discovery.hashes
        self._discovery.look(connection, keys)
        listed = self._listed()
        found = (*listed, frozenset(hashes.difference(*listed)))
        if found != self._found:
            self._found, self._all = found, frozenset().union(*found)
            self._strange = sorted(key for key in self._all if not key.startswith(keys.rq_worker("")))
            self._accounts = None
            self._note_prefixes()
        refused = _refused(connection, self._strange)
        if self._accounts is None or refused != self._refused:
            self._refused, self._accounts = refused, sorted(map(keys.account, self._all - refused))
        self._discovery.refused = set(refused)
        rows = self._sheet.read(self._scripted, keys.accounts, self._accounts, *self._columns)
        if rows is None:
            read = _workers(connection, keys, self._accounts)
            rows = tuple(_worker_state(name, *row) for name, row in zip(self._accounts, read, strict=True))
        if rows is not self._rows:
            self._rows, self._states = rows, tuple(state for state in rows if state is not None)
        if hashes and len(self._states) < len(rows):
            gone = (name for name, state in zip(self._accounts, rows, strict=True) if state is None)
            hashes.difference_update(map(keys.rq_worker, gone))
        return self._states

    def _note_prefixes(self) -> None:
        known = self._discovery.prefixes
        parts = (key.partition(":worker:") for key in self._strange)
        new = dict.fromkeys(prefix for prefix, separator, _ in parts if separator and prefix not in known)
        known.update(islice(new, _MOST_PREFIXES - len(known)))

    def _listed(self) -> tuple[frozenset[str], ...]:
        """The keys of RQ workers that stand in RQ's lists."""
        keys, lists = self._keys, sorted(self._discovery.lists)
        everyone = self._members.of((keys.rq_workers,))
        calls = [
            (keys.rq_workers, (str(_LONGEST_LIST), json.dumps(piece))) for piece in _pieces(lists, _LISTS_BY_SCRIPT)
        ]
        replies = None if everyone is None else self._scripted.ask(_UNLISTED, calls)
        if everyone is not None and replies is not None:
            unlisted = [json.loads(text(reply)) for reply in replies]
            by_list = self._long_lists.of([name for _, long in unlisted for name in long])
            if by_list is not None:
                return (*everyone, *by_list, frozenset(name for found, _ in unlisted for name in found))
        return tuple(_members(self._connection, key) for key in (keys.rq_workers, *lists))


def _members(connection: Any, key: str) -> frozenset[str]:
    try:
        return frozenset(map(text, connection.sscan_iter(key, count=_PIECE)))
    except ResponseError as error:
        return frozenset(_unless_another_type(error, ()))


def _of_row(account: str, row: Sequence[Any]) -> RQWorkerState | None:
    return _worker_state(account, row[: len(_WORKER_FIELDS)], row[len(_WORKER_FIELDS) :])


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
    booked = [count_of(text(value)) or 0 if value and mark else 0 for value in columns] or [0] * len(_COLUMNS)
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
