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
        message: With this text in its message, whatever the case.
        attempt: This attempt of its job.
        rq_worker: Run by this RQ worker.
        execution: The execution of this id.
        trace: In this trace.
        min_run: Ran for at least so many seconds.
        min_wait: Waited for at least so many seconds.
    """

    workers: frozenset[str] | None = None
    queue: str = ""
    states: frozenset[State] = frozenset()
    reason: str = ""
    error_type: str = ""
    source: str = ""
    job: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    attempt: int = 0
    rq_worker: str = ""
    execution: str = ""
    trace: str = ""
    min_run: float = 0.0
    min_wait: float = 0.0

    def __contains__(self, entry: LogEntry) -> bool:
        return (
            (self.workers is None or entry.worker in self.workers)
            and (not self.states or entry.state in self.states)
            and self.queue in ("", entry.queue)
            and self.reason in ("", entry.reason)
            and self.error_type in ("", entry.error_type)
            and self.source in ("", entry.source)
            and self.job in ("", entry.job)
            and self.message.lower() in entry.message.lower()
            and self.attempt in (0, entry.attempt)
            and self.rq_worker in ("", entry.rq_worker)
            and self.execution in ("", entry.execution)
            and self.trace in ("", entry.trace)
            and _at_least(entry.duration, self.min_run)
            and _at_least(entry.wait, self.min_wait)
            and all(written(entry.attributes.get(key)) == value for key, value in self.attributes.items())
        )

    def of(self, entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
        """Those of the entries that are asked for."""
        return (entry for entry in entries if entry in self)


def _at_least(seconds: float | None, least: float) -> bool:
    return not least or (seconds is not None and seconds >= least)


def written(value: object) -> str | None:
    """An attribute as text, as a user writes it: ``true``, ``12``, ``4124``; ``None`` for none."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
