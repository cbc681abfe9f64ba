"""What becomes of the jobs that depend on one that cancelled itself."""

from __future__ import annotations

import pytest
from rq.job import Dependency

from support import jobs
from support.stage import Theatre
from support.waiting import eventually

every_worker = pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])


@every_worker
def test_who_allows_failure_runs_and_the_others_wait(theatre: Theatre, kind: str):
    """A dependent that allows failure runs after a ``Cancel``; a plain one stays deferred, as in RQ."""
    with theatre.stage().open() as stage:
        cancelled = stage.enqueue(jobs.cancel)
        stage.enqueue(jobs.complete, depends_on=cancelled)
        stage.enqueue(jobs.complete, depends_on=Dependency(cancelled, allow_failure=True))
        stage.run(kind)
        eventually(lambda: stage.status("job-3") == "finished", "the dependent that allows failure")
        stage.settle()
        assert stage.status("job-2") == "deferred"
        assert stage.status("job-1") == "canceled"
        assert [queue.blocked for queue in stage.snapshot().queues] == [1], "and it is said that one waits for ever"
        assert stage.told().states == {"cancelled": 1, "completed": 1}


@every_worker
def test_a_job_can_let_its_dependents_run(theatre: Theatre, kind: str):
    """``Cancel(..., enqueue_dependents=True)`` is the twin of RQ's own option."""
    with theatre.stage().open() as stage:
        cancelled = stage.enqueue(jobs.cancel_and_let_run)
        stage.enqueue(jobs.complete, depends_on=cancelled)
        stage.run(kind)
        eventually(lambda: stage.status("job-2") == "finished", "the dependent")
        assert 0 < stage.connection.ttl("rq:job:job-1") <= 500, "nothing waits for it, so it expires"


@every_worker
def test_what_others_wait_for_does_not_expire(theatre: Theatre, kind: str):
    """As long as a dependent waits, the cancelled job and its list of dependents stay: somebody may release it."""
    with theatre.stage().open() as stage:
        cancelled = stage.enqueue(jobs.cancel, result_ttl=1)
        stage.enqueue(jobs.complete, depends_on=cancelled)
        stage.run(kind)
        eventually(lambda: stage.status("job-1") == "canceled", "the cancellation")
        stage.settle()
        assert stage.connection.ttl("rq:job:job-1") == -1
        assert stage.connection.ttl("rq:job:job-1:dependents") == -1
        stage.queue().enqueue_dependents(stage.job("job-1"), exclude_job_id="job-1")
        eventually(lambda: stage.status("job-2") == "finished", "the released dependent")
        assert [queue.blocked for queue in stage.snapshot().queues] == [0]


def test_what_waits_for_a_job_that_is_gone_is_blocked(theatre: Theatre):
    """A job that waits for one that was deleted, failed or stopped is told apart from one whose turn will come."""
    with theatre.stage().open() as stage:
        failing, gone, queued = stage.enqueue(jobs.fail), stage.enqueue(jobs.complete), stage.enqueue(jobs.complete)
        for one in (failing, gone, queued):
            stage.enqueue(jobs.complete, depends_on=one)
        stage.connection.delete("rq:job:job-2")
        stage.connection.hset("rq:job:job-1", "status", "failed")
        assert [queue.blocked for queue in stage.snapshot().queues] == [2]
