"""The OpenTelemetry SDK from the standard ``OTEL_*`` variables, for our own commands.

In code the application's provider is used as it is, and nothing here is called.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from jobtelemetry.errors import ConfigError, MissingExtraError

SERVICE_NAME = "rq-worker"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_configured = False


def configured() -> bool:
    """Whether :func:`configure` set a provider for this process."""
    return _configured


def wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for traces: it names an exporter or an OTLP endpoint.

    Without either nothing is exported, although OpenTelemetry's own default would be a collector on localhost.
    """
    env = os.environ if environ is None else environ
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = env.get("OTEL_TRACES_EXPORTER", "")
    return exporters.strip() != "none" and bool(exporters or any(env.get(name) for name in _ENDPOINTS))


def configure(*, exit_timeout: float = 2.0) -> bool:
    """Set a provider as the environment says, unless the application has set one.

    Args:
        exit_timeout: Seconds that the process's end may wait for the exporter.

    Returns:
        Whether a provider was set.

    Raises:
        MissingExtraError: The environment asks for traces and the ``otlp`` extra is not installed.
        ConfigError: It asks for an exporter that is not known.
    """
    global _configured
    if not wanted() or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return False
    trace.set_tracer_provider(sdk_provider(exit_timeout=exit_timeout))
    _configured = True
    return True


def sdk_provider(*exporters: Any, exit_timeout: float = 2.0) -> Any:
    """An SDK provider with the environment's resource and sampler.

    Args:
        exporters: Span exporters to batch for; the environment's by default.
        exit_timeout: Seconds that the process's end may wait for the exporters.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError("traces need the SDK: pip install 'jobtelemetry[otlp]'") from error
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": SERVICE_NAME})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters or _exporters():
        provider.add_span_processor(BatchSpanProcessor(exporter))
    atexit.register(_shut_down, provider, exit_timeout)
    return provider


def _shut_down(provider: Any, seconds: float) -> None:
    """The SDK's own shutdown waits for a hanging collector much longer."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(seconds)


def _exporters() -> Iterator[Any]:
    for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        yield _exporter(name.strip())


def _exporter(name: str) -> Any:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER must be otlp, console or none, got {name!r}")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, got {protocol!r}")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingExtraError("traces need the OTLP exporter: pip install 'jobtelemetry[otlp]'") from error
    return OTLPSpanExporter()


def configure_when_needed() -> None:
    """In a spawned work-horse: load the SDK when the job makes its first span, for that takes a while."""
    trace.set_tracer_provider(LazyProvider())


class LazyProvider(trace.TracerProvider):
    """Becomes the SDK's provider when the first span is made."""

    def __init__(self) -> None:
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
                self._made = sdk_provider()
            return self._made

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what there is."""
        return self._made is None or bool(self._made.force_flush(timeout_millis))


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
