"""Whatever stands under our keys: reading never raises, says what it passed over, and counting goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ResponseError

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import StoreError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store import decode
from jobtelemetry.store.books import retire_idle
from jobtelemetry.store.decode import Rejected
from jobtelemetry.store.keys import FIELDS, META_FIELDS, Keys, encode
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import reconcile, tidy
from jobtelemetry.store.record import Booking, Finished, Limits, Start, append_finish, append_start, finished, started
from jobtelemetry.store.scripts import load

KEYS = Keys()
LIMITS = Limits(label_sets=50, log_size=100)
LABELS = "jobs.a|default"

ODD = ["nan", "inf", "1e400", "-1e400", "-5", "1.5", "", " 7", "0x10", "9" * 30, "9" * 5000, "x" * 100_000]
ODD += [
    "{}",
    "[]",
    "null",
    "true",
    "[" * 2000,
    '{"a":',
    "\x00",
    "\udcff",
    "٣",
    "1|2|3|4",
    f"{'a' * 32}|{'b' * 16}|1|nan",
]
values = st.sampled_from(ODD) | st.text(max_size=20)
fields = (
    st.sampled_from([name for name in (*FIELDS, *META_FIELDS) if name != "layout"])
    | st.lists(st.sampled_from([*FIELDS, "completed", "sum", "0.5", "", "%", "%7C", "x"]), min_size=1, max_size=4).map(
        encode
    )
    | st.text(max_size=20)
)
hashes = st.dictionaries(fields, values, min_size=1, max_size=6)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A real server, for this module."""
    with EmbeddedServer() as server:
        load(server.connection())
        yield server.connection()


def scene(redis: Redis) -> None:
    """One execution that ended, one whose end nobody reported, and an RQ worker."""
    redis.flushall()
    redis.hset(KEYS.rq_worker("rq"), mapping={"birth": "2026-01-01T00:00:00.000000Z", "state": "idle"})
    redis.sadd(KEYS.rq_workers, KEYS.rq_worker("rq"))
    redis.sadd(KEYS.queues, "rq:queue:default")
    for number in range(2):
        start(redis, f"e{number}")
    assert end(redis, "e0") == "counted"


def start(redis: Redis, name: str) -> str:
    """An execution starts; what could not be written, or nothing."""
    pipe = redis.pipeline()
    one = Start(name, f"job-{name}", "jobs.a", "default", "rq", account="rq")
    append_start(pipe, KEYS, one, job_key=KEYS.job(one.job_id), limits=LIMITS)
    return started(pipe.execute()[0]).fault


def end(redis: Redis, name: str) -> str:
    """And ends; what Redis said to that."""
    return ended(redis, name).answer


def ended(redis: Redis, name: str) -> Finished:
    """Everything that it said."""
    outcome = Outcome(State.FAILURE, error_type="KeyError")
    event = ExecutionEvent(
        execution_id=name, job_id=f"job-{name}", worker="jobs.a", queue="default", rq_worker="rq", outcome=outcome
    )
    pipe = redis.pipeline()
    append_finish(
        pipe,
        KEYS,
        event,
        job_key=KEYS.job(f"job-{name}"),
        rq_worker_key=KEYS.rq_worker("rq"),
        limits=LIMITS,
        booking=Booking(),
    )
    return finished(pipe.execute()[0])


def goes_on(redis: Redis, warm: Reader) -> int:
    """Nobody raises, whoever reads; the reconciler does its work. Returns how many values were passed over."""
    rejected = [reader.read().rejected for reader in (warm, Reader(redis, KEYS))]
    for work in (
        lambda: reconcile(redis, KEYS, LIMITS),
        lambda: tidy(redis, KEYS),
        lambda: retire_idle(redis, KEYS, seconds=10),
        lambda: (warm.read(), warm.tend()),
    ):
        with suppress(StoreError, ResponseError):  # said, and counted as an error of the hook
            work()
    Reader(redis, KEYS).read()
    return max(rejected)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents=hashes, where=st.sampled_from(["meta", "accounts", "set", "traces", "running"]))
def test_a_hash_with_odd_contents(redis: Redis, contents: dict[str, str], where: str) -> None:
    """Foreign fields and values that make no sense are passed over, in every hash of ours."""
    scene(redis)
    warm = Reader(redis, KEYS)
    warm.read()
    key = {
        "meta": KEYS.meta,
        "accounts": KEYS.accounts,
        "set": KEYS.label_set(LABELS),
        "traces": KEYS.traces(LABELS),
        "running": KEYS.running,
    }[where]
    redis.hset(key, mapping={_raw(field): _raw(value) for field, value in contents.items()})
    redis.zincrby(KEYS.sets, 1, LABELS)
    goes_on(redis, warm)


@pytest.mark.parametrize("name", ["running", "label set", "meta", "accounts", "label sets"])
@pytest.mark.parametrize("value", ["nan", "1e400", "-1.5", "x" * 100_000, "null", "[1]"])
def test_what_is_passed_over_is_said(redis: Redis, name: str, value: str) -> None:
    """A value that is none is counted as rejected, and named."""
    scene(redis)
    if name == "label sets":
        redis.zadd(KEYS.sets, {value: 5})
        redis.hset(KEYS.label_set(value), "executions|completed", 1)
    elif name == "label set":
        redis.hset(KEYS.label_set(LABELS), mapping={"enqueued": value, "foreign": value})
    elif name == "running":
        redis.hset(KEYS.running, "foreign", value)
    elif name == "accounts":
        redis.hset(KEYS.accounts, "rq|unbooked", value)
    else:
        redis.hset(KEYS.meta, mapping={"foreign|" + "x" * 10: value, "late": value})
    snapshot = Reader(redis, KEYS).read()
    assert snapshot.rejected > 0
    assert snapshot.rejected_names
    assert all(len(said) < 1000 for said in snapshot.rejected_names)


@pytest.mark.parametrize("kind", ["string", "list", "set", "zset", "hash", "stream"])
@pytest.mark.parametrize("name", ["meta", "accounts", "sets", "set", "traces", "running", "closed", "log", "cancelled"])
def test_a_key_of_another_type(redis: Redis, name: str, kind: str) -> None:
    """A key that holds something else is read as nothing, and when it is free again counting goes on."""
    scene(redis)
    warm = Reader(redis, KEYS)
    warm.read()
    key = {
        "meta": KEYS.meta,
        "accounts": KEYS.accounts,
        "sets": KEYS.sets,
        "set": KEYS.label_set(LABELS),
        "traces": KEYS.traces(LABELS),
        "running": KEYS.running,
        "closed": KEYS.closed,
        "log": KEYS.log,
        "cancelled": KEYS.cancelled("default"),
    }[name]
    redis.delete(key)
    write: dict[str, Any] = {
        "string": lambda: redis.set(key, "1"),
        "list": lambda: redis.rpush(key, "1"),
        "set": lambda: redis.sadd(key, "1"),
        "zset": lambda: redis.zadd(key, {"1": 1}),
        "hash": lambda: redis.hset(key, "1", "1"),
        "stream": lambda: redis.xadd(key, {"1": "1"}),
    }
    write[kind]()
    if name != "sets":
        redis.zincrby(KEYS.sets, 1, LABELS)
    rejected = goes_on(redis, warm)
    wrong = kind != {"sets": "zset", "closed": "zset", "log": "stream", "cancelled": "zset"}.get(name, "hash")
    if wrong and name in ("meta", "accounts", "sets", "set", "traces", "running"):
        assert rejected > 0
    redis.delete(key)
    start(redis, "later")
    assert end(redis, "later") == "counted"
    snapshot = Reader(redis, KEYS).read()
    assert sum(counter.value for counter in snapshot.executions.values()) >= 1


@given(
    labels=values | st.lists(values, max_size=4).map(lambda parts: encode(parts or [""])), rows=hashes, traces=hashes
)
def test_decoding_never_raises(labels: str, rows: dict[str, str], traces: dict[str, str]) -> None:
    """Nothing that a hash can hold makes the decoder raise, and every number that it lets through is one."""
    rejected = Rejected()
    found = decode.label_set(labels, rows, traces, 0.0, rejected)
    list(decode.running_entries(rows, rejected))
    decode.meta(rows, rejected)
    if found is not None:
        numbers = [found.enqueued, found.unstarted, found.limited, *(c.value for c in found.executions.values())]
        assert all(0 <= number <= 2**53 for number in numbers)
        assert found.last_completed is None or 0 <= found.last_completed < 1e12


@pytest.mark.parametrize("value", ["nan", "1e400", "9" * 30])
@pytest.mark.parametrize("field", ["change", "running"])
def test_a_counter_that_is_no_number_costs_one_error(redis: Redis, field: str, value: str) -> None:
    """Who writes next puts it right; readers, old and new, have every execution, and nothing fails after that."""
    scene(redis)
    warm = Reader(redis, KEYS)
    warm.read()
    redis.hset(KEYS.meta, field, value)
    start(redis, "next")
    end(redis, "next")
    assert [(start(redis, name), ended(redis, name).fault) for name in ("later", "last")] == [("", "")] * 2
    for reader in (warm, Reader(redis, KEYS)):
        assert sum(counter.value for counter in reader.read().executions.values()) == 4
