"""Spans: what they are called, what they carry, and the ones made after the fact.

Names and attributes follow OpenTelemetry's messaging conventions (:data:`SCHEMA_URL`, status Development) with
``messaging.system="rq"``; RQ's own facts are under ``rq.*``. Only the API is imported here, and nothing happens as long
as no provider is configured.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from jobtelemetry._version import __version__
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import State
from jobtelemetry.text import span_text

#: The version of the conventions that the attributes follow.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"

SCOPE = "jobtelemetry"
SYSTEM = "rq"

#: Characters of a stack trace, and of a message, that a span keeps.
LONGEST_STACK_TRACE = 16_000
LONGEST_MESSAGE = 2_000

Value = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]

log = logging.getLogger("jobtelemetry")

_BY_NAME = "OTEL_PYTHON_TRACER_PROVIDER"
#: Whether the environment names one; it is what the process was started with.
_named = _BY_NAME in os.environ
_unusable = False
_tracer: tuple[Any, trace.Tracer] | None = None


def provider() -> trace.TracerProvider | None:
    """The application's provider; ``None`` as long as there is none, and then nothing is made."""
    # OpenTelemetry asks the environment at every call as long as nobody has set a provider, twice in a job's path.
    if not _named and getattr(trace, "_TRACER_PROVIDER", trace) is None:
        return None
    found = _named_provider() if _named else trace.get_tracer_provider()
    return None if isinstance(found, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)) else found


def _named_provider() -> trace.TracerProvider | None:
    """The provider where the environment names one, which OpenTelemetry loads; ``None`` after that has failed."""
    global _unusable
    if _unusable:
        return None
    loading = logging.getLogger("opentelemetry.util._providers")  # it logs a traceback, and then raises
    before, loading.disabled = loading.disabled, True
    try:
        return trace.get_tracer_provider()
    except Exception as error:  # noqa: BLE001 - whatever the import of a package raises
        _unusable = True
        said = " ".join(str(error).split()) or "no installed package has it"
        problem = f"{_BY_NAME}={os.environ[_BY_NAME]} cannot be loaded: {said}"
        log.warning("no traces are made; jobs run and are counted", extra={"problem": problem})
        return None
    finally:
        loading.disabled = before


def tracer_of(source: trace.TracerProvider) -> trace.Tracer:
    """Our tracer of a provider."""
    global _tracer
    if _tracer is None or _tracer[0] is not source:
        _tracer = (source, source.get_tracer(SCOPE, __version__, SCHEMA_URL))
    return _tracer[1]


def message_attributes(operation: str, kind: str, queue: str, job_id: str = "") -> dict[str, Any]:
    """What every span about a message carries.

    Args:
        operation: ``messaging.operation.name``.
        kind: ``messaging.operation.type``: ``create``, ``send`` or ``process``.
        queue: The queue's name.
        job_id: RQ's id of the job; empty for a batch.
    """
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
    }
    if job_id:
        attributes["messaging.message.id"] = job_id
    if old_names_too():
        attributes["messaging.operation"] = {"send": "publish"}.get(kind, kind)
    return attributes


def old_names_too() -> bool:
    """Whether ``OTEL_SEMCONV_STABILITY_OPT_IN`` asks for the names of version 1.24 beside today's."""
    return "messaging/dup" in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")


def start_consumer(
    source: trace.TracerProvider,
    *,
    queue: str,
    job_id: str,
    rq_worker: str,
    started_at: float,
    context: Context,
    links: Sequence[Link] = (),
    tracer: trace.Tracer | None = None,
) -> Span:
    """Start the CONSUMER span of an execution.

    Args:
        started_at: Unix time in seconds.
        context: Whose child it is; an empty one for a trace of its own.
    """
    attributes = message_attributes("process", "process", queue, job_id)
    attributes["messaging.client.id"] = attributes["rq.worker.name"] = rq_worker
    if old_names_too():
        attributes["messaging.client_id"] = rq_worker
    return (tracer or tracer_of(source)).start_span(
        f"process {queue}",
        context=context,
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=links,
        start_time=nanoseconds(started_at),
        record_exception=False,
        set_status_on_exception=False,
    )


def end_consumer(span: Span, event: ExecutionEvent, told: Mapping[str, Any] | None = None) -> None:
    """Say on a span how its execution ended, and end it.

    Args:
        span: As :func:`start_consumer` started it.
        event: How it ended.
        told: What the job did to its span in a work-horse, as ``HorseSpan.told`` has it.
    """
    told = told or {}
    if name := told.get("name"):
        span.update_name(name)
    for occurrence in told.get("events", ()):
        span.add_event(occurrence["name"], occurrence.get("attributes"), occurrence.get("at"))
    span.set_attributes({**told.get("attributes", {}), **event.attributes, **ending_attributes(event)})
    outcome = event.outcome
    if outcome.state.failed:
        if event.exception:
            span.add_event("exception", _exception_attributes(event), nanoseconds(event.ended_at))
        span.set_status(Status(StatusCode.ERROR, description_of(event)))
    elif told.get("status"):
        span.set_status(Status(StatusCode(told["status"][0]), told["status"][1]))
    span.end(nanoseconds(event.ended_at))


def ending_attributes(event: ExecutionEvent) -> dict[str, Any]:
    """What the end of an execution adds to its span; what is unknown is left out."""
    outcome = event.outcome
    cancelled = outcome.state is State.CANCELLED
    discarded = outcome.state is State.DISCARD
    found = {
        "rq.job.func": event.worker,
        "rq.job.state": outcome.state.value,
        "rq.job.attempt": event.attempt,
        "rq.job.max_attempts": event.max_attempts,
        "rq.job.timeout": event.timeout,
        "rq.job.cancel_reason": outcome.reason if cancelled else "",
        "rq.job.cancel_detail": event.message if cancelled else "",
        "rq.job.discard_reason": outcome.reason if discarded else "",
        "rq.execution.id": event.execution_id,
        "rq.horse.signal": event.signal,
        "rq.job.source": event.source,
        "rq.job.rate_limited": event.rate_limited,
        "rq.job.retry_after": event.retry_after,
        "error.type": outcome.error_type if outcome.state.failed else "",
    }
    known = {key: span_text(value) if isinstance(value, str) else value for key, value in found.items() if value}
    numbers = {"rq.job.wait_time": event.wait, "rq.job.cpu_time": event.cpu, "rq.job.peak_memory": event.memory}
    return known | {key: value for key, value in numbers.items() if value is not None}


def description_of(event: ExecutionEvent) -> str:
    """The text of an error status."""
    if event.message:
        return span_text(event.message)
    if event.signal:
        return f"work-horse {event.killed_by}"
    return event.outcome.error_type


def _exception_attributes(event: ExecutionEvent) -> dict[str, str]:
    kind, message, stack = (event.exception.get(key, "") for key in ("type", "message", "stacktrace"))
    found = {
        "exception.type": span_text(kind),
        "exception.message": span_text(message, LONGEST_MESSAGE),
        "exception.stacktrace": stack,  # bounded where it was made, for there its end was kept
    }
    return {key: text for key, text in found.items() if text}


def nanoseconds(seconds: float) -> int:
    """Unix time in nanoseconds, as OpenTelemetry counts."""
    return int(seconds * 1_000_000) * 1_000


# The trace field of the running table: what it takes to make the span of an execution whose parent died.


def traceparent(context: SpanContext) -> str:
    """A span context in W3C form."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def span_context(text: str, *, remote: bool = True) -> SpanContext | None:
    """The span context of a W3C ``traceparent``, or ``None`` if it is none."""
    parts = text.split("-")
    try:
        _, trace_id, span_id, flags = parts
        found = SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(int(flags, 16)))
    except ValueError:
        return None
    return found if found.is_valid else None


class TracingSink:
    """Makes the span of an execution that nobody else could end: its parent process died.

    The span has the ids, the start and the parent that the running table kept, so that what the work-horse exported
    hangs under it. Spans of living parents are ended by them.
    """

    def __call__(self, event: ExecutionEvent) -> None:
        """Make the span, if tracing is on and the event says that it is missing."""
        source = provider()
        if source is None or not event.lost_span:
            return
        own, _, rest = event.lost_span.partition(" ")
        relation, _, other = rest.partition(" ")
        context, creation = span_context(own), span_context(other)
        if context is None:
            return
        tracer = copy.copy(tracer_of(source))
        tracer.id_generator = _GivenIds(context)  # type: ignore[attr-defined]
        parent = Context()
        if creation is not None and relation == "parent":
            parent = trace.set_span_in_context(trace.NonRecordingSpan(creation), parent)
        span = start_consumer(
            source,
            queue=event.queue,
            job_id=event.job_id,
            rq_worker=event.rq_worker,
            started_at=event.started_at or event.ended_at,
            context=parent,
            links=[Link(creation)] if creation is not None and relation == "link" else (),
            tracer=tracer,
        )
        end_consumer(span, event)


class _GivenIds:
    """An id generator of the SDK's that gives the ids that a span already had."""

    def __init__(self, context: SpanContext) -> None:
        self._context = context

    def generate_span_id(self) -> int:
        return self._context.span_id

    def generate_trace_id(self) -> int:
        return self._context.trace_id

    def is_trace_id_random(self) -> bool:
        return True
