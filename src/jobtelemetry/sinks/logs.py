"""One log record per ending: a constant message, the facts in ``extra``."""

from __future__ import annotations

import logging
from typing import Any

from jobtelemetry.events import ExecutionEvent

log = logging.getLogger("jobtelemetry")


class LogSink:
    """INFO for what went as it should or was intended, ERROR for what failed."""

    def __call__(self, event: ExecutionEvent) -> None:
        """Log the event."""
        state = event.outcome.state
        log.log(logging.ERROR if state.failed else logging.INFO, state.row.logged, extra=facts(event))


def facts(event: ExecutionEvent) -> dict[str, Any]:
    """What is known of an ending, under the keys that a log store sees; the same keys in every record."""
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
        "attempt": event.attempt,
        "max_attempts": event.max_attempts,
        "duration": event.duration,
        "wait": event.wait,
        "rate_limited": event.rate_limited,
        "retry_after": event.retry_after,
        "signal": event.signal,
        "source": event.source,
        "trace_id": event.trace_id,
        "span_id": event.span_id,
    }
