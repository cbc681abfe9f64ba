"""Exact telemetry for RQ workers: every ending of every job counted once, cancelled kept apart from failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobtelemetry._version import __version__
from jobtelemetry.config import Config, strict_reasons_asked_for
from jobtelemetry.errors import (
    ConfigError,
    InvalidReasonError,
    JobTelemetryError,
    MetricError,
    MissingExtraError,
    StoreError,
)
from jobtelemetry.options import job

if TYPE_CHECKING:
    from jobtelemetry.attributes import set_attribute
    from jobtelemetry.events import ExecutionEvent
    from jobtelemetry.exporter.collector import Collector
    from jobtelemetry.exporter.mounted import asgi_app, wsgi_app
    from jobtelemetry.outcomes import Cancel, Discard, Outcome, State, strict_reasons
    from jobtelemetry.own_metrics import Counter, Gauge, Histogram, send_metrics_to
    from jobtelemetry.ratelimit import RateLimited, register_rate_limit
    from jobtelemetry.rq.instrument import instrument, is_instrumented, uninstrument
    from jobtelemetry.sinks.callbacks import on_execution

__all__ = [
    "Cancel",
    "Collector",
    "Config",
    "ConfigError",
    "Counter",
    "Discard",
    "ExecutionEvent",
    "Gauge",
    "Histogram",
    "InvalidReasonError",
    "JobTelemetryError",
    "MetricError",
    "MissingExtraError",
    "Outcome",
    "RateLimited",
    "State",
    "StoreError",
    "__version__",
    "asgi_app",
    "instrument",
    "is_instrumented",
    "job",
    "on_execution",
    "register_rate_limit",
    "send_metrics_to",
    "set_attribute",
    "strict_reasons",
    "uninstrument",
    "wsgi_app",
]

#: Loaded when it is first asked for, so that nobody pays for what others need.
_LAZY = {
    "Cancel": "jobtelemetry.outcomes",
    "Collector": "jobtelemetry.exporter.collector",
    "Counter": "jobtelemetry.own_metrics",
    "Discard": "jobtelemetry.outcomes",
    "ExecutionEvent": "jobtelemetry.events",
    "Gauge": "jobtelemetry.own_metrics",
    "Histogram": "jobtelemetry.own_metrics",
    "Outcome": "jobtelemetry.outcomes",
    "RateLimited": "jobtelemetry.ratelimit",
    "State": "jobtelemetry.outcomes",
    "asgi_app": "jobtelemetry.exporter.mounted",
    "instrument": "jobtelemetry.rq.entry",
    "is_instrumented": "jobtelemetry.rq.entry",
    "on_execution": "jobtelemetry.sinks.callbacks",
    "register_rate_limit": "jobtelemetry.ratelimit",
    "send_metrics_to": "jobtelemetry.own_metrics",
    "set_attribute": "jobtelemetry.attributes",
    "strict_reasons": "jobtelemetry.outcomes",
    "uninstrument": "jobtelemetry.rq.entry",
    "wsgi_app": "jobtelemetry.exporter.mounted",
}

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)

    if strict_reasons_asked_for():
        __getattr__("strict_reasons")()


def __dir__() -> list[str]:
    return sorted(__all__)
