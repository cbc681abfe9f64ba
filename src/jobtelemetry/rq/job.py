"""The hooks of ``Job``: what it returns or raises, the label it carries, and its cancellation before it ran."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from itertools import chain
from typing import Any

from rq.job import Job, JobStatus

from jobtelemetry.clock import monotonic
from jobtelemetry.outcomes import Cancel, Discard, verdict_in
from jobtelemetry.rq import labels
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.piggyback import piggyback
from jobtelemetry.rq.run import Run, forget_verdict, note_verdict
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.record import append_cancelled_unstarted

_UNSTARTED = {"created", "queued", "scheduled", "deferred", "ready_to_enqueue", "rate_limited"}
_PERFORMING = "_jobtelemetry_performing"
_RUN = "_jobtelemetry_run"
#: A job that is deleted while it runs must not leave a hash of one field.
_NOTE = "return redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HSET', KEYS[1], unpack(ARGV))"

_cancelling: ContextVar[Job | None] = ContextVar("jobtelemetry_cancelling", default=None)

#: What this process performs just now, by job id.
_performing: dict[str | None, Run] = {}


def begin_here(job: Job, run: Run | None) -> None:
    """From now on, until :func:`end_here`, the job is performed in this process."""
    if run is not None:
        _performing[job.id] = run


def end_here(job: Job) -> None:
    """It has been."""
    _performing.pop(job.id, None)


def performed_now() -> Run | None:
    """The run that this process performs; ``None`` if there is none, or more than one."""
    runs = list(_performing.values())
    return runs[0] if len(runs) == 1 else None


def meet(job: Job, run: Run) -> None:
    """The run that this job object is performed in."""
    job.__dict__[_RUN] = run


def note_put_back(job: Job) -> None:
    """A job is put on a queue. If it is one that has just failed here, it was not given up."""
    # Asked for its id, a job that has none makes one up, and RQ wants to know that it has none.
    run = _performing.get(job._id)
    if run is not None and run.performance.returned is False:
        run.performance.put_back = True


class JobHooks:
    """The hooks of ``Job``."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def create(self, call: Call, cls: type[Job], func: Any) -> Any:
        """A producer makes a job, and knows its function."""
        job = call()
        with self._runtime.fence("label"):
            labels.note(job, func)
        return job

    def to_dict(self, call: Call, job: Job) -> Any:
        """A job is saved; once it is more than created, its label is saved with it."""
        saved = call()
        with self._runtime.fence("label"):
            if job.get_status(refresh=False) != JobStatus.CREATED:
                saved.update(labels.fields(job))
        return saved

    def restore(self, call: Call, job: Job, raw_data: Any) -> Any:
        """A job is loaded, and its label with it; its arguments are not."""
        result = call()
        with self._runtime.fence("label"):
            labels.restore(job, raw_data)
        return result

    def execute(self, call: Call, job: Job) -> Any:
        """The job's function runs. What it says with ``Cancel`` or ``Discard``, raised or returned, is noted."""
        forget_verdict(job)
        job.__dict__[_PERFORMING] = True
        run: Run | None = job.__dict__.get(_RUN)
        done = run.performance if run is not None else None
        if done is not None:
            done.began = monotonic()
        returned = False
        try:
            result = call()
            verdict = verdict_in(result)
            if verdict is not None:
                raise verdict  # noqa: TRY301 - as if the function had raised it
            returned = True
        except BaseException as error:
            if isinstance(error, (Cancel, Discard)):
                note_verdict(job, error)
                if isinstance(error, Cancel):
                    job._failure_callback = None  # type: ignore[assignment]
            if done is not None:
                with self._runtime.fence("classify"):
                    done.noticed(error)
            raise
        finally:
            job.__dict__.pop(_PERFORMING, None)
            if done is not None and run is not None:
                done.ended, done.returned = monotonic(), returned
                with self._runtime.fence("tell"):
                    if run.in_horse and run.horse is not None:
                        run.horse.tell_performed(done)
        return result

    def load(self, call: Call, job: Job) -> Any:
        """The job's function is imported; what it says of itself is noted for those who never load the job."""
        function = call()
        if job.__dict__.pop(_PERFORMING, False):  # once, although RQ asks twice
            with self._runtime.fence("label"):
                news = labels.note_loaded(job)
                note_in_hash(job, news | labels.note_options(job, function))
        return function

    def cancel(self, call: Call, job: Job) -> Any:
        """Somebody cancels a job."""
        token = _cancelling.set(job)
        try:
            return call()
        finally:
            _cancelling.reset(token)

    def set_status(self, call: Call, job: Job, status: Any, pipeline: Any) -> Any:
        """In ``Job.cancel``, the transaction in which a job that never ran becomes cancelled."""
        before = job.get_status(refresh=False) if _cancelling.get() is job else None
        result = call()
        if before is not None and pipeline is not None and status == JobStatus.CANCELED:
            with self._runtime.fence("cancel"):
                if str(before.value) in _UNSTARTED:
                    self._append_unstarted(job, pipeline)
        return result

    def _append_unstarted(self, job: Job, pipeline: Any) -> None:
        extra = labels.extra_of(job, self._runtime.config.extra_labels)
        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_cancelled_unstarted(
                pipe,
                self._runtime.keys,
                labels.of_waiting_job(job),
                job.origin,
                extra,
                limits=self._runtime.limits,
            )
        )


def note_in_hash(job: Job, fields: Mapping[str, str]) -> None:
    """Write fields into the hash of a job that is there."""
    if fields:
        job.connection.eval(_NOTE, 1, job.key, *chain.from_iterable(fields.items()))
