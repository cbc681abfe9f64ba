"""The hooks of ``Job``: what it returns or raises, the label it carries, and its cancellation before it ran."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from itertools import chain
from typing import Any

from rq.job import Job, JobStatus

from jobtelemetry.outcomes import Cancel, Discard
from jobtelemetry.rq import labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import piggyback
from jobtelemetry.rq.run import forget_verdict, note_verdict
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.keys import JOB_REPORT_FIELD
from jobtelemetry.store.record import append_cancelled_unstarted

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

_UNSTARTED = {"created", "queued", "scheduled", "deferred", "ready_to_enqueue", "rate_limited"}
_PERFORMING = "_jobtelemetry_performing"
#: A job that is deleted while it runs must not leave a hash of one field.
_NOTE = "return redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HSET', KEYS[1], unpack(ARGV))"

_cancelling: ContextVar[Job | None] = ContextVar("jobtelemetry_cancelling", default=None)


class JobHooks:
    """The hooks of ``Job``."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        for name, hook in (
            ("create", self.create),
            ("to_dict", self.to_dict),
            ("restore", self.restore),
            ("perform", self.perform),
            ("cancel", self.cancel),
            ("set_status", self.set_status),
        ):
            patches.wrap(Job, name, hook)
        patches.replace(Job, "func", property(partial(self.load, vars(Job)["func"].fget)))

    def create(self, wrapped: Wrapped, cls: type[Job], args: Args, kwargs: Kwargs) -> Any:
        """A producer makes a job, and knows its function."""
        job = wrapped(*args, **kwargs)
        with self._runtime.fence("label"):
            labels.note(job, argument(wrapped, args, kwargs, "func"))
        return job

    def to_dict(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """A job is saved; once it is more than created, its label is saved with it."""
        saved = wrapped(*args, **kwargs)
        with self._runtime.fence("label"):
            if job.get_status(refresh=False) != JobStatus.CREATED:
                saved.update(labels.fields(job))
        return saved

    def restore(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """A job is loaded, and its label with it; its arguments are not."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("label"):
            labels.restore(job, argument(wrapped, args, kwargs, "raw_data"))
        return result

    def perform(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """The job's function runs. What it says with ``Cancel`` or ``Discard``, raised or returned, is noted."""
        forget_verdict(job)
        job.__dict__[_PERFORMING] = True
        try:
            result = wrapped(*args, **kwargs)
            if isinstance(result, (Cancel, Discard)):
                raise result
        except (Cancel, Discard) as verdict:
            note_verdict(job, verdict)
            if isinstance(verdict, Cancel):
                job._failure_callback = None  # type: ignore[assignment]
            raise
        finally:
            job.__dict__.pop(_PERFORMING, None)
        return result

    def load(self, wrapped: Wrapped, job: Job) -> Any:
        """The job's function is imported; what it says of itself is noted for those who never load the job."""
        function = wrapped(job)
        with self._runtime.fence("label"):
            if job.__dict__.get(_PERFORMING):
                news = labels.note_loaded(job)
                if labels.note_report(job, function):
                    news[JOB_REPORT_FIELD] = labels.report(job)
                note_in_hash(job, news)
        return function

    def cancel(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """Somebody cancels a job."""
        token = _cancelling.set(job)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _cancelling.reset(token)

    def set_status(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """In ``Job.cancel``, the transaction in which a job that never ran becomes cancelled."""
        before = job.get_status(refresh=False) if _cancelling.get() is job else None
        result = wrapped(*args, **kwargs)
        if before is not None:
            with self._runtime.fence("cancel"):
                pipeline = argument(wrapped, args, kwargs, "pipeline")
                status = argument(wrapped, args, kwargs, "status")
                if pipeline is not None and status == JobStatus.CANCELED and str(before.value) in _UNSTARTED:
                    self._append_unstarted(job, pipeline)
        return result

    def _append_unstarted(self, job: Job, pipeline: Any) -> None:
        source = source_of(job, self._runtime)
        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_cancelled_unstarted(
                pipe,
                self._runtime.keys,
                labels.of_waiting_job(job),
                job.origin,
                source,
                now=time.time(),
                limits=self._runtime.limits,
            )
        )


def note_in_hash(job: Job, fields: Mapping[str, str]) -> None:
    """Write fields into the hash of a job that is there."""
    if fields:
        job.connection.eval(_NOTE, 1, job.key, *chain.from_iterable(fields.items()))


def source_of(job: Job, runtime: Runtime) -> str:
    """The optional source label of a job: ``job.meta["source"]``, where that label is switched on."""
    if not runtime.config.source_label or not isinstance(job.meta, dict):
        return ""
    return str(job.meta.get("source") or "")
