"""Consumers of :class:`~jobtelemetry.events.ExecutionEvent`; none knows of the others."""

from __future__ import annotations

from jobtelemetry.config import Config
from jobtelemetry.sinks.logs import LogSink
from jobtelemetry.sinks.policy import ReportPolicy
from jobtelemetry.sinks.sentry import SentrySink
from jobtelemetry.sinks.telling import Sink, Sinks
from jobtelemetry.sinks.tracing import TracingSink

__all__ = ["Sink", "Sinks", "reporting_sinks"]


def reporting_sinks(config: Config) -> tuple[Sink, ...]:
    """Those that need nothing but the event: the log, Sentry where its SDK is initialised, and spans nobody ended."""
    policy = ReportPolicy(config.sentry_after_attempts, dict(config.sentry_reports))
    return LogSink(), SentrySink(policy, flush_timeout=config.flush_timeout), TracingSink()
