"""Rows 20, 23 and 24: jobs that never run, run on the spot, or run because of time or of other jobs."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from importlib import metadata

import pytest
from rq import Callback, Queue, Repeat, Retry
from rq.cron import CronScheduler
from rq.job import cancel_job

from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import WORKERS

RQ_3 = int(metadata.version("rq").split(".")[0]) >= 3
every_worker = pytest.mark.parametrize("kind", WORKERS)


@pytest.mark.row(20)
def test_a_job_cancelled_before_it_ran_is_no_execution(theatre: Theatre) -> None:
    """A job cancelled while queued, scheduled or deferred is counted as that, and not as an execution."""

    def scene(stage: Stage) -> None:
        queued = stage.enqueue(jobs.complete)
        deferred = stage.enqueue(jobs.complete, depends_on=queued)
        scheduled = stage.queue().enqueue_in(timedelta(hours=1), jobs.complete, job_id=stage.next_id())
        for job in (queued, deferred, scheduled):
            stage.job(job.id).cancel()
        cancel_job(stage.enqueue(jobs.complete).id, connection=stage.connection)
        stage.enqueue(jobs.complete)
        stage.run()

    assert theatre.play(scene) == told(unstarted=4, completed=1)


@pytest.mark.row(20)
def test_a_job_is_cancelled_before_it_ran_once(theatre: Theatre) -> None:
    """With the dependents enqueued, with a pipeline of the caller's, and asked twice: once per job."""

    def scene(stage: Stage) -> None:
        first, second = stage.enqueue(jobs.complete), stage.enqueue(jobs.complete)
        stage.enqueue(jobs.complete, depends_on=first)
        first.cancel(enqueue_dependents=True)
        with stage.connection.pipeline() as pipeline:
            second.cancel(pipeline=pipeline)
            pipeline.execute()
        with pytest.raises(Exception, match="Cannot cancel already canceled job"):
            stage.job("job-1").cancel()
        stage.run()

    assert theatre.play(scene) == told(unstarted=2, completed=1)


@pytest.mark.row(20)
@pytest.mark.parametrize("buffered", [True, False], ids=["multi", "no multi"])
def test_a_job_cancelled_while_something_is_watched_is_counted(theatre: Theatre, buffered: bool) -> None:
    """A pipeline that watches a key sends at once or when it is executed, and so is the cancellation counted."""

    def scene(stage: Stage) -> None:
        job = stage.enqueue(jobs.complete)
        with stage.connection.pipeline() as pipeline:
            pipeline.watch("showtimes")
            if buffered:
                pipeline.multi()
            job.cancel(pipeline=pipeline)
            replies = pipeline.execute()
        assert bool(replies) == buffered
        assert stage.status() == "canceled"

    assert theatre.play(scene) == told(unstarted=1)


@pytest.mark.row(20)
@every_worker
def test_a_job_cancelled_while_it_runs_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A running job that somebody cancels goes on in RQ, and is counted as it ends."""

    def scene(stage: Stage) -> None:
        job = stage.enqueue(jobs.meet)
        stage.worker(kind)
        stage.meet()
        stage.job(job.id).cancel()
        stage.go()
        stage.settle()

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(20)
def test_a_failed_job_that_is_cancelled_has_run(theatre: Theatre) -> None:
    """A job that ran and is cancelled afterwards is no job that never ran."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail)
        stage.run()
        stage.job().cancel()

    assert theatre.play(scene) == told(discard=1, errors={"ValueError": 1})


@pytest.mark.row(23)
def test_a_synchronous_queue_is_counted_too(theatre: Theatre) -> None:
    """A job that runs in the process that enqueues it is completed or discarded."""

    def scene(stage: Stage) -> None:
        queue = Queue("default", connection=stage.connection, is_async=False)
        queue.enqueue(jobs.complete, 7, job_id=stage.next_id(), on_success=Callback(jobs.succeeded))
        queue.enqueue(jobs.fail, job_id=stage.next_id(), on_failure=Callback(jobs.failed))
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "failed")

    assert theatre.play(scene) == told(completed=1, discard=1, errors={"ValueError": 1})


@pytest.mark.row(23)
def test_a_synchronous_job_can_cancel_itself(theatre: Theatre) -> None:
    """A job that cancels or discards itself on a synchronous queue is that, and calls nobody for a cancellation."""

    def scene(stage: Stage) -> None:
        queue = Queue("default", connection=stage.connection, is_async=False)
        queue.enqueue(jobs.cancel, job_id=stage.next_id(), on_failure=Callback(jobs.failed))
        queue.enqueue(jobs.discard, job_id=stage.next_id(), on_failure=Callback(jobs.failed))
        assert (stage.status("job-1"), stage.status("job-2")) == ("canceled", "failed")
        assert stage.book("callbacks") == ["failure job-2 Discard"]
        assert stage.queue().canceled_job_registry.get_job_ids() == ["job-1"]

    expected = told(cancelled=1, discard=1, reasons={"movie_not_matched": 1}, errors={"bad_payload": 1})
    assert theatre.play(scene, like_rq=False) == expected


@pytest.mark.row(24)
@every_worker
def test_every_repeat_is_an_execution(theatre: Theatre, kind: str) -> None:
    """A job that repeats is counted each time it ran, and so is its failure on the way."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 2, repeat=Repeat(times=2), retry=Retry(max=1))
        stage.run(kind)

    assert theatre.play(scene) == told(completed=3, failure=1, errors={"ValueError": 1})


@pytest.mark.row(24)
@every_worker
def test_a_scheduled_job_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that RQ's scheduler moves to the queue is counted when it ran, and its delay is not waiting."""

    def scene(stage: Stage) -> None:
        past = datetime.now(timezone.utc) - timedelta(seconds=1)
        stage.queue().enqueue_at(past, jobs.complete, job_id=stage.next_id())
        stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1, interval=1))
        stage.worker(kind, with_scheduler=True)
        eventually(lambda: stage.calls == 3, "three executions")
        stage.settle()

    assert theatre.play(scene) == told(completed=2, failure=1, errors={"ValueError": 1})


@pytest.mark.row(24)
@pytest.mark.rq(">=3")  # that has rate limits
def test_what_a_rate_limit_holds_back_waits_however_it_came_to_the_limit(theatre: Theatre) -> None:
    """Behind one limit, the wait of an enqueued job and of a scheduled one begin when each could have run."""
    from rq import RateLimit

    with theatre.stage().open() as stage:
        limit = RateLimit("distributor", concurrency=1)
        stage.enqueue(jobs.meet, rate_limit=limit)
        stage.enqueue(jobs.complete, rate_limit=limit)
        due = datetime.now(timezone.utc)
        stage.queue().enqueue_at(due, jobs.complete, job_id=stage.next_id(), rate_limit=limit)
        since = time.time()
        stage.worker("Worker", with_scheduler=True)
        stage.meet()
        eventually(lambda: stage.status("job-3") == "rate_limited", "the scheduler's move")
        held = time.time() - since
        stage.go()
        eventually(lambda: stage.calls == 3, "three executions")
        stage.settle()
        waits = {entry["job"]: float(entry["wait"]) for entry in stage.log()}
        assert waits["job-2"] >= held <= waits["job-3"], (waits, held)


@pytest.mark.row(24)
@every_worker
def test_dependents_are_executions_of_their_own(theatre: Theatre, kind: str) -> None:
    """A job that runs because another ended is counted; one that does not run because the other failed is not."""

    def scene(stage: Stage) -> None:
        first = stage.enqueue(jobs.complete)
        stage.enqueue(jobs.complete, depends_on=first)
        failing = stage.enqueue(jobs.fail)
        stage.enqueue(jobs.complete, depends_on=failing)
        stage.run(kind)
        eventually(lambda: stage.calls == 3, "three executions")
        stage.settle()
        assert stage.status("job-4") == "deferred"

    assert theatre.play(scene) == told(completed=2, discard=1, errors={"ValueError": 1})


@pytest.mark.row(24)
@every_worker
def test_a_cron_job_is_one_execution_per_run(theatre: Theatre, kind: str) -> None:
    """A job that RQ's cron enqueues is counted each time it ran."""

    def scene(stage: Stage) -> None:
        cron = CronScheduler(connection=stage.connection)
        cron.register(jobs.complete, queue_name="default", interval=3600)
        cron.register(jobs.fail, queue_name="default", interval=3600)
        cron.enqueue_jobs()
        stage.run(kind)

    # RQ gives the jobs random ids: what it stores cannot be compared by key.
    assert theatre.play(scene, like_rq=False) == told(completed=1, discard=1, errors={"ValueError": 1})


def _rate_limited(stage: Stage) -> None:
    from rq import RateLimit

    limit = RateLimit("distributor", concurrency=1)
    for function in (jobs.complete, jobs.fail, jobs.complete):
        stage.enqueue(function, rate_limit=limit)


def _many(stage: Stage) -> None:
    functions = (jobs.complete, jobs.fail, jobs.complete)
    stage.queue().enqueue_many([Queue.prepare_data(function, job_id=stage.next_id()) for function in functions])


def _unique(stage: Stage) -> None:
    for function in (jobs.complete, jobs.fail, jobs.complete):
        stage.enqueue(function, unique=True)


WAYS = [_many, *([_rate_limited, _unique] if RQ_3 else [])]


@pytest.mark.row(24)
@every_worker
@pytest.mark.parametrize("enqueue", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_every_way_into_a_queue_leads_to_one_execution_each(theatre: Theatre, kind: str, enqueue) -> None:
    """Jobs enqueued many at a time, unique, or held back by a rate limit are counted once each."""

    def scene(stage: Stage) -> None:
        enqueue(stage)
        stage.worker(kind)
        eventually(lambda: stage.calls == 3, "three executions")
        stage.settle()

    assert theatre.play(scene) == told(completed=2, discard=1, errors={"ValueError": 1})
