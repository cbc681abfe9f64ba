"""The one frozen event that every consumer of an ending gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from signal import Signals
from typing import Any

from jobtelemetry.outcomes import Outcome, State

_LONGEST_TEXT = 8_000  # characters that a process tells another of a stack trace


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
        labels: The extra labels that are switched on, taken from ``job.meta``; those without a value are left out.
        message: First line of the error message or the detail of a cancellation.
        trace_id: 32 hex digits, or empty.
        span_id: 16 hex digits, or empty.
        lost_span: The running table's ``trace``, where the process that would end the span is gone.
        timeout: Seconds that RQ lets the job run; ``None`` if unknown.
        exception: ``type``, ``message`` and ``stacktrace`` of the exception, for the span.
        attributes: What the job added with ``set_attribute``.
        cpu: Seconds of processor time that it took; ``None`` if nobody knows.
        memory: Bytes by which its work-horse grew at most; ``None`` if nobody knows.
        signal: The signal that killed the work-horse; 0 if none did.
        rate_limited: Whether a rate limit is what it failed of.
        retry_after: Seconds that the other side asked to wait; ``None`` if it did not say.
        report: What the job's decorator says about reporting: ``"never"``, ``"discard"``, ``"always"`` or nothing.
        error: The exception itself, in the process that raised it; ``None`` elsewhere.
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
    labels: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    trace_id: str = ""
    span_id: str = ""
    lost_span: str = ""
    timeout: float | None = None
    exception: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    cpu: float | None = None
    memory: int | None = None
    signal: int = 0
    rate_limited: bool = False
    retry_after: float | None = None
    report: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)

    @property
    def source(self) -> str:
        """The extra label ``source``; empty where it is not switched on."""
        return self.labels.get("source", "")

    @property
    def killed_by(self) -> str:
        """``killed by SIGKILL``; empty where no signal ended the work-horse."""
        if not self.signal:
            return ""
        try:
            return f"killed by {Signals(self.signal).name}"
        except ValueError:
            return f"killed by signal {self.signal}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the exception itself, in types that JSON knows; of its texts only the ends."""
        exception = {key: text[-_LONGEST_TEXT:] for key, text in self.exception.items()}
        return asdict(replace(self, error=None, exception=exception))

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ExecutionEvent:
        """What :meth:`to_dict` gave, in another process."""
        outcome = facts["outcome"]
        return cls(**{**facts, "outcome": Outcome(**{**outcome, "state": State(outcome["state"])})})
