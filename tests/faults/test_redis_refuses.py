"""Redis refuses what jobtelemetry asks: RQ goes on as without it, and somebody is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Retry

from faults import fault_jobs
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs
from support.nursery import Child, Nursery
from support.servers import TcpServer
from support.stage import Stage, Theatre
from support.waiting import eventually

forking_and_not = pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])


def jobs_of_rq(stage: Stage) -> None:
    """Jobs that end in the ways that RQ has by itself."""
    stage.enqueue(jobs.complete, 7)
    stage.enqueue(jobs.complete, depends_on="job-1")
    stage.enqueue(jobs.fail)
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
    stage.enqueue(jobs.come_again, 1, 2)
    stage.queue().enqueue_many([Queue.prepare_data(jobs.complete, job_id=f"many-{number}") for number in range(3)])
    stage.enqueue(jobs.complete).cancel()


def everything(stage: Stage, kind: str, **options: Any) -> Child:
    """Such jobs, and a worker that runs them."""
    jobs_of_rq(stage)
    return stage.run(kind, **options)


def statuses(connection: Redis) -> dict[str, str]:
    """Every job's status as RQ has it."""
    found = {}
    for key in connection.scan_iter("rq:job:job-*", _type="hash"):
        found[key.decode()] = connection.hget(key, "status").decode()  # type: ignore[union-attr]
    return found


Outcome = tuple[dict[str, str], int]


def outcome(stage: Stage) -> Outcome:
    """What RQ made of the jobs, and how often they were called."""
    return statuses(stage.connection), stage.calls


def plain_outcome(theatre: Theatre, kind: str) -> Outcome:
    """What RQ makes of them without jobtelemetry."""
    with theatre.stage(instrumented=False).open() as stage:
        everything(stage, kind)
        return outcome(stage)


@contextmanager
def user(server: Any, *rules: str) -> Iterator[str]:
    """The URL of a Redis user with these rights, for as long as this lasts."""
    admin = server.client()
    admin.execute_command("ACL", "SETUSER", "rq", "on", ">secret", "allkeys", "allchannels", "+@all", *rules)
    try:
        yield server.tcp_url.replace("redis://", "redis://rq:secret@")
    finally:
        admin.execute_command("ACL", "DELUSER", "rq")


@forking_and_not
@pytest.mark.parametrize("rules", [("-eval",), ("-@scripting",)], ids=["without-eval", "without-scripting"])
def test_a_user_without_scripting(theatre: Theatre, kind: str, rules: tuple[str, ...]) -> None:
    """Without the right to EVAL a worker says so at its start, runs its jobs, and shows as uninstrumented."""
    expected = plain_outcome(theatre, kind)
    with theatre.stage().open() as stage, user(theatre.server, *rules) as url:
        child = everything(stage, kind, url=url)
        snapshot = stage.told()
        assert snapshot.uninstrumented == 1
        assert snapshot.states == {}
        assert "jobtelemetry cannot record jobs and is off for this worker" in child.output
        assert "+eval" in child.output
        assert snapshot.unrecorded == 10
        assert outcome(stage) == expected


@forking_and_not
def test_scripting_taken_away_at_run_time(theatre: Theatre, kind: str) -> None:
    """Scripting taken away while a worker runs costs RQ nothing: each of its transactions is executed without ours."""
    expected = plain_outcome(theatre, kind)
    with theatre.stage().open() as stage, user(theatre.server) as url:
        stage.worker(kind, url=url)
        eventually(lambda: stage.is_idle("worker-1"), "an idle worker")
        stage.connection.execute_command("ACL", "SETUSER", "rq", "-@scripting")
        jobs_of_rq(stage)
        stage.settle()
        assert stage.told().executions == 0
        assert stage.told().unrecorded == 10
        assert outcome(stage) == expected


@forking_and_not
@pytest.mark.parametrize("moment", ["success", "failure", "retry", "snooze", "cancel", "discard"])
def test_scripting_taken_away_while_a_job_runs(theatre: Theatre, kind: str, moment: str) -> None:
    """Scripting taken away between the start and the end of a job: the job ends as it should, and is counted once."""
    endings: dict[str, tuple[Callable[..., Any], dict[str, Any], str, str]] = {
        "success": (jobs.meet, {}, "finished", "completed"),
        "failure": (jobs.meet, {"then": "fail"}, "failed", "discard"),
        "retry": (jobs.meet, {"then": "fail"}, "scheduled", "failure"),
        "snooze": (fault_jobs.meet_and_come_again, {}, "scheduled", "discard"),  # looks abandoned: RQ notes no reason
        "cancel": (jobs.meet, {"then": "cancel"}, "canceled", "cancelled"),
        "discard": (fault_jobs.meet_and_discard, {}, "failed", "discard"),
    }
    function, arguments, status, state = endings[moment]
    with theatre.stage().open() as stage, user(theatre.server) as url:
        stage.worker(kind, url=url)
        retry = Retry(max=1, interval=3600) if moment in ("retry", "discard") else None
        stage.enqueue(function, **arguments, retry=retry)
        stage.meet()
        stage.connection.execute_command("ACL", "SETUSER", "rq", "-@scripting")
        stage.go()
        stage.settle()
        assert stage.status() == status
        assert stage.told().executions == 0
        stage.connection.execute_command("ACL", "SETUSER", "rq", "+@scripting")
        stage.let_heartbeats_expire()
        reconcile(stage.connection, Keys(), Limits())
        assert stage.told().states == {state: 1}


@forking_and_not
@pytest.mark.parametrize("name", ["meta", "accounts", "sets", "running", "closed", "log"])
def test_a_key_of_another_program_at_start(theatre: Theatre, kind: str, name: str) -> None:
    """A key that holds something else is named at the worker's start; jobs run, and the key is left alone."""
    expected = plain_outcome(theatre, kind)
    with theatre.stage().open() as stage:
        stage.connection.set(f"rq:telemetry:{name}", "not yours")
        child = everything(stage, kind)
        assert f"key rq:telemetry:{name} holds a string where jobtelemetry keeps a" in child.output
        assert "rename or delete it" in child.output
        assert stage.connection.get(f"rq:telemetry:{name}") == b"not yours"
        assert outcome(stage) == expected


@forking_and_not
@pytest.mark.parametrize("name", ["meta", "accounts", "sets", "running", "closed", "log"])
def test_a_key_of_another_program_at_run_time(theatre: Theatre, kind: str, name: str) -> None:
    """A key that is taken while a worker runs costs no job; when it is free again, counting goes on and errors show."""
    expected = plain_outcome(theatre, kind)
    key = f"rq:telemetry:{name}"
    with theatre.stage().open() as stage:
        stage.worker(kind)
        eventually(lambda: stage.is_idle("worker-1"), "an idle worker")
        stage.connection.delete(key)
        stage.connection.set(key, "not yours")
        jobs_of_rq(stage)
        stage.settle()
        assert outcome(stage) == expected
        assert stage.connection.get(key) == b"not yours"
        stage.connection.delete(key)
        tend(stage.connection)
        before = stage.told()
        assert before.executions <= stage.calls
        stage.enqueue(jobs.complete)
        stage.settle()
        after = stage.told()
        assert after.executions == before.executions + 1
        untouched = name == "closed"  # nothing was to be written there
        assert untouched or sum(after.handler_errors.values()) > 0


def tend(connection: Redis) -> None:
    """What the exporter does about what it finds."""
    reader = Reader(connection, Keys())
    reader.read()
    reader.tend()


def _memory_full(server: TcpServer) -> Callable[[], object]:
    admin = server.client()
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", "1")
    return lambda: admin.config_set("maxmemory", "0")


def _read_only(server: TcpServer) -> Callable[[], object]:
    admin = server.client()
    admin.config_set("replica-serve-stale-data", "yes")
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: admin.execute_command("REPLICAOF", "NO", "ONE")


unwritable = pytest.mark.parametrize("make_unwritable", [_memory_full, _read_only], ids=["maxmemory", "read-only"])


@forking_and_not
@unwritable
def test_redis_cannot_be_written_at_start(
    theatre: Theatre, kind: str, make_unwritable: Callable[[TcpServer], Callable[[], object]]
) -> None:
    """A worker that finds Redis full or read-only says why, and ends as RQ does then."""
    ends = []
    with theatre.stage().open() as stage:
        for instrumented in (False, True):
            restore = make_unwritable(theatre.server)
            child = stage.worker(kind, instrumented=instrumented)
            ends.append(child.wait())
            restore()
        assert ends[0] == ends[1]
        assert "jobtelemetry cannot record jobs" in child.output
        assert "RQ cannot" in child.output


@forking_and_not
@unwritable
@pytest.mark.parametrize("then", ["return", "fail", "cancel"])
def test_redis_cannot_be_written_while_a_job_runs(
    theatre: Theatre, kind: str, then: str, make_unwritable: Callable[[TcpServer], Callable[[], object]]
) -> None:
    """Redis full or read-only at the end of a job: what RQ is left with is as without us, and counted once."""
    found = []
    for instrumented in (False, True):
        with theatre.stage(instrumented=instrumented).open() as stage:
            child = stage.worker(kind)
            stage.enqueue(jobs.meet, then=then)
            stage.meet()
            restore = make_unwritable(theatre.server)
            stage.go()
            eventually(lambda child=child: not child.alive, "the end of a worker that cannot write")
            restore()
            found.append((child.exit_code, stage.status()))
            if instrumented:
                stage.let_heartbeats_expire("worker-1")
                reconcile(stage.connection, Keys(), Limits())
                assert stage.told().executions == 1
    assert found[0] == found[1]


class RenamedEval(TcpServer):
    """A server on which EVAL has another name."""

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--rename-command", "EVAL", "hidden"]


@forking_and_not
def test_eval_renamed(nursery: Nursery, tmp_path: Any, kind: str) -> None:
    """On a server whose EVAL has another name a worker says so and runs its jobs."""
    with RenamedEval() as server:
        theatre = Theatre(server, nursery, tmp_path)
        expected = plain_outcome(theatre, kind)
        with theatre.stage().open() as stage:
            child = everything(stage, kind)
            assert stage.told().uninstrumented == 1
            assert "this server has no Lua scripts" in child.output
            assert outcome(stage) == expected
