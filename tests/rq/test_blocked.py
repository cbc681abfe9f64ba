"""Deferred jobs that will never run are counted and named; those that may still run are not."""

from __future__ import annotations

from rq.job import Dependency, JobStatus
from rq.registry import CanceledJobRegistry

from jobtelemetry.diagnosis.coverage import check_coverage
from support import jobs
from support.stage import Stage, Theatre


def blocked(stage: Stage, queue: str = "default") -> tuple[int | None, set[str]]:
    """How many, and which."""
    (found,) = [one for one in stage.snapshot().queues if one.name == queue]
    return found.blocked, {named.split()[0] for named in found.blocked_by}


def test_who_waits_for_a_job_that_ended_badly_is_blocked(theatre: Theatre):
    """Cancelled, failed for good, gone, and whoever waits for such a one; not one that allows failure or may come."""
    with theatre.stage().open() as stage:
        failed, cancelled, done = (stage.enqueue(one) for one in (jobs.fail, jobs.cancel, jobs.complete))
        behind_failed = stage.enqueue(jobs.complete, depends_on=failed)
        behind_cancelled = stage.enqueue(jobs.complete, depends_on=[done, cancelled])
        grandchild = stage.enqueue(jobs.complete, depends_on=behind_cancelled)
        patient = stage.enqueue(jobs.complete, depends_on=Dependency(failed, allow_failure=True))
        assert blocked(stage) == (0, set()), "nothing has ended yet"
        stage.run("SimpleWorker")
        stage.settle()
        expected = {job.id for job in (behind_failed, behind_cancelled, grandchild)}
        assert blocked(stage) == (3, expected)
        assert patient.get_status() == JobStatus.FINISHED
        waiting = stage.enqueue(jobs.complete, on="later")
        orphan = stage.enqueue(jobs.complete, depends_on=waiting)
        assert blocked(stage)[0] == 3, "that one may still run"
        stage.connection.delete(f"rq:job:{waiting.id}")
        assert blocked(stage) == (4, expected | {orphan.id})


def test_the_doctor_names_them_and_what_they_wait_for(theatre: Theatre):
    """Job, dependency and what became of it; nothing of it once they are deleted."""
    with theatre.stage().open() as stage:
        parent = stage.enqueue(jobs.complete)
        child = stage.enqueue(jobs.complete, depends_on=parent)
        parent.cancel()
        assert parent in CanceledJobRegistry(queue=stage.queue())
        (said,) = [one for one in check_coverage(stage.snapshot()) if one.check == "dependents"]
        assert f"{child.id} waits for {parent.id} (canceled)" in said.summary
        child.delete()
        assert all(one.check != "dependents" for one in check_coverage(stage.snapshot()))
