"""The one frozen event that every consumer of an ending gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobtelemetry.outcomes import Outcome


@dataclass(frozen=True)
class ExecutionEvent:
    """One execution that ended.

    Args:
        execution_id: RQ's id of the execution; made up where RQ has none (a synchronous queue).
        job_id: RQ's id of the job.
        worker: The label: dotted path of the function or class, or the name given to it.
        queue: The queue's name.
        rq_worker: The name of the RQ worker process.
        outcome: State, reason and error type.
        attempt: 1-based number of this execution within its job; 0 if unknown.
        max_attempts: How many attempts RQ allows in all; 0 if unknown.
        started_at: Unix time in seconds; 0 if unknown.
        ended_at: Unix time in seconds.
        duration: Seconds that it ran; ``None`` if nobody knows.
        wait: Seconds from when it could run to its start; ``None`` if nobody knows.
        source: ``job.meta["source"]`` where that label is switched on.
        message: First line of the error message or the detail of a cancellation.
        trace_id: 32 hex digits, or empty.
        span_id: 16 hex digits, or empty.
        attributes: What the job added with ``set_attribute``.
        signal: The signal that killed the work-horse; 0 if none did.
    """

    execution_id: str
    job_id: str
    worker: str
    queue: str
    rq_worker: str
    outcome: Outcome
    attempt: int = 0
    max_attempts: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    duration: float | None = None
    wait: float | None = None
    source: str = ""
    message: str = ""
    trace_id: str = ""
    span_id: str = ""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    signal: int = 0
