"""What goes to Redis for one execution and comes back: whatever is in it arrives, and it is little."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store.decode import running_entry
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import (
    Booking,
    Finished,
    Known,
    Limits,
    Start,
    Started,
    append_enqueued,
    append_finish,
    append_start,
    finished,
    started,
)
from jobtelemetry.store.scripts import load

KEYS = Keys()
RQ_WORKER = KEYS.rq_worker("one")
SET = KEYS.label_set("jobs.work|default")
GENERATION = Known("7", 0)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A real server, for this module."""
    with EmbeddedServer() as server:
        yield server.connection()


@pytest.fixture
def redis(server: Redis) -> Redis:
    """With nothing but an RQ worker, a job, a generation, and the label set that a job of this kind has counted in."""
    server.flushall()
    load(server)
    server.hset(KEYS.meta, mapping={"layout": "2", "generation": "7", "since": "1", "start": "0"})
    server.hset(RQ_WORKER, mapping={"birth": "x", "jobtelemetry": "{}"})
    server.hset(KEYS.job("a"), mapping={"status": "started", "jobtelemetry_attempt": "0"})
    _finish(server, execution="before")
    return server


def _start(redis: Redis, execution: str = "e", job: str = "a", **facts: Any) -> Started:
    begun = Start(execution, job, "jobs.work", "default", "one", "one", **facts)
    pipe = redis.pipeline()
    now = time.time()
    job_key = KEYS.job("a")
    append_start(pipe, KEYS, begun, job_key=job_key, limits=Limits(), ready_at=now, clock=now, known=GENERATION)
    return started(pipe.execute()[0])


def _finish(redis: Redis, execution: str = "e", job: str = "a", log_size: int = 0, **facts: Any) -> Finished:
    usual = {"outcome": Outcome(State.COMPLETED), "duration": 0.01, "wait": 0.02, "cpu": 0.003, "memory": 5000}
    event = ExecutionEvent(execution, job, "jobs.work", "default", "one", **usual | facts)
    pipe = redis.pipeline()
    append_finish(
        pipe,
        KEYS,
        event,
        job_key=KEYS.job("a"),
        rq_worker_key=RQ_WORKER,
        limits=Limits(log_size=log_size),
        booking=Booking.of(event.outcome.state),
        known=GENERATION,
    )
    return finished(pipe.execute()[0])


def _commands(redis: Redis, work: Any) -> int:
    """How many commands the server executed for it, those of scripts included and MULTI, EXEC and INFO not."""
    before = redis.info("stats")["total_commands_processed"]
    work()
    return int(redis.info("stats")["total_commands_processed"] - before - 3)


def test_one_execution_costs_few_commands(redis: Redis) -> None:
    """What the usual start, end and enqueuing cost the server is known; whoever adds to it sees it here."""

    def enqueue() -> None:
        pipe = redis.pipeline()
        append_enqueued(pipe, KEYS, "jobs.work", "default", limits=Limits(), clock=time.time(), who="host 1")
        pipe.execute()

    assert _commands(redis, lambda: _start(redis)) == 9
    assert _commands(redis, lambda: _finish(redis)) == 15
    assert _commands(redis, enqueue) == 7


@pytest.mark.parametrize(
    "text",
    ["a|b|c", "two\nlines\r\n", "\x00 and \x1f", 'quoted "\\" }', "Zürich \u2028 \U0001f3ac", "x" * 1_000_000],
    ids=["separators", "lines", "control", "json", "unicode", "a megabyte"],
)
def test_any_id_arrives_as_it_is(redis: Redis, text: str) -> None:
    """Ids and texts of others are the same on the other side, and find their own entry again."""
    begun = _start(redis, text, text, trace=text, retries_left=2)
    assert (begun.attempt, begun.fault) == (1, "")
    ((execution, entry),) = redis.hgetall(KEYS.running).items()
    found = running_entry(execution.decode(), entry.decode())
    assert (found.execution_id, found.job_id, found.trace, found.retries_left) == (text, text, text, 2)
    assert (found.series, found.attempt) == (("jobs.work", "default", ()), 1)
    assert (found.started_at, found.wait) == (begun.at, begun.wait)
    ended = _finish(redis, text, text, log_size=10, message=text)
    assert (ended.answer, ended.fault) == ("counted", "")
    assert not redis.exists(KEYS.running)
    ((_, logged),) = redis.xrange(KEYS.log)
    assert (logged[b"job"].decode(), logged[b"message"].decode()) == (text, text[:500])


def test_half_a_character_is_written_as_an_escape(redis: Redis) -> None:
    """A lone surrogate, which UTF-8 does not have, is the same escape at the start and at the end."""
    _start(redis, "e\udcff", "a\udcff")
    assert list(redis.hgetall(KEYS.running)) == [b"e\\udcff"]
    assert _finish(redis, "e\udcff", "a\udcff").answer == "counted"
    assert not redis.exists(KEYS.running)


def test_a_start_that_is_sent_twice_gets_the_same_answer(redis: Redis) -> None:
    """The first reply was lost on its way: the second one says the same, and the attempt is counted once."""
    first = _start(redis)
    assert _start(redis) == first
    assert (first.attempt, redis.hget(KEYS.job("a"), "jobtelemetry_attempt")) == (1, b"1")
    assert redis.hget(KEYS.meta, "running") == b"1"


def test_an_entry_that_is_none_is_replaced(redis: Redis) -> None:
    """What somebody else wrote in its place does not keep an execution from being counted."""
    redis.hset(KEYS.running, "e", "no entry")
    begun = _start(redis)
    assert running_entry("e", redis.hget(KEYS.running, "e").decode()).started_at == begun.at  # type: ignore[union-attr]
    assert _finish(redis).answer == "counted"


@pytest.mark.parametrize("before", [0, 99_999_999_999_999, 2**53, 2**62], ids=["0", "15 digits", "2^53", "2^62"])
def test_sums_are_exact_however_large(redis: Redis, before: int) -> None:
    """Lua adds small numbers and Redis the others; neither loses one."""
    redis.hset(SET, mapping={"duration|completed|sum": before, "cpu": before, "executions|completed": before})
    for number in range(3):
        _finish(redis, f"e{number}")
    found = redis.hmget(SET, "duration|completed|sum", "cpu", "executions|completed")
    assert [int(value) - before for value in found] == [30_000, 9_000, 3]  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ["", "many", "-5", "1.5", "1e3", " 7"])
def test_what_is_no_number_is_not_added_to(redis: Redis, odd: str) -> None:
    """An odd value of a sum is a fault, and the execution is counted; with an odd number of executions it is not."""
    redis.hset(SET, "cpu", odd)
    ended = _finish(redis)
    assert ended.answer == "counted"
    assert (redis.hget(SET, "cpu") == b"2995", bool(ended.fault)) == ((True, False) if odd == "-5" else (False, True))
    redis.hset(SET, "executions|completed", odd)
    counted = redis.hget(KEYS.meta, "counted")
    if odd != "-5":
        assert _finish(redis, "other").answer == ""
        assert redis.hget(KEYS.meta, "counted") == counted


def test_a_fault_may_say_anything(redis: Redis) -> None:
    """The reply is one text, and Redis's own words stand whole at its end."""
    begun = started(b"1|1795633317288322||7|12|WRONGTYPE a|b|c")
    assert begun == Started(1, "WRONGTYPE a|b|c", 1795633317.288322, None, Known("7", 12))
    redis.delete(SET)
    redis.set(SET, "a text")
    ended = _finish(redis)
    assert ended.answer == ""
    assert "WRONGTYPE" in ended.fault
