"""Where nobody has reported an ending: what a process that saw it does about it, and what it leaves to a reconciler."""

from __future__ import annotations

from dataclasses import replace

from rq.job import Job
from rq.worker.base import BaseWorker

from jobtelemetry.outcomes import ERROR_TYPES, Ending
from jobtelemetry.rq.run import Run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.record import COUNTED


def horse_gone(runtime: Runtime, rq_worker: BaseWorker, job: Job, run: Run) -> None:
    """In the parent: the horse is gone, and has not said that its end was recorded."""
    if run.horse is not None and run.horse.lives_on and not run.horse.signal:
        return  # the job goes on in a process that the horse has left behind; it ends it, or a reconciler does
    died = Ending.HORSE_KILLED if run.horse is not None and run.horse.signal else Ending.HORSE_EXITED
    _settle(runtime, rq_worker, job, run, "exited", died=ERROR_TYPES[died])


def performed(runtime: Runtime, rq_worker: BaseWorker, job: Job, run: Run) -> None:
    """In the process that performed the job: RQ, or the application's worker class, is through with it."""
    _settle(runtime, rq_worker, job, run, "performed", died=ERROR_TYPES[Ending.ABANDONED])


def forget(rq_worker: BaseWorker, job_id: str) -> None:
    """Nothing more is to come of a run."""
    run = runs_of(rq_worker).pop(job_id, None)
    if run is not None and run.horse is not None and run.horse.pipe is not None:
        run.horse.pipe.close()


def _settle(runtime: Runtime, rq_worker: BaseWorker, job: Job, run: Run, asked: str, *, died: str) -> None:
    if not run.in_table or rq_worker.__dict__.get(OFF) or runtime.suspended:
        return
    from jobtelemetry.store.reconcile import settle  # loaded where it is needed: not by those who enqueue

    event = settle(
        rq_worker.connection,
        runtime.keys,
        run.event(job),
        runtime.limits,
        attempt=run.attempt,
        retries=run.start.retries_left > 0,
        account=run.start.account,
        asked=asked,
        told=run.found(asked, died=died, stopped=rq_worker._stopped_job_id == job.id),
        measured=run.measured.taken() if run.measured is not None else None,
    )
    if event is not None:
        message = (run.horse.said or {}).get("message", "") if run.horse is not None else ""
        event = replace(event, message=event.message or message)
        ended = run.begin(Ending.HORSE_EXITED)
        ended.event, ended.answer = event, COUNTED
        runtime.sinks.tell(event)
