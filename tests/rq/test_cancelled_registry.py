"""Cancelled jobs do not pile up: RQ's registry forgets them when their results expire."""

from __future__ import annotations

import signal

import pytest

from support import jobs
from support.stage import Theatre
from support.waiting import eventually


def test_expired_cancellations_leave_rqs_registry(theatre: Theatre):
    """The next cancellation takes out of the registry those whose jobs have expired, and only those."""
    with theatre.stage().open() as stage:
        for _ in range(5):
            stage.enqueue(jobs.cancel, result_ttl=1)
        stage.enqueue(jobs.cancel, result_ttl=3600)
        stage.enqueue(jobs.cancel, result_ttl=-1)
        stage.run("SimpleWorker")
        eventually(lambda: not any(stage.connection.exists(f"rq:job:job-{n}") for n in range(1, 6)), "their expiry")
        stage.enqueue(jobs.cancel)
        eventually(lambda: stage.calls == 8, "another cancellation")
        stage.settle()
        registry = {job_id.decode() for job_id in stage.connection.zrange("rq:canceled:default", 0, -1)}
        assert registry == {"job-6", "job-7", "job-8"}
        assert stage.connection.zcard("rq:telemetry:cancelled:default") == 2  # job-7 is kept for ever
        assert stage.connection.ttl("rq:job:job-7") == -1


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_a_cancelled_job_whose_result_nobody_wants_is_gone(theatre: Theatre, kind: str):
    """With ``result_ttl=0`` a cancelled job leaves nothing behind, like a finished one."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.cancel, result_ttl=0)
        stage.run(kind)
        assert stage.told().states == {"cancelled": 1}
        assert stage.status() == "gone"
        assert stage.connection.zcard("rq:canceled:default") == 0


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "by job"])
def test_a_requeued_cancellation_does_not_expire(theatre: Theatre, by_id: bool):
    """A job that cancelled itself and is put on its queue again waits there as long as it takes."""
    with theatre.stage().open() as stage:
        job = stage.enqueue(jobs.cancel, result_ttl=60)
        stage.run("SimpleWorker").kill(signal.SIGTERM)
        eventually(lambda: not stage.connection.exists("rq:workers"), "the worker's end")
        assert stage.connection.ttl(job.key) > 0
        stage.queue().canceled_job_registry.requeue(job.id if by_id else stage.job())
        assert stage.connection.ttl(job.key) == -1
        stage.run("SimpleWorker")
        assert stage.told().states == {"cancelled": 2}


def test_a_job_that_somebody_cancelled_is_rqs_own_affair(theatre: Theatre):
    """Jobs cancelled with ``job.cancel()`` stay in the registry as RQ keeps them."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete).cancel()
        stage.enqueue(jobs.cancel, result_ttl=1)
        stage.run("SimpleWorker")
        eventually(lambda: stage.status("job-2") == "gone", "its expiry")
        stage.enqueue(jobs.cancel)
        eventually(lambda: stage.calls == 2, "another cancellation")
        stage.settle()
        assert stage.connection.zscore("rq:canceled:default", "job-1") is not None
        assert stage.connection.zscore("rq:canceled:default", "job-2") is None
