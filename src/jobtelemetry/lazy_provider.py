"""A tracer provider that loads the OpenTelemetry SDK when the first span is made, for that takes a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind


class LazyProvider(trace.TracerProvider):
    """Becomes the SDK's provider when the first span is made.

    Args:
        make: Makes that one; ``None`` of it makes no spans.
    """

    def __init__(self, make: Callable[[], trace.TracerProvider | None]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Any = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """A tracer that loads the SDK with its first span."""
        return _LazyTracer(self, (instrumenting_module_name, instrumenting_library_version, schema_url))

    def made(self) -> Any:
        """The SDK's provider."""
        with self._lock:
            if self._made is None:
                self._made = self._make() or trace.NoOpTracerProvider()
            return self._made

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what there is."""
        flush = getattr(self._made, "force_flush", None)
        return flush is None or bool(flush(timeout_millis))


class _LazyTracer(trace.Tracer):
    def __init__(self, provider: LazyProvider, scope: tuple[str, str | None, str | None]) -> None:
        self._provider, self._scope = provider, scope
        self._tracer: trace.Tracer | None = None

    def _made(self) -> trace.Tracer:
        if self._tracer is None:
            self._tracer = self._provider.made().get_tracer(*self._scope)
        return self._tracer

    def start_span(
        self, name: str, context: Context | None = None, kind: SpanKind = SpanKind.INTERNAL, *args: Any, **kwargs: Any
    ) -> Span:
        return self._made().start_span(name, context, kind, *args, **kwargs)

    @contextmanager
    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Iterator[Span]:  # type: ignore[override]
        with self._made().start_as_current_span(name, *args, **kwargs) as span:
            yield span
