"""The CONSUMER span of every execution: started where RQ creates the execution, ended when its end is known."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from dataclasses import replace
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from rq.job import Job

from jobtelemetry import attributes, propagation
from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.forking.forked_sdk import ForkedSdk
from jobtelemetry.forking.horse_span import HorseSpan, RunTrace
from jobtelemetry.rq.run import Run
from jobtelemetry.sinks.tracing import TracingSink, end_consumer, provider, start_consumer, traceparent

#: Bytes of attributes that go through the pipe while the job runs.
_MOST_TOLD = 16_000


class ConsumerSpans:
    """One per process (and per :func:`jobtelemetry.instrument`).

    Args:
        config: The settings.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.sdk = ForkedSdk(config.flush_timeout)

    def start(self, run: Run, job: Job) -> None:
        """Start the span of an execution that RQ is creating; without a provider there is none."""
        source = provider()
        if source is None:
            return
        context = carried(job)
        creation = trace.get_current_span(context).get_span_context()
        linked = creation.is_valid and self._config.trace_relation == "link"
        span = start_consumer(
            source,
            queue=run.start.queue,
            job_id=run.start.job_id,
            rq_worker=run.start.rq_worker,
            started_at=run.start.started_at,
            context=trace.set_span_in_context(trace.INVALID_SPAN, context) if linked else context,
            links=[Link(creation)] if linked else (),
        )
        if self._config.trace_arguments and job.description:
            span.set_attribute("rq.job.call", job.description[:1000])
        run.trace = RunTrace(span.get_span_context(), span)
        if run.trace.sampled:
            kept = traceparent(run.trace.context)
            if creation.is_valid:
                kept += f" {'link' if linked else 'parent'} {traceparent(creation)}"
            run.start = run.start._replace(trace=kept)

    def enter(self, run: Run, job: Job, *, in_horse: bool) -> tuple[Any, Token[Any] | None]:
        """The job is about to run: make its span current, and receive its attributes.

        Returns:
            What :meth:`leave` needs.
        """
        receiving = attributes.receive(Attributes(run), process=in_horse)
        if run.trace is None:
            return receiving, None
        span = run.trace.span
        if in_horse:
            run.trace.span = None
            span = run.trace.horse_span = HorseSpan(run.trace.context)
        if span is None:
            return receiving, None
        return receiving, otel_context.attach(trace.set_span_in_context(span, carried(job)))

    def leave(self, tokens: tuple[Any, Token[Any] | None], *, in_horse: bool) -> None:
        """The job has run."""
        receiving, attached = tokens
        if attached is not None:
            otel_context.detach(attached)
        attributes.stop_receiving(receiving)
        if in_horse:
            self.sdk.flush_horse(provider())

    def end(self, run: Run, event: ExecutionEvent, told: Mapping[str, Any] | None = None) -> None:
        """End the span of an execution, once.

        Args:
            event: How it ended.
            told: What the job did to its span in a work-horse.
        """
        if run.trace is None and not event.execution_id:  # stuck before RQ created an execution
            source = provider()
            if source is None:
                return
            span = start_consumer(
                source,
                queue=event.queue,
                job_id=event.job_id,
                rq_worker=event.rq_worker,
                started_at=event.ended_at,
                context=Context(),
            )
            run.trace = RunTrace(span.get_span_context(), span)
        if run.trace is None or run.trace.ended or run.trace.span is None:
            return
        run.trace.ended = True
        if run.trace.span.is_recording():
            end_consumer(run.trace.span, event, told)

    def end_orphaned(self, run: Run, event: ExecutionEvent) -> None:
        """In a work-horse whose parent is gone: make the span that the parent would have ended."""
        if run.trace is not None and not run.trace.ended and run.start.trace:
            run.trace.ended = True
            TracingSink()(replace(event, lost_span=run.start.trace))


class Attributes:
    """Receives what a job adds with ``set_attribute``, and tells the parent at once: the horse may be killed.

    Args:
        run: The execution that is meant.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._told = 0

    def __call__(self, key: str, value: attributes.Value) -> None:
        """One attribute."""
        kept = self.run.attributes
        if key not in kept and len(kept) >= attributes.MOST_ATTRIBUTES:
            return
        kept[key] = value
        horse = self.run.horse
        if horse is not None and horse.pipe is not None and self.run.in_horse and self._told < _MOST_TOLD:
            self._told += horse.pipe.tell(attributes={key: value})


def carried(job: Job) -> Context:
    """The context that a job carries in ``job.meta``, by the configured propagator; nothing of this process's own."""
    if not isinstance(job.meta, dict):
        return Context()
    carrier = {key: value for key, value in job.meta.items() if isinstance(key, str) and isinstance(value, str)}
    return propagation.extract(carrier) if carrier else Context()
