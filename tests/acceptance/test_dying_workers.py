"""Rows 14 to 17 and 19: the worker itself ends or dies."""

from __future__ import annotations

import signal
import time
from importlib import metadata

import pytest
from rq import Retry

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import FORKING, WORKERS

RQ_3 = int(metadata.version("rq").split(".")[0]) >= 3
every_worker = pytest.mark.parametrize("kind", WORKERS)
retried_or_not = pytest.mark.parametrize("retry", [True, False], ids=["retried", "not retried"])


@pytest.mark.row(14)
@every_worker
@retried_or_not
def test_a_dead_worker_leaves_an_abandoned_execution(theatre: Theatre, kind: str, retry: bool) -> None:
    """A job whose worker and process are SIGKILLed is counted as abandoned when RQ's heartbeats have run out."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, retry=Retry(max=1) if retry else None)
        worker = stage.worker(kind)
        horse = stage.meet()
        worker.kill()
        stage.kill(horse)
        worker.wait()
        if stage.instrumented:
            assert stage.told().running == 1
        stage.let_heartbeats_expire("worker-1")
        stage.go()
        stage.run(kind)
        assert stage.status() == ("finished" if retry else "failed")

    states = {"failure": 1, "completed": 1} if retry else {"discard": 1}
    assert theatre.play(scene) == told(**states, errors={"AbandonedJobError": 1}, reconciled=1)


@pytest.mark.row(14)
def test_an_abandoned_execution_is_found_within_the_heartbeat(theatre: Theatre) -> None:
    """It is found when RQ's heartbeat has run out by itself, never before, and once however many look."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.meet)
        worker = stage.worker("ImpatientWorker")
        horse = stage.meet()
        keys, limits = Keys(), Limits()
        (execution,) = stage.connection.scan_iter("rq:execution:*")
        worker.kill()
        stage.kill(horse)
        worker.wait()

        def count() -> int:
            found = len(reconcile(stage.connection, keys, limits))
            assert not (found and stage.connection.exists(execution))
            return found

        assert eventually(count, "the abandoned execution", seconds=10) == 1
        assert reconcile(stage.connection, keys, limits) == []
        assert stage.told() == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1)


@pytest.mark.row(14)
@every_worker
def test_an_abandoned_execution_is_not_taken_for_a_later_one(theatre: Theatre, kind: str) -> None:
    """How the job ended at last, on a worker without jobtelemetry, is not how the abandoned execution ended."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.meet, "job", "fail", retry=Retry(max=1))
        worker = stage.worker(kind)
        horse = stage.meet()
        worker.kill()
        stage.kill(horse)
        worker.wait()
        stage.let_heartbeats_expire("worker-1")
        stage.go()
        stage.run(kind, instrumented=False)
        assert stage.status() == "failed"
        assert len(reconcile(stage.connection, Keys(), Limits())) == 1
        assert stage.told().states == told(failure=1).states
        assert stage.told().errors == {"AbandonedJobError": 1}


@pytest.mark.row(14)
@every_worker
def test_a_job_that_runs_is_never_declared_abandoned(theatre: Theatre, kind: str) -> None:
    """As long as RQ knows the execution, or its worker is busy with it, no reconciler counts it."""

    def scene(stage: Stage) -> None:
        job = stage.enqueue(jobs.meet)
        stage.worker(kind)
        stage.meet()
        if stage.instrumented:
            assert reconcile(stage.connection, Keys(), Limits()) == []
        job.delete()
        if stage.instrumented:
            assert reconcile(stage.connection, Keys(), Limits()) == []
            assert stage.told().running == 1
        stage.go()
        stage.settle()

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(15)
@pytest.mark.parametrize("kind", FORKING)
def test_an_orphaned_horse_that_finishes_is_completed(theatre: Theatre, kind: str) -> None:
    """A job whose worker is SIGKILLed and whose process goes on is counted once, when it ends."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        worker = stage.worker(kind)
        stage.meet()
        stage.bury(worker)
        stage.go()
        eventually(lambda: stage.status() == "finished", "the orphan's end")
        stage.let_heartbeats_expire("worker-1")
        stage.run(kind)

    assert theatre.play(scene) == told(completed=1)


def _shut_down_cold(stage: Stage, kind: str) -> None:
    """Two SIGTERMs; RQ takes the second for a duplicate unless a second has passed."""
    worker = stage.worker(kind)
    stage.meet()
    worker.kill(signal.SIGTERM)
    eventually(lambda: stage.connection.hexists("rq:worker:worker-1", "shutdown_requested_date"), "a warm shutdown")
    noticed = time.monotonic()
    eventually(lambda: time.monotonic() > noticed + 1.05, "RQ's second")
    worker.kill(signal.SIGTERM)
    worker.wait()
    stage.let_heartbeats_expire()
    stage.go()
    stage.run(kind)


@pytest.mark.row(16)
@pytest.mark.parametrize("kind", FORKING)
@retried_or_not
def test_a_cold_shutdown_abandons_the_job(theatre: Theatre, kind: str, retry: bool) -> None:
    """A job that goes down with its worker is counted as abandoned."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, retry=Retry(max=1) if retry else None)
        _shut_down_cold(stage, kind)
        assert stage.status() == ("finished" if retry else "failed")

    states = {"failure": 1, "completed": 1} if retry else {"discard": 1}
    assert theatre.play(scene) == told(**states, errors={"AbandonedJobError": 1}, reconciled=1)


@pytest.mark.row(16)
def test_a_cold_shutdown_without_a_horse_is_an_exception(theatre: Theatre) -> None:
    """In a ``SimpleWorker`` a cold shutdown raises in the job, and RQ records that at once."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        _shut_down_cold(stage, "SimpleWorker")
        assert stage.status() == "failed"

    assert theatre.play(scene) == told(discard=1, errors={"SystemExit": 1})


@pytest.mark.row(17)
@every_worker
def test_a_warm_shutdown_lets_the_job_finish(theatre: Theatre, kind: str) -> None:
    """A job during which its worker is asked to stop is completed, and recorded before the worker ends."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        worker = stage.worker(kind)
        stage.meet()
        worker.kill(signal.SIGTERM)
        eventually(lambda: stage.connection.hexists("rq:worker:worker-1", "shutdown_requested_date"), "the shutdown")
        stage.go()
        assert worker.wait() == 0

    assert theatre.play(scene) == told(completed=1)


def _find_stuck(stage: Stage, kind: str) -> None:
    """RQ looks twice, a minute apart; the first look is moved a minute into the past."""
    seen, queue = "rq:queue:default:intermediate:first_seen:job-1", "rq:queue:default"

    def looked() -> bool:
        pipe = stage.connection.pipeline()
        pipe.exists(seen)
        pipe.llen(queue)
        pipe.llen(f"{queue}:intermediate")
        return pipe.execute() == [1, 0, 1] and stage.is_idle("worker-2")

    first = stage.worker(kind)
    eventually(looked, "RQ's first look")
    stage.bury(first)
    assert stage.connection.set(seen, time.time() - 61, xx=True, keepttl=True)
    stage.run(kind)


@pytest.mark.row(19)
@every_worker
@retried_or_not
def test_a_job_stuck_in_the_intermediate_queue_is_counted(theatre: Theatre, kind: str, retry: bool) -> None:
    """A job whose worker died between taking it and running it has failed when RQ gives up on it."""

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(jobs.complete, retry=Retry(max=1) if retry else None)
        stage.worker("DiesBeforeTheExecution").wait()
        _find_stuck(stage, kind)
        assert stage.status() == ("finished" if retry else "failed")

    states = {"failure": 1, "completed": 1} if retry else {"discard": 1}
    assert theatre.play(scene) == told(**states, errors={"StuckInIntermediateQueue": 1})


@pytest.mark.row(19)
@every_worker
def test_several_stuck_jobs_are_counted_once_each(theatre: Theatre, kind: str) -> None:
    """What one round of RQ's maintenance gives up on is counted once for each job, and once for the worker."""

    def scene(stage: Stage) -> None:
        stage.unreached = 3
        for _ in range(3):
            job = stage.enqueue(jobs.complete)
            assert stage.connection.lmove("rq:queue:default", "rq:queue:default:intermediate")
            stage.connection.set(f"rq:queue:default:intermediate:first_seen:{job.id}", time.time() - 61)
        stage.run(kind)
        if stage.instrumented:
            assert stage.connection.hget("rq:worker:worker-1", "failed_job_count") == b"3"
            assert stage.connection.hget("rq:telemetry:accounts", "worker-1|failed") == b"3"

    assert theatre.play(scene) == told(discard=3, errors={"StuckInIntermediateQueue": 3})


@pytest.mark.row(19)
@every_worker
def test_a_job_stuck_with_an_execution_is_counted_once(theatre: Theatre, kind: str) -> None:
    """A job whose worker died right after RQ noted its execution is counted once, by whoever finds it first."""

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(jobs.complete)
        stage.worker("DiesAfterTheExecution").wait()
        stage.let_heartbeats_expire("worker-1")
        _find_stuck(stage, kind)
        assert stage.status() == "failed"

    assert theatre.play(scene) == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1)


@pytest.mark.row(19)
@every_worker
def test_a_job_stuck_with_an_execution_is_retried(theatre: Theatre, kind: str) -> None:
    """So is one with retries left. RQ 2 then runs it, and fails the finished job: that is no execution."""

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(jobs.complete, retry=Retry(max=1))
        stage.worker("DiesAfterTheExecution").wait()
        stage.let_heartbeats_expire("worker-1")
        _find_stuck(stage, kind)
        assert stage.status() == ("finished" if RQ_3 else "failed")

    expected = told(failure=1, completed=1, errors={"AbandonedJobError": 1}, reconciled=1)
    assert theatre.play(scene) == expected
