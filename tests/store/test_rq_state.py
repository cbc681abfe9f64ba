"""What RQ holds, asked for by script and by single commands: the same, whoever may run what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.books import append_register, registered
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Known
from jobtelemetry.store.rq_state import Queues, RQWorkers
from jobtelemetry.store.scripted import Scripted
from jobtelemetry.store.scripts import execute

KEYS = Keys("{a}rq")
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server with more queues and RQ workers than one script counts, some of them odd."""
    with EmbeddedServer() as running:
        fill(running.connection())
        yield running


def fill(connection: Any) -> None:
    """Queues with something in every place, and RQ workers, one that is gone and one whose key is something else."""
    names = [f"q-{number}" for number in range(120)] + ["a:b", "ü€", 'with "quotes" \\ and /', "%s|%d", ""]
    connection.sadd(KEYS.queues, *map(KEYS.queue, names))
    for number, name in enumerate(names):
        if number % 3 == 0:
            connection.rpush(KEYS.queue(name), *(f"job-{number}-ü-{place}" for place in range(number % 4 + 1)))
            connection.hset(KEYS.job(f"job-{number}-ü-0"), "enqueued_at", "2026-01-31T12:00:00.000000Z")
        connection.zadd(KEYS.registry("scheduled", name), {"late": NOW - 5, "soon": NOW + 5})
        connection.zadd(KEYS.registry("failed", name), {f"f{place}": NOW for place in range(number % 7 + 1)})
        if number % 2:
            connection.set(KEYS.scheduler_lock(name), "1")
            connection.rpush(KEYS.intermediate(name), "x")
    for number in range(230):
        key = KEYS.rq_worker(f"w|{number}%")
        connection.sadd(KEYS.rq_workers, key)
        facts = {"state": "busy", "queues": "q-1,ü€", "birth": "2026-01-01T00:00:00.000000Z"}
        if number == 7:
            connection.set(key, "of somebody else")
        else:
            facts |= {"death": "2026-01-02T00:00:00.000000Z"} if number == 8 else {}
            connection.hset(key, mapping={**facts, "successful_job_count": number})
        if number % 2 and number != 7:
            pipe = connection.pipeline(transaction=False)
            append_register(pipe, KEYS, key, '{"jobtelemetry": "1"}', known=Known())
            registered(execute(pipe)[0])
            connection.hset(KEYS.accounts, f"w%7C{number}%25|s", number)


def test_scripts_and_commands_say_the_same(server: EmbeddedServer) -> None:
    """Whatever the names and numbers are, and whatever is missing."""
    connection = server.connection()
    scripted = Scripted(connection)
    queues, limited = Queues(connection, KEYS).read(NOW)
    assert Queues(connection, KEYS, scripted).read(NOW) == (queues, limited)
    assert len(queues) == 125
    assert {queue.jobs["failed"] for queue in queues} == set(range(1, 8))
    assert {queue.overdue_scheduled for queue in queues} == {1}
    assert any(queue.oldest_enqueued_at for queue in queues)
    workers = RQWorkers(connection, KEYS).read()
    assert RQWorkers(connection, KEYS, scripted).read() == workers
    assert len(workers) == 228


def test_a_thousand_cost_a_few_commands_that_hold_nobody(server: EmbeddedServer) -> None:
    """The number of commands follows the pieces, and not the queues; each is short."""
    connection = server.connection()
    connection.config_resetstat()
    Queues(connection, KEYS, Scripted(connection)).read(NOW)
    RQWorkers(connection, KEYS, Scripted(connection)).read()
    stats = connection.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == (2 + 5) + (1 + 5)


def test_who_may_not_run_scripts_reads_all_the_same(server: EmbeddedServer) -> None:
    """A user that may only read is refused at one read, and asks by commands from then on."""
    connection = server.connection()
    allowed = ("+@read", "+@connection", "+@transaction", "-eval", "-eval_ro")
    connection.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *allowed)
    connection.execute_command("ACL", "LOG", "RESET")
    reader = Redis(unix_socket_path=str(server.socket), username="reader", password="pw")
    scripted = Scripted(reader)
    queues, rq_workers = Queues(reader, KEYS, scripted), RQWorkers(reader, KEYS, scripted)
    for _ in range(3):
        assert queues.read(NOW) == Queues(connection, KEYS).read(NOW)
        assert rq_workers.read() == RQWorkers(connection, KEYS).read()
    assert sum(entry["count"] for entry in connection.acl_log()) <= 3
    reader.close()


def test_a_strange_key_is_an_error_as_before(server: EmbeddedServer) -> None:
    """A list of RQ's that is none: the script cannot say, so the command does."""
    with EmbeddedServer() as other:
        connection = other.connection()
        connection.sadd(KEYS.queues, KEYS.queue("q"))
        connection.set(KEYS.queue("q"), "no list")
        with pytest.raises(Exception, match="WRONGTYPE"):
            Queues(connection, KEYS, Scripted(connection)).read(time.time())
