"""Row 28: telemetry cannot write, and the jobs run as without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rq import Repeat, Retry

from support import jobs
from support.servers import TcpServer
from support.stage import Stage, Theatre
from support.told import Told
from support.workers import WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)


@pytest.fixture
def unprivileged(tcp: TcpServer) -> Iterator[str]:
    """A Redis user who may do everything but run scripts that the server does not have."""
    client = tcp.client()
    client.acl_setuser(
        "worker",
        enabled=True,
        passwords=["+secret"],
        keys=["*"],
        channels=["*"],
        commands=["+@all", "-eval", "-evalsha"],
    )
    yield f"redis://worker:secret@127.0.0.1:{tcp.port}"
    client.acl_deluser("worker")


def _some_of_each(stage: Stage) -> None:
    stage.enqueue(jobs.complete, 7)
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
    stage.enqueue(jobs.fail)


def _nothing_told(told_: Told) -> None:
    assert told_.executions == 0
    assert told_.uninstrumented == 1, "the exporter shows the worker as a blind spot"
    assert told_.unrecorded == 4


@pytest.mark.row(28)
@every_worker
def test_without_permission_jobs_run_uninstrumented(theatre: Theatre, kind: str, unprivileged: str) -> None:
    """A worker whose Redis user may not run scripts says so once, loudly, and runs its jobs as bare RQ would."""
    outputs = {}

    def scene(stage: Stage) -> None:
        _some_of_each(stage)
        worker = stage.run(kind, url=unprivileged)
        outputs[stage.instrumented] = worker.output
        stage.unreached = -stage.calls

    _nothing_told(theatre.play(scene))
    assert "jobtelemetry" not in outputs[False]
    assert outputs[True].count("is off for this worker") == 1
    assert "+eval" in outputs[True]


@pytest.mark.row(28)
@every_worker
def test_permission_lost_on_the_way_costs_no_job(theatre: Theatre, kind: str, unprivileged: str) -> None:
    """A worker that may not run scripts any more runs its jobs as bare RQ would, and counts what it could not do."""

    def scene(stage: Stage) -> None:
        acl = stage.server.client()
        acl.execute_command("ACL", "SETUSER", "worker", "+eval", "+evalsha")
        stage.enqueue(jobs.meet, repeat=Repeat(times=1))
        stage.worker(kind, url=unprivileged)
        stage.meet()
        acl.execute_command("ACL", "SETUSER", "worker", "-eval", "-evalsha")
        stage.go()
        stage.settle()
        stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
        stage.settle()
        stage.unreached = -4

    found = theatre.play(scene)
    assert found.executions == 0
    assert found.unrecorded == 4


@pytest.mark.row(28)
@every_worker
@pytest.mark.parametrize("key", ["meta", "accounts", "sets", "running"])
def test_a_key_of_the_wrong_type_at_the_start_costs_no_job(theatre: Theatre, kind: str, key: str) -> None:
    """A worker that finds another program's key where telemetry keeps its own says so and runs its jobs."""
    outputs = {}

    def scene(stage: Stage) -> None:
        taken = f"rq:telemetry:{key}"
        stage.connection.set(taken, "another program's")
        _some_of_each(stage)
        outputs[stage.instrumented] = stage.run(kind).output
        assert stage.connection.getdel(taken) == b"another program's"
        stage.unreached = -stage.calls

    _nothing_told(theatre.play(scene))
    assert f"key rq:telemetry:{key} holds a string" in outputs[True]


@pytest.mark.row(28)
@every_worker
@pytest.mark.parametrize(
    ("key", "expected", "unrecorded"),
    [
        ("set:support.jobs.fail_until|default", {"completed": 1}, 2),  # what cannot be counted, the audit says
        ("running", {"failure": 1, "completed": 2}, 0),
        ("log", {"failure": 1, "completed": 2}, 0),
        ("closed", {"failure": 1, "completed": 2}, 0),
        ("traces:support.jobs.meet|default", {"failure": 1, "completed": 2}, 0),
    ],
)
def test_a_key_that_becomes_wrong_costs_no_job(
    theatre: Theatre, kind: str, key: str, expected: dict[str, int], unrecorded: int
) -> None:
    """A key that is replaced while workers run costs no job; what can be written is, and the audit shows the rest."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        stage.worker(kind)
        stage.meet()
        taken = f"rq:telemetry:{key}"
        stage.connection.delete(taken)
        stage.connection.set(taken, "another program's")
        stage.go()
        stage.settle()
        stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
        stage.settle()
        assert stage.connection.getdel(taken) == b"another program's"
        stage.unreached = -unrecorded

    found = theatre.play(scene)
    assert (found.states, found.unrecorded, found.running) == (expected, unrecorded, 0)
