"""The CONSUMER span as the work-horse sees it. The real one lives in the parent and outlives the horse."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.sinks.tracing import LONGEST_MESSAGE, LONGEST_STACK_TRACE
from jobtelemetry.text import attribute, class_name, text_of, writable


@dataclass
class RunTrace:
    """The trace of one execution, in one process.

    Args:
        context: Of the CONSUMER span.
        span: The span itself, where this process is the one to end it.
        horse_span: What stands for it while the job's function runs in a work-horse.
        ended: Whether this process has ended it.
    """

    context: SpanContext
    span: Span | None = None
    horse_span: HorseSpan | None = None
    ended: bool = False

    @property
    def sampled(self) -> bool:
        """Whether the span will be exported."""
        return self.context.trace_flags.sampled


#: Attributes and events that a job may add to its span; the pipe to the parent is not endless.
MOST_ATTRIBUTES = 64
MOST_EVENTS = 32
#: Of the message to the parent.
MOST_BYTES = 24_000
_LONGEST = 1_000
#: What OpenTelemetry takes as an integer.
_BITS = 64


class HorseSpan(Span):
    """Current while the job's function runs. What is done to it is kept in :attr:`told`, for the parent.

    Args:
        context: The real span's context.
    """

    def __init__(self, context: SpanContext) -> None:
        self._context = context
        self.told: dict[str, Any] = {}

    def get_span_context(self) -> SpanContext:
        """The real span's context."""
        return self._context

    def is_recording(self) -> bool:
        """Whether what is added will be exported."""
        return self._context.trace_flags.sampled

    def end(self, end_time: int | None = None) -> None:
        """Nothing: the parent ends the span when the execution has ended."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Add one attribute."""
        kept = self.told.setdefault("attributes", {})
        if key in kept or len(kept) < MOST_ATTRIBUTES:
            kept[str(key)] = _bounded(value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event; the time is in nanoseconds since 1970."""
        events = self.told.setdefault("events", [])
        if len(events) < MOST_EVENTS:
            kept = {str(key): _bounded(value) for key, value in (attributes or {}).items()}
            events.append({"name": str(name)[:_LONGEST], "attributes": kept, "at": timestamp or time.time_ns()})

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Nothing: the parent's span has its links."""

    def update_name(self, name: str) -> None:
        """Rename the span."""
        self.told["name"] = str(name)[:_LONGEST]

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; a failure of the job overrides it."""
        code = status.status_code if isinstance(status, Status) else status
        text = status.description if isinstance(status, Status) else description
        self.told["status"] = [code.value, text[:LONGEST_MESSAGE] if text and code is StatusCode.ERROR else None]

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an exception that the job handled; the one that ends it is recorded by the parent."""
        facts: dict[str, Any] = exception_facts(exception)
        self.add_event("exception", {**{f"exception.{key}": text for key, text in facts.items()}, **(attributes or {})})


def exception_facts(error: BaseException) -> dict[str, str]:
    """``type``, ``message`` and ``stacktrace`` of an exception, bounded; the end of a stack trace matters most."""
    module = text_of(attribute(type(error), "__module__"))
    name = text_of(attribute(type(error), "__qualname__")) or class_name(error)
    try:
        stack = writable("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    except Exception:  # it prints what the exception says of itself
        stack = "".join(traceback.format_tb(error.__traceback__))
    return {
        "type": name if module == "builtins" else f"{module}.{name}",
        "message": text_of(error)[:LONGEST_MESSAGE],
        "stacktrace": stack if len(stack) <= LONGEST_STACK_TRACE else f"...\n{stack[-LONGEST_STACK_TRACE:]}",
    }


def ending_told(event: ExecutionEvent, trace: RunTrace) -> dict[str, Any]:
    """What the parent needs to end the span, small enough for the pipe."""
    told: dict[str, Any] = {
        "state": event.outcome.state.value,
        "reason": event.outcome.reason,
        "error_type": event.outcome.error_type,
        "message": event.message,
        "worker": event.worker,
        "ended_at": event.ended_at,
        "rate_limited": event.rate_limited,
        "retry_after": event.retry_after,
        "cpu": event.cpu,
        "memory": event.memory,
        "exception": dict(event.exception),
        "attributes": dict(event.attributes),
        "span": dict(trace.horse_span.told) if trace.horse_span is not None else {},
    }
    for shorten in (_shorten_stack_trace, _drop_events, _drop_attributes):
        if len(json.dumps(told, ensure_ascii=False).encode()) <= MOST_BYTES:
            break
        shorten(told)
    return told


def _shorten_stack_trace(told: dict[str, Any]) -> None:
    told["exception"] = {key: text[-4_000:] for key, text in told["exception"].items()}


def _drop_events(told: dict[str, Any]) -> None:
    told["span"].pop("events", None)


def _drop_attributes(told: dict[str, Any]) -> None:
    told["span"] = {}


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() < _BITS):
        return value
    if isinstance(value, (list, tuple)):
        return [_bounded(part) for part in value[:MOST_EVENTS]]
    return text_of(value)[:_LONGEST]
