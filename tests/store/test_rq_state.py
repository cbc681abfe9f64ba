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
from jobtelemetry.store.read import Reader
from jobtelemetry.store.record import Known
from jobtelemetry.store.rq_state import Discovery, Scripted, read_queues, read_rq_workers, still_there
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
    connection, scripted = server.connection(), Scripted()
    queues, limited = read_queues(connection, KEYS, NOW)
    assert read_queues(connection, KEYS, NOW, scripted) == (queues, limited)
    assert len(queues) == 125
    assert {queue.jobs["failed"] for queue in queues} == set(range(1, 8))
    assert {queue.overdue_scheduled for queue in queues} == {1}
    assert any(queue.oldest_enqueued_at for queue in queues)
    workers = read_rq_workers(connection, KEYS, Discovery())
    assert read_rq_workers(connection, KEYS, Discovery(), scripted) == workers
    assert len(workers) == 228


def test_a_thousand_cost_a_few_commands_that_hold_nobody(server: EmbeddedServer) -> None:
    """The number of commands follows the pieces, and not the queues; each is short."""
    connection = server.connection()
    connection.config_resetstat()
    read_queues(connection, KEYS, NOW, Scripted())
    read_rq_workers(connection, KEYS, Discovery(), Scripted())
    stats = connection.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 3 + 3


def test_who_may_not_run_scripts_reads_all_the_same(server: EmbeddedServer) -> None:
    """A user that may only read is refused at one read, and asks by commands from then on."""
    connection = server.connection()
    allowed = ("+@read", "+@connection", "+@transaction", "-eval", "-eval_ro")
    connection.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", *allowed)
    connection.execute_command("ACL", "LOG", "RESET")
    reader = Redis(unix_socket_path=str(server.socket), username="reader", password="pw")
    scripted = Scripted()
    for _ in range(3):
        assert read_queues(reader, KEYS, NOW, scripted) == read_queues(connection, KEYS, NOW)
        assert read_rq_workers(reader, KEYS, Discovery(), scripted) == read_rq_workers(connection, KEYS, Discovery())
    assert sum(entry["count"] for entry in connection.acl_log()) <= 3
    reader.close()


def test_queues_with_a_key_prefix_of_their_own_are_counted() -> None:
    """By name, also where RQ has a queue of that name; who may not read their lists does not call them empty."""
    with EmbeddedServer() as other:
        connection = other.connection()
        connection.sadd(KEYS.queues, KEYS.queue("both"), "own:queue:both", "own:queue:alone", "strange")
        connection.sadd("shop:queues", "shop:queue:listed")
        connection.set("none:queues", "of somebody else")
        for key, jobs in ((KEYS.queue("both"), "ab"), ("own:queue:both", "cde"), ("own:queue:alone", "f")):
            connection.rpush(key, *jobs)
        connection.rpush("shop:queue:listed", "g", "h")
        connection.rpush("own:queue:alone:intermediate", "i")
        connection.hset(KEYS.job("f"), "enqueued_at", "2026-01-01T00:00:00.000000Z")
        discovery = Discovery()
        discovery.prefixes = {"none", "shop"}
        for scripted in (None, Scripted()):
            queues, _ = read_queues(connection, KEYS, NOW, scripted, discovery)
            counted = {queue.name: (queue.jobs["queued"], queue.jobs["intermediate"]) for queue in queues}
            assert counted == {"both": (5, 0), "alone": (1, 1), "listed": (2, 0), "strange": (0, 0)}
            assert [queue.name for queue in queues if queue.oldest_enqueued_at] == ["alone"]
        connection.execute_command("ACL", "SETUSER", "kept", "on", ">pw", f"~{KEYS.prefix}:*", "+@all")
        kept = Redis(unix_socket_path=str(other.socket), username="kept", password="pw")
        assert [queue.name for queue in read_queues(kept, KEYS, NOW, Scripted(), discovery)[0]] == ["both"]
        assert discovery.refused == {"shop:queues", "none:queues", "own:queue:both", "own:queue:alone", "strange"}
        # Nor is an RQ worker that he may not read a reason to read none.
        facts = {"state": "idle", "queues": "q", "birth": "2026-01-01T00:00:00.000000Z"}
        for key in (KEYS.rq_worker("mine"), "own:worker:w"):
            connection.sadd(KEYS.workers_by_queue("q"), key)
            connection.hset(key, mapping=facts)
        for user, names in ((connection, 2), (kept, 1)):
            snapshot = Reader(user, KEYS).read()
            assert len(snapshot.rq_workers) == names
            assert ("own:worker:w is not for this Redis user" in snapshot.rejected_names) is (names == 1)
        assert still_there(kept, KEYS, ["key=own:worker:w", "mine"]) == {"key=own:worker:w", "mine"}
        kept.close()


def test_a_strange_key_is_an_error_as_before(server: EmbeddedServer) -> None:
    """A list of RQ's that is none: the script cannot say, so the command does."""
    with EmbeddedServer() as other:
        connection = other.connection()
        connection.sadd(KEYS.queues, KEYS.queue("q"))
        connection.set(KEYS.queue("q"), "no list")
        with pytest.raises(Exception, match="WRONGTYPE"):
            read_queues(connection, KEYS, time.time(), Scripted())
