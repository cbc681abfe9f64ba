"""PRODUCER spans on every way into a queue, and the trace context that a job carries in ``job.meta``."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, TracerProvider
from rq.job import Job
from rq.queue import Queue
from rq.registry import CanceledJobRegistry

from jobtelemetry import propagation
from jobtelemetry.forking.horse_span import HorseSpan
from jobtelemetry.rq import labels
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.consumer import carried
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.sinks.tracing import message_attributes, provider, tracer_of

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

    def restore(self, call: Call, job: Job) -> Any:
        """A job is loaded."""
        job.__dict__[_LOADED] = True
        return call()

    def again(self, call: Call, owner: Any, job_or_id: Any) -> Any:
        """A job that ran is sent once more, on purpose."""
        if isinstance(owner, CanceledJobRegistry):
            with self._runtime.fence("enqueue"):  # it would expire waiting
                owner.connection.persist(job_or_id.key if isinstance(job_or_id, Job) else Job.key_for(job_or_id))
        token = _again.set(True)
        try:
            return call()
        finally:
            _again.reset(token)

    def repeat(self, call: Call, owner: Any) -> Any:
        """A job that succeeded is sent once more, as its ``Repeat`` says."""
        return self.again(call, owner, None)

    def enqueue(self, call: Call, queue: Queue, job: Job) -> Any:
        """A job is put on a queue."""
        return self._in_span(call, queue, job, None)

    def schedule(self, call: Call, queue: Queue, job: Job, moment: datetime) -> Any:
        """A job is scheduled, or RQ schedules a retry of it."""
        if job.__dict__.get(_LOADED) and not _again.get():
            return call()
        return self._in_span(call, queue, job, moment)

    def enqueue_again(self, call: Call, queue: Queue, job: Job) -> Any:
        """RQ's way inside: a message of its own only where a job is sent once more on purpose."""
        return self._in_span(call, queue, job, None) if _again.get() else call()

    def _in_span(self, call: Call, queue: Queue, job: Job, due: datetime | None) -> Any:
        traced = False
        with self._runtime.fence("trace"):
            in_horse = self._runtime.horse_of != 0  # only there a span is one without an SDK
            traced = provider() is not None or (in_horse and isinstance(trace.get_current_span(), HorseSpan))
        if not traced:
            return call()
        with self._span(queue, job, due):
            return call()

    @contextmanager
    def _span(self, queue: Queue, job: Job, due: datetime | None) -> Iterator[None]:
        """The PRODUCER span of one job, current while RQ enqueues it."""
        span = None
        with self._runtime.fence("trace"):
            source = provider()
            if source is None:
                if isinstance(trace.get_current_span(), HorseSpan):  # a spawned horse without an SDK
                    inject(job)
            elif _sending.get() is not job and _batch.get() is None:
                span = self._start(source, queue, job, due)
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

    def enqueue_many(self, call: Call, queue: Queue) -> Any:
        """Several jobs are put on a queue: one ``create`` span for each, and one ``send`` span."""
        send = None
        with self._runtime.fence("trace"):
            source = provider()
            if source is not None:
                attributes = message_attributes("send", "send", queue.name)
                send = tracer_of(source).start_span(f"send {queue.name}", kind=SpanKind.CLIENT, attributes=attributes)
        if send is None:
            return call()
        outside = trace.get_current_span()
        token = _batch.set((send, outside))
        try:
            with trace.use_span(send):
                jobs = call()
                with self._runtime.fence("trace"):
                    send.set_attribute("messaging.batch.message_count", len(jobs))
                return jobs
        finally:
            _batch.reset(token)
            with self._runtime.fence("trace"):
                send.end()

    def create_in_batch(self, call: Call, queue: Queue) -> Any:
        """A job of several is made; it carries the context of its own ``create`` span."""
        job = call()
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
