"""What RQ holds, asked for by script and by single commands: the same, whoever may run what."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from redis import Redis

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.books import append_register, registered
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.record import Known
from jobtelemetry.store.rq_state import Discovery, Queues, RQWorkers, still_there
from jobtelemetry.store.scripted import Scripted, Sheet
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
    assert stats["cmdstat_eval"]["calls"] + stats["cmdstat_evalsha"]["calls"] == (2 + 5) + (1 + 5)


def test_what_did_not_change_is_the_same_object(server: EmbeddedServer) -> None:
    """Who comes, goes or changes is read anew, alone; the others are not, wherever they stand then."""
    connection = server.connection()
    scripted = Scripted(connection)
    queues, rq_workers = Queues(connection, KEYS, scripted), RQWorkers(connection, KEYS, scripted)
    before, workers = queues.read(NOW)[0], rq_workers.read()
    assert queues.read(NOW)[0] is before
    assert rq_workers.read() is workers

    def new(now: Sequence[Any], then: Sequence[Any]) -> set[str]:
        known = set(map(id, then))
        return {one.name for one in now if id(one) not in known}

    connection.rpush(KEYS.queue("q-1"), "job")
    connection.hset(KEYS.rq_worker("w|3%"), "state", "idle")
    assert new(queues.read(NOW)[0], before) == {"q-1"}
    assert new(rq_workers.read(), workers) == {"w|3%"}
    connection.delete(KEYS.queue("q-1"))
    connection.hset(KEYS.rq_worker("w|3%"), "state", "busy")
    before, workers = queues.read(NOW)[0], rq_workers.read()
    connection.sadd(KEYS.queues, KEYS.queue("0"))
    connection.sadd(KEYS.rq_workers, KEYS.rq_worker("a"))
    connection.hset(KEYS.rq_worker("a"), mapping={"state": "busy", "birth": "2026-01-01T00:00:00.000000Z"})
    connection.hincrby(KEYS.rq_worker("a"), "failed_job_count")
    assert new(queues.read(NOW)[0], before) == {"0"}
    assert new(rq_workers.read(), workers) == {"a"}
    connection.srem(KEYS.queues, KEYS.queue("0"))
    connection.srem(KEYS.rq_workers, KEYS.rq_worker("a"))
    connection.delete(KEYS.rq_worker("a"))
    assert queues.read(NOW)[0] == before
    assert rq_workers.read() == workers


def test_rq_workers_that_stand_only_in_lists_of_queues_are_read(server: EmbeddedServer) -> None:
    """In short lists and in long ones, whatever the prefix of their class, and whoever may run what."""
    connection = server.connection()
    expected = {worker.name for worker in RQWorkers(connection, KEYS).read()}
    for name, queue, number in (("own", "short", 3), ("other", "long", 150)):
        for one in range(number):
            key = f"{{a}}{name}:worker:{one}"
            connection.sadd(KEYS.workers_by_queue(queue), key, KEYS.rq_worker("w|1%"))
            facts = {"state": "busy", "birth": "2026-01-01T00:00:00.000000Z", "failed_job_count": 1}
            connection.hset(key, mapping=facts)
            expected.add(KEYS.account(key))
    connection.set(KEYS.workers_by_queue("none"), "of somebody else")
    for allowed in (True, False):
        found = RQWorkers(connection, KEYS, Scripted(connection, allowed=allowed)).read()
        assert {worker.name for worker in found} == expected
    connection.delete(*(KEYS.workers_by_queue(queue) for queue in ("short", "long", "none")))


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
        for scripted in (None, Scripted(connection)):
            reader = Queues(connection, KEYS, scripted, discovery)
            queues, _ = reader.read(NOW)
            assert all(one is same for one, same in zip(queues, reader.read(NOW)[0], strict=True))
            counted = {queue.name: (queue.jobs["queued"], queue.jobs["intermediate"]) for queue in queues}
            assert counted == {"both": (5, 0), "alone": (1, 1), "listed": (2, 0), "strange": (0, 0)}
            assert [queue.name for queue in queues if queue.oldest_enqueued_at] == ["alone"]
        connection.execute_command("ACL", "SETUSER", "kept", "on", ">pw", f"~{KEYS.prefix}:*", "+@all")
        kept = Redis(unix_socket_path=str(other.socket), username="kept", password="pw")
        assert [queue.name for queue in Queues(kept, KEYS, Scripted(kept), discovery).read(NOW)[0]] == ["both"]
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
            Queues(connection, KEYS, Scripted(connection)).read(time.time())


def test_what_could_not_be_read_is_read_again() -> None:
    """One row is nonsense at one look: what changed beside it at that look is not taken for read at the next."""
    with EmbeddedServer() as other:
        connection = other.connection()
        scripted = Scripted(connection)
        sheet = Sheet("return redis.call('GET', ARGV[1])", at_once=1, arguments=lambda names: names[0], make=_second)
        names = ["a", "b"]

        def look(a: str, b: str) -> tuple[int, ...] | None:
            connection.mset({"a": a, "b": b})
            return sheet.read(scripted, "a", names)

        assert (look("1", "1"), look("2", "{nonsense"), look("2", "1")) == ((1, 1), None, (2, 1))
        assert look("2", "1") is look("2", "1"), "what says the same is the same"


def _second(_: str, said: int) -> int:
    return said
