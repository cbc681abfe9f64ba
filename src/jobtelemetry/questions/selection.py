"""Which entries of the log are asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry


@dataclass(frozen=True)
class Selection:
    """What an entry must be; what is empty or ``None`` does not matter.

    Args:
        workers: One of these labels; ``None`` for any.
        queue: On this queue.
        states: Ended in one of these.
        reason: With this reason.
        error_type: With this error type.
        source: From this source.
        job: Of this job.
        attributes: With these attributes, compared as text.
    """

    workers: frozenset[str] | None = None
    queue: str = ""
    states: frozenset[State] = frozenset()
    reason: str = ""
    error_type: str = ""
    source: str = ""
    job: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, entry: LogEntry) -> bool:
        return (
            (self.workers is None or entry.worker in self.workers)
            and (not self.states or entry.state in self.states)
            and self.queue in ("", entry.queue)
            and self.reason in ("", entry.reason)
            and self.error_type in ("", entry.error_type)
            and self.source in ("", entry.source)
            and self.job in ("", entry.job)
            and all(written(entry.attributes.get(key)) == value for key, value in self.attributes.items())
        )

    def of(self, entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
        """Those of the entries that are asked for."""
        return (entry for entry in entries if entry in self)


def written(value: object) -> str | None:
    """An attribute as text, as a user writes it: ``true``, ``12``, ``4124``; ``None`` for none."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
