"""What RQ does not have: a job that ends its own execution as cancelled."""

from __future__ import annotations

from typing import Any

from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry
from rq.utils import now, utcformat
from rq.worker.base import BaseWorker

from jobtelemetry.outcomes import Cancel, reason_of
from jobtelemetry.rq.piggyback import piggyback
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.keys import JOB_CANCEL_DETAIL_FIELD, JOB_CANCEL_REASON_FIELD
from jobtelemetry.store.record import append_cancelled
from jobtelemetry.text import text_of


def end_execution(worker: BaseWorker, job: Job, execution: Any, verdict: Cancel, runtime: Runtime) -> bool:
    """End a worker's execution as cancelled, as ``handle_job_failure`` would end it as failed.

    Like there, an error of Redis is logged and the horse ends; RQ then finds the job abandoned.

    Returns:
        Whether that was tried; ``False`` after an error of ours, before anything was written.
    """
    built = False
    try:
        waiting = bool(worker.connection.exists(job.dependents_key))
        with worker.connection.pipeline() as pipeline:
            off = bool(worker.__dict__.get(OFF))
            write_cancelled(job, pipeline, verdict, worker.default_result_ttl, runtime, off=off, keep=waiting)
            if job.started_at and job.ended_at:
                worker.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            if execution is None:  # up to RQ 2.12
                worker.cleanup_execution(job, pipeline=pipeline)
            else:
                worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
            built = True
            pipeline.execute()
    except Exception as error:
        runtime.note_error("cancel", error)
        return built
    if waiting:
        with runtime.fence("cancel"):
            _release_dependents(worker, job, verdict)
            if not worker.connection.exists(job.dependents_key):
                with worker.connection.pipeline() as pipeline:
                    _let_expire(job, pipeline, job.get_result_ttl(worker.default_result_ttl), runtime, off=off)
                    pipeline.execute()
    release = getattr(worker, "_release_slot_safely", None)
    if release is not None:
        release(job)
    return True


def _release_dependents(worker: BaseWorker, job: Job, verdict: Cancel) -> None:
    """Enqueue the jobs that may run although this one was cancelled.

    RQ lets nothing run after a cancelled job. To a dependent that allows failure it does not matter how this one
    ended, so it is asked as after a failure.
    """
    queue = worker.queue_class(
        job.origin, connection=worker.connection, job_class=worker.job_class, serializer=worker.serializer
    )
    if verdict.enqueue_dependents:
        queue.enqueue_dependents(job, exclude_job_id=job.id)
        return
    job._status = JobStatus.FAILED
    try:
        queue.enqueue_dependents(job, refresh_job_status=False)
    finally:
        job._status = JobStatus.CANCELED


def write_cancelled(
    job: Job,
    pipeline: Any,
    verdict: Cancel,
    default_result_ttl: int,
    runtime: Runtime,
    *,
    off: bool = False,
    keep: bool = False,
) -> None:
    """Append what makes a job cancelled: its status, its reason, and the registry, for as long as a result is kept.

    Args:
        default_result_ttl: Seconds that RQ keeps a result without a TTL of its own; -1 for ever.
        off: Whether scripts cannot be used.
        keep: Whether jobs depend on it: without its hash and its list of them nobody could release them any more.
    """
    ttl = -1 if keep else job.get_result_ttl(default_result_ttl)
    job.ended_at = job.ended_at or now()
    job.set_status(JobStatus.CANCELED, pipeline=pipeline)
    if ttl != 0:
        facts = {
            "ended_at": utcformat(job.ended_at),
            JOB_CANCEL_REASON_FIELD: reason_of(verdict).encode(),
            JOB_CANCEL_DETAIL_FIELD: text_of(verdict.detail)[:500].encode(),
        }
        pipeline.hset(job.key, mapping=facts)
    _let_expire(job, pipeline, ttl, runtime, off=off)


def _let_expire(job: Job, pipeline: Any, ttl: int, runtime: Runtime, *, off: bool) -> None:
    """The job and its place in RQ's registry go when a result would."""
    if ttl != 0:
        registry = CanceledJobRegistry(job.origin, job.connection, job_class=type(job), serializer=job.serializer)
        registry.add(job, ttl=ttl, pipeline=pipeline)
    job.cleanup(ttl, pipeline=pipeline, remove_from_queue=False)
    if ttl > 0 and not off:
        with runtime.fence("cancel"):
            piggyback(pipeline, runtime).append(
                lambda pipe: append_cancelled(pipe, runtime.keys, job.origin, job.id, ttl)
            )
