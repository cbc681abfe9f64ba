"""What is broken: failed executions of the log, grouped by worker, error type and message. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry

#: What differs between two messages that mean the same: ids, addresses, numbers.
_PARTICULAR = re.compile(
    r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[a-f]*[0-9])[0-9a-f]{12,}\b|\d+(?:[.,]\d+)*"
)
#: Characters of a message by which it is grouped.
_LONGEST = 300


@dataclass
class FailureGroup:
    """Failures of one worker with the same error type and message, whatever numbers and ids the message has.

    Args:
        worker: The label.
        error_type: The exception's class, or what stands for one.
        shape: The message with ``#`` for each number and id.
        count: How many executions.
        discards: How many of them failed for good.
        first: When the earliest ended, Unix time in seconds.
        last: When the newest ended.
        example: The newest.
    """

    worker: str
    error_type: str
    shape: str
    count: int = 0
    discards: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    example: LogEntry | None = None
    _messages: set[str] = field(default_factory=set, repr=False)

    def add(self, entry: LogEntry) -> None:
        """Count one more."""
        self.count += 1
        self.discards += entry.state is State.DISCARD
        self.first = min(self.first, entry.ended_at)
        if len(self._messages) < 2:
            self._messages.add(entry.message)
        if self.example is None or entry.ended_at > self.last:
            self.last, self.example = entry.ended_at, entry

    @property
    def message(self) -> str:
        """The message where all have the same, else its shape."""
        return self.shape if len(self._messages) > 1 else next(iter(self._messages), "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Unix times in seconds."""
        return {
            "worker": self.worker,
            "error_type": self.error_type or None,
            "message": self.message or None,
            "count": self.count,
            "discards": self.discards,
            "first_seen": self.first,
            "last_seen": self.last,
            "example": self.example.as_dict() if self.example else None,
        }


def group_failures(entries: Iterable[LogEntry]) -> tuple[FailureGroup, ...]:
    """Group what failed; what did not fail is passed over.

    Args:
        entries: In any order.

    Returns:
        The group that was seen last comes first.
    """
    groups: dict[tuple[str, str, str], FailureGroup] = {}
    for entry in entries:
        if not entry.state.failed:
            continue
        key = (entry.worker, entry.error_type or entry.reason, shape_of(entry.message))
        groups.setdefault(key, FailureGroup(*key)).add(entry)
    return tuple(sorted(groups.values(), key=lambda group: (-group.last, -group.count, group.worker)))


def shape_of(message: str) -> str:
    """A message without what is particular to one job: ``no film 4124`` is ``no film #``."""
    return _PARTICULAR.sub("#", message[:_LONGEST])
