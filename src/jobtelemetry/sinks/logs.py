"""One log record per ending: a constant message, the facts in ``extra``."""

from __future__ import annotations

import logging

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import State

log = logging.getLogger("jobtelemetry")

_MESSAGES = {
    State.COMPLETED: "job completed",
    State.CANCELLED: "job cancelled",
    State.FAILURE: "job failed and will be retried",
    State.DISCARD: "job failed",
    State.SNOOZED: "job snoozed",
    State.STOPPED: "job stopped",
}


class LogSink:
    """INFO for what went as it should or was intended, ERROR for what failed."""

    def __call__(self, event: ExecutionEvent) -> None:
        """Log the event."""
        outcome = event.outcome
        log.log(
            logging.ERROR if outcome.state.failed else logging.INFO,
            _MESSAGES[outcome.state],
            extra={
                "worker": event.worker,
                "queue": event.queue,
                "job_id": event.job_id,
                "execution_id": event.execution_id,
                "rq_worker": event.rq_worker,
                "state": outcome.state.value,
                "reason": outcome.reason,
                "error_type": outcome.error_type,
                "detail": event.message,
                "attempt": event.attempt,
                "max_attempts": event.max_attempts,
                "duration": event.duration,
                "wait": event.wait,
                "trace_id": event.trace_id,
                "span_id": event.span_id,
            },
        )
