"""Redis refuses what jobtelemetry asks, or answers nonsense: RQ goes on as without it, and somebody is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Retry, SimpleWorker, Worker

import jobtelemetry
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.rq import runtime
from jobtelemetry.store import record
from support import jobs
from support.nursery import Child
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually

forking_and_not = pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])


def everything(stage: Stage, kind: str, **options: Any) -> Child:
    """Jobs that end in the ways that RQ has by itself, and a worker for them."""
    stage.enqueue(jobs.complete, 7)
    stage.enqueue(jobs.complete, depends_on="job-1")
    stage.enqueue(jobs.fail)
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
    stage.enqueue(jobs.come_again, 5, 1)
    stage.queue().enqueue_many([Queue.prepare_data(jobs.complete, job_id=f"many-{number}") for number in range(3)])
    stage.enqueue(jobs.complete).cancel()
    return stage.run(kind, **options)


def statuses(connection: Redis) -> dict[str, str]:
    """Every job's status as RQ has it."""
    found = {}
    for key in connection.scan_iter("rq:job:job-*", _type="hash"):
        found[key.decode()] = connection.hget(key, "status").decode()  # type: ignore[union-attr]
    return found


def as_without(stage: Stage, theatre: Theatre, kind: str) -> None:
    """Compare with the same jobs on plain RQ."""
    found = statuses(stage.connection)
    calls = stage.calls
    with theatre.stage(instrumented=False).open() as bare:
        bare.connection.flushall()
        everything(bare, kind)
        assert (found, calls) == (statuses(bare.connection), bare.calls)


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
    with theatre.stage().open() as stage, user(theatre.server, *rules) as url:
        child = everything(stage, kind, url=url)
        snapshot = stage.told()
        assert snapshot.uninstrumented == 1
        assert snapshot.states == {}
        assert "jobtelemetry cannot record jobs and is off for this worker" in child.output
        assert "+eval" in child.output
        assert snapshot.unrecorded == 7
        as_without(stage, theatre, kind)


@forking_and_not
def test_scripting_taken_away_at_run_time(theatre: Theatre, kind: str) -> None:
    """EVAL taken away while a worker runs costs RQ nothing: each of its transactions is executed without ours."""
    with theatre.stage().open() as stage, user(theatre.server) as url:
        stage.worker(kind, url=url)
        stage.enqueue(jobs.complete, on="other")
        eventually(lambda: stage.connection.hlen("rq:telemetry:instrumented") == 1)
        theatre.server.client().execute_command("ACL", "SETUSER", "rq", "-eval")
        everything(stage, kind, name="late", url=url)
        stage.settle()
        as_without(stage, theatre, kind)


@forking_and_not
@pytest.mark.parametrize("moment", ["success", "failure", "retry", "snooze", "cancel", "discard"])
def test_scripting_taken_away_while_a_job_runs(theatre: Theatre, kind: str, moment: str) -> None:
    """EVAL taken away between the start and the end of a job: the job ends as it should, and is counted once."""
    endings: dict[str, tuple[Callable[..., Any], dict[str, Any], str, str]] = {
        "success": (jobs.meet, {}, "finished", "completed"),
        "failure": (jobs.meet, {"then": "fail"}, "failed", "discard"),
        "retry": (jobs.meet, {"then": "fail"}, "scheduled", "failure"),
        "snooze": (meet_and_come_again, {}, "scheduled", "failure"),
        "cancel": (jobs.meet, {"then": "cancel"}, "canceled", "cancelled"),
        "discard": (meet_and_discard, {}, "failed", "discard"),
    }
    function, arguments, status, state = endings[moment]
    with theatre.stage().open() as stage, user(theatre.server) as url:
        stage.worker(kind, url=url)
        retry = Retry(max=1, interval=3600) if moment in ("retry", "discard") else None
        stage.enqueue(function, **arguments, retry=retry)
        stage.meet()
        admin = theatre.server.client()
        admin.execute_command("ACL", "SETUSER", "rq", "-eval")
        stage.go()
        stage.settle()
        assert stage.status() == status
        assert stage.told().executions == 0
        admin.execute_command("ACL", "SETUSER", "rq", "+eval")
        stage.let_heartbeats_expire()
        stage.reconcile()
        assert stage.told().states == {state: 1}


def meet_and_come_again() -> Any:
    """A job that returns ``Retry`` when told to go on."""
    jobs.meet()
    return Retry(max=2, interval=3600)


def meet_and_discard() -> Any:
    """A job that discards itself when told to go on."""
    jobs.meet()
    return jobs.discard()
