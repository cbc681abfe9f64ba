"""One log record per ending: a constant message, the facts in ``extra``."""

from __future__ import annotations

import logging
from typing import Any

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.logformat import tell_facts
from jobtelemetry.outcomes import HINTS

log = logging.getLogger("jobtelemetry")


class LogSink:
    """INFO for what went as it should or was intended, ERROR for what failed.

    A ``Cancel`` without a usable reason is a WARNING, and has a ``hint`` for the developer.
    """

    def __init__(self) -> None:
        tell_facts()

    def __call__(self, event: ExecutionEvent) -> None:
        """Log the event."""
        state = event.outcome.state
        level, hint = logging.ERROR if state.failed else logging.INFO, HINTS.get(event.outcome.reason)
        if hint:
            level = max(level, logging.WARNING)
        if not log.isEnabledFor(level):
            return
        extra = facts(event)
        if hint:
            extra["hint"] = hint
        log.log(level, state.row.logged, extra=extra)


def facts(event: ExecutionEvent) -> dict[str, Any]:
    """What is known of an ending, under the keys that a log store sees; the same keys in every record.

    What is not known, or was not, is ``None``: a signal where none killed, an attempt that nobody counted.
    """
    return {
        "worker": event.worker,
        "queue": event.queue,
        "job_id": event.job_id,
        "execution_id": event.execution_id,
        "rq_worker": event.rq_worker,
        "state": event.outcome.state.value,
        "reason": event.outcome.reason,
        "error_type": event.outcome.error_type,
        "detail": event.message,
        "attempt": event.attempt or None,
        "max_attempts": event.max_attempts or None,
        "duration": event.duration,
        "wait": event.wait,
        "cpu": event.cpu,
        "memory": event.memory,
        "rate_limited": event.rate_limited,
        "retry_after": event.retry_after,
        "signal": event.signal or None,
        "source": event.source,
        "trace_id": event.trace_id,
        "span_id": event.span_id,
    }
