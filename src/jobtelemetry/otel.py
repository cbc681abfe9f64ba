"""The OpenTelemetry SDK from the standard ``OTEL_*`` variables, for our own commands.

In code the application's provider is used as it is, and nothing here is called. Such variables are often set for every
program of a host. What they name and this installation does not have is no reason to stop: one line says which
variable it is and what to do, and jobs run, counted, without spans. Nothing of OpenTelemetry is imported before traces
are asked for.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from jobtelemetry.errors import ConfigError, MissingExtraError

log = logging.getLogger("jobtelemetry")

SERVICE_NAME = "rq-worker"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

#: Protocol -> the exporter's name among installed packages, and the extra that installs it.
_OTLP = {"http/protobuf": ("otlp_proto_http", "otlp"), "grpc": ("otlp_proto_grpc", "otlp-grpc")}
#: What the batch processor reads: variable -> its parameter and its default. It would log a traceback for nonsense.
_BATCH = {
    "OTEL_BSP_MAX_QUEUE_SIZE": ("max_queue_size", 2048),
    "OTEL_BSP_SCHEDULE_DELAY": ("schedule_delay_millis", 5000),
    "OTEL_BSP_EXPORT_TIMEOUT": ("export_timeout_millis", 30_000),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ("max_export_batch_size", 512),
}

_configured = False
_said = False


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
    named = _exporters_named(env)
    return "none" not in named and bool(named or any(env.get(name) for name in _ENDPOINTS))


def configure(*, exit_timeout: float = 2.0) -> bool:
    """Set a provider as the environment says, unless the application has set one.

    What the environment asks for and cannot be had is logged in one line, and nothing is traced.

    Args:
        exit_timeout: Seconds that the process's end may wait for the exporter.

    Returns:
        Whether a provider was set.
    """
    global _configured
    if not wanted():
        return False
    from opentelemetry import trace

    from jobtelemetry.sinks.tracing import provider

    if provider() is not None or os.environ.get("OTEL_PYTHON_TRACER_PROVIDER"):
        return False
    made = provider_or_none(exit_timeout=exit_timeout)
    if made is None:
        return False
    trace.set_tracer_provider(made)
    _configured = True
    return True


def provider_or_none(*, exit_timeout: float = 2.0) -> Any:
    """:func:`sdk_provider`; where it cannot be had, ``None`` and one line in the log."""
    global _said
    try:
        return sdk_provider(exit_timeout=exit_timeout)
    except (ConfigError, MissingExtraError) as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever an exporter or the SDK makes of the environment
        names = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        problem = f"OpenTelemetry cannot use one of {names}: {' '.join(str(error).split()) or type(error).__name__}"
    _said = True
    log.warning("no traces are made; jobs run and are counted", extra={"problem": problem})
    return None


def warn_without_provider() -> None:
    """Where the environment names a traces exporter and no provider exists, say so once: nobody will make a span.

    For a worker that starts: by then the application, or ``opentelemetry-instrument``, has set one or never will.
    """
    global _said
    from jobtelemetry.sinks.tracing import provider

    if _said or not wanted() or provider() is not None:
        return
    _said = True
    variable = next(name for name in ("OTEL_TRACES_EXPORTER", *_ENDPOINTS) if os.environ.get(name))
    problem = (
        f"{variable} is set and no tracer provider: start RQ with 'jobtelemetry worker', or install "
        "opentelemetry-distro for opentelemetry-instrument, or set a provider in the program"
    )
    log.warning("no traces are made; jobs run and are counted", extra={"problem": problem})


def sdk_provider(*exporters: Any, exit_timeout: float = 2.0) -> Any:
    """An SDK provider with the environment's resource and sampler.

    Args:
        exporters: Span exporters to batch for; the environment's by default.
        exit_timeout: Seconds that the process's end may wait for the exporters.

    Raises:
        MissingExtraError: What the environment names is not installed; the message names variable and package.
        ConfigError: It names what does not exist.
    """
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        asked_by = next((name for name in ("OTEL_TRACES_EXPORTER", *_ENDPOINTS) if os.environ.get(name)), "")
        because = f"{asked_by} asks for traces, which need" if asked_by else "traces need"
        raise MissingExtraError(f"{because} OpenTelemetry's SDK: pip install 'jobtelemetry[otlp]'") from error
    provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
    batch = _batch_options()
    for exporter in exporters or _exporters():
        provider.add_span_processor(BatchSpanProcessor(exporter, **batch))
    atexit.register(_shut_down, provider, exit_timeout)
    return provider


def configure_when_needed() -> None:
    """In a spawned work-horse: load the SDK when the job makes its first span, for that takes a while."""
    from opentelemetry import trace

    from jobtelemetry.lazy_provider import LazyProvider

    trace.set_tracer_provider(LazyProvider(provider_or_none))


def _resource() -> dict[str, Any]:
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if named else {"service.name": SERVICE_NAME}


def resource() -> Any:
    """The resource that the environment describes.

    Raises:
        ImportError: The SDK is not installed.
    """
    from opentelemetry.sdk.resources import Resource

    return Resource.create(_resource())


def metrics_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for metrics by OTLP; nobody is sent any without being asked for."""
    env = os.environ if environ is None else environ
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return "otlp" in {name.strip().lower() for name in env.get("OTEL_METRICS_EXPORTER", "").split(",")}


def metric_exporter() -> Any:
    """The metric exporter of OTLP, by the protocol that the environment names.

    Raises:
        MissingExtraError: It is not installed; the message names variable and package.
        ConfigError: There is no such protocol.
    """
    variables = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    variable = next((variable for variable in variables if os.environ.get(variable)), "")
    protocol = os.environ.get(variable, "http/protobuf").strip().lower()
    if protocol not in _OTLP:
        raise ConfigError(f"{variable} must be {' or '.join(_OTLP)}, got {protocol!r}")
    name, extra = _OTLP[protocol]
    found = next(iter(metadata.entry_points(group="opentelemetry_metrics_exporter", name=name)), None)
    try:
        made = found.load() if found is not None else None
    except ImportError:
        made = None
    if made is None:
        what = f"{variable}={protocol} needs" if variable else "metrics by OTLP need"
        raise MissingExtraError(f"{what} an exporter that is not installed: pip install 'jobtelemetry[{extra}]'")
    return made()


def positive(variable: str, default: int) -> int:
    """A whole number above 0 from a variable of OpenTelemetry's; nonsense gives the default and a line in the log."""
    text = os.environ.get(variable, "").strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if text and not number:
        extra = {"problem": f"{variable} must be a whole number above 0, got {text!r}", "default": default}
        log.warning("a setting of OpenTelemetry is not used", extra=extra)
    return number or default


def _shut_down(provider: Any, seconds: float) -> None:
    """The SDK's own shutdown waits for a hanging collector much longer."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(seconds)


def _exporters_named(env: Mapping[str, str]) -> list[str]:
    return [name for part in env.get("OTEL_TRACES_EXPORTER", "").split(",") if (name := part.strip().lower())]


def _exporters() -> Iterator[Any]:
    for name in _exporters_named(os.environ) or ["otlp"]:
        yield _exporter(name)


def _exporter(name: str) -> Any:
    """A span exporter as OpenTelemetry's own names have it, ``otlp`` by the protocol's variable."""
    variable, missing = "OTEL_TRACES_EXPORTER", f"OTEL_TRACES_EXPORTER names {name!r}, which is not installed here"
    if name == "otlp":
        variable = next((variable for variable in _PROTOCOLS if os.environ.get(variable)), "")
        protocol = os.environ.get(variable, "http/protobuf").strip().lower()
        if protocol not in _OTLP:
            raise ConfigError(f"{variable} must be {' or '.join(_OTLP)}, got {protocol!r}")
        name, extra = _OTLP[protocol]
        what = f"{variable}={protocol}" if variable else "the OTLP endpoint"
        missing = f"{what} needs an exporter that is not installed: pip install 'jobtelemetry[{extra}]'"
    found = next(iter(metadata.entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    try:
        made = found.load() if found is not None else None
    except ImportError:
        made = None
    if made is None:
        known = sorted({"otlp", "none", *metadata.entry_points(group="opentelemetry_traces_exporter").names})
        hint = "" if "pip install" in missing else f"; there are {', '.join(known)}"
        raise MissingExtraError(missing + hint)
    return made()


def _batch_options() -> dict[str, Any]:
    """How spans are batched; nonsense in a variable gives its default and a line in the log."""
    options: dict[str, Any] = {}
    for variable, (parameter, default) in _BATCH.items():
        options[parameter] = positive(variable, default)
    options["max_export_batch_size"] = min(options["max_export_batch_size"], options["max_queue_size"])
    return options
