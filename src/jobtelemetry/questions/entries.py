"""One entry of the execution log: how one execution ended.

What Redis holds is a stranger's. Here it becomes typed and bounded, and nothing behind this edge has to look again: a
fact that makes no sense is unknown, and an entry without worker, queue, job and state is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtelemetry.attributes import LONGEST_KEY, LONGEST_VALUE, MOST_ATTRIBUTES
from jobtelemetry.outcomes import State
from jobtelemetry.text import label_text, text_of, writable

#: Characters of a fact that is no label.
_LONGEST = 2_000
#: The last moment that is one, the end of the year 9999, and seconds that nothing takes: 300 years.
_LATEST = 253_402_300_799.0
_LONGEST_TIME = 1e10
_MOST_ATTEMPTS = 1_000_000_000
_MOST_BYTES = 2**53
#: Bits of an integer that every store takes as one.
_BITS = 63

Attribute = str | int | float | bool


@dataclass(frozen=True)
class LogEntry:
    """One execution that ended.

    Args:
        entry_id: The stream's id of it, ``milliseconds-number`` by the server's clock.
        job: RQ's id of the job.
        worker: The label: dotted path of the function or class.
        queue: The queue's name.
        state: How it ended.
        execution: RQ's id of the execution.
        rq_worker: The RQ worker process.
        reason: Of a cancellation or a discard.
        error_type: Of a failure.
        message: First line of the error or the detail of a cancellation.
        attempt: 1-based; 0 if unknown.
        wait: Seconds from when it could run to its start; ``None`` if unknown.
        duration: Seconds that it ran; ``None`` if unknown.
        cpu: Seconds of processor time that it took; ``None`` if unknown.
        memory: Bytes by which its work-horse grew at most; ``None`` if unknown.
        ended_at: Unix time in seconds, by Redis's clock.
        trace: 32 hex digits, or empty.
        source: Where the job came from, or empty.
        attributes: What the job added with ``set_attribute``.
    """

    entry_id: str
    job: str
    worker: str
    queue: str
    state: State
    execution: str = ""
    rq_worker: str = ""
    reason: str = ""
    error_type: str = ""
    message: str = ""
    attempt: int = 0
    wait: float | None = None
    duration: float | None = None
    cpu: float | None = None
    memory: int | None = None
    ended_at: float = 0.0
    trace: str = ""
    source: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def recorded_at(self) -> float:
        """When Redis recorded it, Unix time in seconds by the server's clock."""
        return moment_of(self.entry_id)

    @property
    def started_at(self) -> float | None:
        """Unix time in seconds, by Redis's clock; ``None`` if unknown."""
        return None if self.duration is None else self.ended_at - self.duration

    @property
    def ready_at(self) -> float | None:
        """When it could run, Unix time in seconds; ``None`` if unknown."""
        started = self.started_at
        return None if started is None or self.wait is None else started - self.wait

    @property
    def why(self) -> str:
        """The reason or error type, and the message; empty for a success."""
        return ": ".join(filter(None, (self.reason or self.error_type, self.message)))

    def as_dict(self) -> dict[str, Any]:
        """Every fact under the name that the log has for it, seconds for times; for JSON."""
        return {
            "job": self.job,
            "worker": self.worker,
            "queue": self.queue,
            "state": self.state.value,
            "reason": self.reason or None,
            "error_type": self.error_type or None,
            "message": self.message or None,
            "attempt": self.attempt or None,
            "wait": self.wait,
            "duration": self.duration,
            "cpu": self.cpu,
            "memory": self.memory,
            "ended": self.ended_at,
            "execution": self.execution,
            "rq_worker": self.rq_worker,
            "trace": self.trace or None,
            "source": self.source or None,
            "attributes": dict(self.attributes),
        }


def decode(entry_id: str, fields: Mapping[str, str]) -> LogEntry | None:
    """The entry that :func:`jobtelemetry.store.record.log_fields` wrote.

    Args:
        entry_id: The stream's id.
        fields: As Redis has them; absent ones were empty.

    Returns:
        The entry, or ``None`` where a version that is not ours wrote something we cannot read.
    """
    try:
        state = State(fields["state"])
        job, worker, queue = (_text(fields[name]) for name in ("job", "worker", "queue"))
    except (KeyError, ValueError):
        return None
    ended = _number(fields.get("ended"), _LATEST)
    return LogEntry(
        entry_id=entry_id,
        job=job,
        worker=label_text(worker),
        queue=label_text(queue),
        state=state,
        execution=_text(fields.get("execution")),
        rq_worker=_text(fields.get("rq_worker")),
        reason=label_text(fields.get("reason", "")),
        error_type=label_text(fields.get("error_type", "")),
        message=_text(fields.get("message")),
        attempt=int(_number(fields.get("attempt"), _MOST_ATTEMPTS) or 0),
        wait=_seconds(fields.get("wait")),
        duration=_seconds(fields.get("duration")),
        cpu=_seconds(fields.get("cpu")),
        memory=_bytes(fields.get("memory")),
        ended_at=moment_of(entry_id) if ended is None else ended,
        trace=_text(fields.get("trace")),
        source=label_text(fields.get("source", "")),
        attributes=_attributes(fields.get("attributes")),
    )


def moment_of(entry_id: str) -> float:
    """The Unix time in seconds within a stream's id, which may be any number of 64 bits."""
    return min(int(entry_id.partition("-")[0]) / 1000, _LATEST)


def _text(text: str | None) -> str:
    return writable(text[:_LONGEST]) if text else ""


def _number(text: str | None, most: float) -> float | None:
    """A number from 0 to ``most``, or ``None``."""
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if 0 <= number <= most else None


def _seconds(micros: str | None) -> float | None:
    number = _number(micros, _LONGEST_TIME * 1_000_000)
    return None if number is None else number / 1_000_000


def _bytes(text: str | None) -> int | None:
    number = _number(text, _MOST_BYTES)
    return None if number is None else int(number)


def _attributes(text: str | None) -> Mapping[str, Attribute]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    first = list(found.items())[:MOST_ATTRIBUTES]
    return {writable(key[:LONGEST_KEY]): _attribute(value) for key, value in first}


def _attribute(value: object) -> Attribute:
    if isinstance(value, bool) or (isinstance(value, int) and value.bit_length() <= _BITS):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return text_of(value)[:LONGEST_VALUE]
