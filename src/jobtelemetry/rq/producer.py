"""PRODUCER spans on every way into a queue, and the trace context that a job carries in ``job.meta``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, TracerProvider
from rq.job import Job
from rq.queue import Queue
from rq.registry import BaseRegistry, CanceledJobRegistry
from rq.repeat import Repeat

from jobtelemetry import propagation
from jobtelemetry.rq import labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.consumer import carried
from jobtelemetry.rq.horse_span import HorseSpan
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.sinks.tracing import message_attributes, provider, tracer_of

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

#: Marks a job that was loaded from Redis: RQ moving it on is no new message.
_LOADED = "_jobtelemetry_loaded"
_MOST_LINKS = 128

_sending: ContextVar[Job | None] = ContextVar("jobtelemetry_sending", default=None)
_again: ContextVar[bool] = ContextVar("jobtelemetry_again", default=False)
_batch: ContextVar[tuple[Span, Any] | None] = ContextVar("jobtelemetry_batch", default=None)


class ProducerHooks:
    """The hooks around enqueueing. RQ's retries, its scheduler and released dependents redeliver: no span."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        patches.wrap(Queue, "enqueue_job", self.enqueue)
        patches.wrap(Queue, "schedule_job", self.schedule)
        patches.wrap(Queue, "_enqueue_job", self.enqueue_again)
        patches.wrap(Queue, "_enqueue_rate_limited_job", self.enqueue_again)
        patches.wrap(Queue, "enqueue_many", self.enqueue_many)
        patches.wrap(Queue, "create_job", self.create_in_batch)
        patches.wrap(BaseRegistry, "requeue", self.again)
        patches.wrap(Repeat, "schedule", self.again)
        patches.wrap(Job, "restore", self.restore)

    def restore(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """A job is loaded."""
        job.__dict__[_LOADED] = True
        return wrapped(*args, **kwargs)

    def again(self, wrapped: Wrapped, owner: Any, args: Args, kwargs: Kwargs) -> Any:
        """A job that ran is sent once more, on purpose."""
        with self._runtime.fence("enqueue"):
            if isinstance(owner, CanceledJobRegistry):
                job = argument(wrapped, args, kwargs, "job_or_id")
                owner.connection.persist(
                    job.key if isinstance(job, Job) else Job.key_for(job)
                )  # it would expire waiting
        token = _again.set(True)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _again.reset(token)

    def enqueue(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job is put on a queue."""
        with self._span(wrapped, queue, args, kwargs):
            return wrapped(*args, **kwargs)

    def schedule(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job is scheduled, or RQ schedules a retry of it."""
        retry = False
        with self._runtime.fence("trace"):
            retry = getattr(argument(wrapped, args, kwargs, "job"), _LOADED, False) and not _again.get()
        if retry:
            return wrapped(*args, **kwargs)
        with self._span(wrapped, queue, args, kwargs):
            return wrapped(*args, **kwargs)

    def enqueue_again(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """RQ's way inside: a message of its own only where a job is sent once more on purpose."""
        if not _again.get():
            return wrapped(*args, **kwargs)
        with self._span(wrapped, queue, args, kwargs):
            return wrapped(*args, **kwargs)

    @contextmanager
    def _span(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Iterator[None]:
        """The PRODUCER span of one job, current while RQ enqueues it."""
        job = None
        span = None
        with self._runtime.fence("trace"):
            source = provider()
            job = argument(wrapped, args, kwargs, "job")
            if source is None:
                if isinstance(trace.get_current_span(), HorseSpan):  # a spawned horse without an SDK
                    inject(job)
            elif _sending.get() is not job and _batch.get() is None:
                span = self._start(source, queue, job, argument(wrapped, args, kwargs, "datetime"))
        if span is None:
            yield
            return
        token = _sending.set(job)
        try:
            with trace.use_span(span):
                with self._runtime.fence("trace"):
                    inject(job)
                yield
        finally:
            _sending.reset(token)
            with self._runtime.fence("trace"):
                span.end()  # a span processor of the application's may raise

    def _start(self, source: TracerProvider, queue: Queue, job: Job, due: datetime | None) -> Span:
        attributes = message_attributes("enqueue", "send", queue.name, job.id)
        attributes.update(self._job_attributes(job))
        if due is not None:
            attributes["rq.job.scheduled_at"] = due.timestamp()
        earlier = trace.get_current_span(carried(job)).get_span_context()
        links = [Link(earlier)] if earlier.is_valid else ()
        return tracer_of(source).start_span(
            f"enqueue {queue.name}", kind=SpanKind.PRODUCER, attributes=attributes, links=links
        )

    def _job_attributes(self, job: Job) -> dict[str, Any]:
        found = {"rq.job.func": labels.of_waiting_job(job)}
        if self._runtime.config.trace_arguments and job.description:
            found["rq.job.call"] = job.description[:1000]
        return found

    # many at once

    def enqueue_many(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """Several jobs are put on a queue: one ``create`` span for each, and one ``send`` span."""
        send = None
        with self._runtime.fence("trace"):
            source = provider()
            if source is not None:
                attributes = message_attributes("send", "send", queue.name)
                send = tracer_of(source).start_span(f"send {queue.name}", kind=SpanKind.CLIENT, attributes=attributes)
        if send is None:
            return wrapped(*args, **kwargs)
        outside = trace.get_current_span()
        token = _batch.set((send, outside))
        try:
            with trace.use_span(send):
                jobs = wrapped(*args, **kwargs)
                with self._runtime.fence("trace"):
                    send.set_attribute("messaging.batch.message_count", len(jobs))
                return jobs
        finally:
            _batch.reset(token)
            with self._runtime.fence("trace"):
                send.end()

    def create_in_batch(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job of several is made; it carries the context of its own ``create`` span."""
        job = wrapped(*args, **kwargs)
        with self._runtime.fence("trace"):
            batch, source = _batch.get(), provider()
            if batch is not None and source is not None:
                self._create(source, queue, job, *batch)
        return job

    def _create(self, source: TracerProvider, queue: Queue, job: Job, send: Span, outside: Span) -> None:
        attributes = message_attributes("create", "create", queue.name, job.id)
        attributes.update(self._job_attributes(job))
        create = tracer_of(source).start_span(
            f"create {queue.name}",
            context=trace.set_span_in_context(outside),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        )
        with trace.use_span(create, end_on_exit=True):
            inject(job)
        if len(getattr(send, "links", ())) < _MOST_LINKS:
            send.add_link(create.get_span_context())


def inject(job: Job) -> None:
    """Put the current context into ``job.meta``, unless one is there already.

    ``meta`` is replaced and not changed: a caller may pass the same dict for many jobs.
    """
    meta = job.meta
    if not isinstance(meta, dict) or "unserialized" in meta:  # RQ could not read it, and must write it back as it is
        return
    carrier: dict[str, str] = {}
    propagation.inject(carrier)
    if carrier and not carrier.keys() & meta.keys():
        job.meta = copy.copy(meta)
        job.meta.update(carrier)
