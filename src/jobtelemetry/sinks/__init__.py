"""Consumers of :class:`~jobtelemetry.events.ExecutionEvent`; none knows of the others."""

from __future__ import annotations

from collections.abc import Callable

from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.sinks.logs import LogSink
from jobtelemetry.sinks.policy import ReportPolicy
from jobtelemetry.sinks.sentry import SentrySink
from jobtelemetry.sinks.tracing import TracingSink

#: One may have ``enter_horse()``, called in a work-horse before its job, and ``flush()``, called where a process ends.
Sink = Callable[[ExecutionEvent], None]


def reporting_sinks(config: Config) -> tuple[Sink, ...]:
    """Those that need nothing but the event: the log, Sentry where its SDK is initialised, and spans nobody ended."""
    policy = ReportPolicy(config.sentry_after_attempts, dict(config.sentry_reports))
    return LogSink(), SentrySink(policy, flush_timeout=config.flush_timeout), TracingSink()
