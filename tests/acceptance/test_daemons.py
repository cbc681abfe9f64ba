"""Row 29: jobs that leave their work-horse and go on elsewhere."""

from __future__ import annotations

import pytest
from rq import Retry

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs, own_ways
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import FORKING

every_forking_worker = pytest.mark.parametrize("kind", FORKING)


@pytest.mark.row(29)
@every_forking_worker
@pytest.mark.parametrize("then", ["return", "fail", "cancel"])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_that_daemonises_is_counted_as_it_ends(theatre: Theatre, kind: str, then: str, retries: int) -> None:
    """A job whose work-horse leaves in good order, and that goes on elsewhere, is one execution, as it ends there."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.daemonise, then, retry=Retry(max=1, interval=3600) if retries else None)
        stage.worker(kind)
        stage.meet()
        eventually(lambda: stage.is_idle("worker-1"), "the end of the work-horse")
        if stage.instrumented:
            assert stage.told().executions == 0
        stage.go()
        eventually(lambda: stage.status() not in ("started", "queued"), "the end of the job")
        # RQ sets the status of a retry before its transaction.
        eventually(lambda: not any(stage.connection.scan_iter("rq:execution:*")), "the end of the execution")
        if then == "fail":  # up to RQ 2.12 it is counted in a second transaction
            eventually(lambda: stage.connection.hget("rq:worker:worker-1", "failed_job_count"), "what RQ counts")
        stage.settle()

    expected = {
        "return": told(completed=1),
        "fail": told(errors={"ValueError": 1}, **{"failure" if retries else "discard": 1}),
        "cancel": told(cancelled=1, reasons={"movie_not_matched": 1}),
    }
    assert theatre.play(scene, like_rq=then != "cancel") == expected[then]


@pytest.mark.row(29)
@every_forking_worker
def test_a_daemon_that_closes_everything_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that closes its descriptors when it daemonises cannot be followed: it is counted once, whenever it ends."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.daemonise, "return", True)
        stage.worker(kind)
        stage.meet()
        eventually(lambda: stage.is_idle("worker-1"), "the end of the work-horse")
        stage.go()
        eventually(lambda: stage.status() == "finished", "the end of the job")
        stage.settle()
        if stage.instrumented:
            assert not stage.told().running

    found = theatre.play(scene)
    assert found.executions == 1
    assert not found.unrecorded
    assert not found.unbalanced


@pytest.mark.row(29)
@every_forking_worker
def test_a_job_that_returns_in_two_processes_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that forks and returns twice is counted once, though RQ counts two successes, and the audit balances."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.return_twice)
        stage.run(kind)

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(29)
@every_forking_worker
@pytest.mark.parametrize(
    ("then", "closing"), [("return", False), ("return", True), ("fail", False)], ids=["", "closing", "failing"]
)
def test_a_daemon_in_a_hurry_is_one_execution(theatre: Theatre, kind: str, then: str, closing: bool) -> None:
    """One that may end before its work-horse has, and before or after a reconciler looks, is one execution."""

    def scene(stage: Stage) -> None:
        stage.go()
        stage.enqueue(own_ways.daemonise, then, closing)
        stage.run(kind)
        eventually(lambda: stage.status() in ("finished", "failed"), "the end in the grandchild")
        stage.enqueue(jobs.complete)
        stage.settle()
        if stage.instrumented:
            reconcile(stage.connection, Keys(), Limits())

    found = theatre.play(scene, like_rq=False)
    assert not found.unrecorded
    assert not found.unbalanced
    if not closing:  # nobody can follow one that closes everything: if it is the later one, it was settled
        failed = {"discard": 1, "errors": {"ValueError": 1}} if then == "fail" else {}
        assert found == told(completed=1 if failed else 2, **failed)
