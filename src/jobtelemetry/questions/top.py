"""What comes most often: entries of the log grouped by any of their facts or attributes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from heapq import nsmallest

from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.selection import written

#: What every entry has; any other name is that of an attribute. Times fall into the buckets of the metrics.
FACTS: dict[str, Callable[[LogEntry], str]] = {
    "worker": lambda entry: entry.worker,
    "queue": lambda entry: entry.queue,
    "state": lambda entry: entry.state.value,
    "reason": lambda entry: entry.reason,
    "error_type": lambda entry: entry.error_type,
    "message": lambda entry: entry.message,
    "attempt": lambda entry: str(entry.attempt or ""),
    "source": lambda entry: entry.source,
    "rq_worker": lambda entry: entry.rq_worker,
    "job": lambda entry: entry.job,
    "execution": lambda entry: entry.execution,
    "trace": lambda entry: entry.trace,
    "wait": lambda entry: _up_to(entry.wait, WAIT_BUCKETS),
    "run": lambda entry: _up_to(entry.duration, DURATION_BUCKETS),
    "hour": lambda entry: _hour(entry.ended_at),
}


#: What can be added up, or put in order: seconds, and bytes of memory.
AMOUNTS: dict[str, Callable[[LogEntry], float | None]] = {
    "cpu": lambda entry: entry.cpu,
    "memory": lambda entry: entry.memory,
    "run": lambda entry: entry.duration,
    "wait": lambda entry: entry.wait,
}


def _up_to(seconds: float | None, buckets: tuple[float, ...]) -> str:
    if seconds is None:
        return ""
    bound = next((bound for bound in buckets if seconds <= bound), None)
    return f"> {buckets[-1]:g} s" if bound is None else f"<= {bound:g} s"


def _hour(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:00Z")
    except (ValueError, OverflowError, OSError):  # no moment that a calendar has
        return ""


@dataclass
class Group:
    """Entries with the same values, in the order of the keys asked for.

    ``first`` and ``last`` are Unix times in seconds; ``example`` is the job of the newest. ``amount`` is the sum of
    what was to be added up, ``most`` the largest of it.
    """

    values: tuple[str, ...]
    count: int = 0
    amount: float = 0.0
    most: float = 0.0
    first: float = float("inf")
    last: float = float("-inf")
    example: str = ""

    def add(self, entry: LogEntry, amount: float = 0.0) -> None:
        """Count one more."""
        self.count += 1
        self.amount += amount
        self.most = max(self.most, amount)
        self.first = min(self.first, entry.ended_at)
        if entry.ended_at > self.last:
            self.last, self.example = entry.ended_at, entry.job


@dataclass(frozen=True)
class Ranking:
    """The groups, the largest first, and how many entries were looked at and had none of the keys.

    ``amount`` is the sum over all groups, ``unknown`` how many entries in them had nothing to add to it.
    """

    groups: tuple[Group, ...]
    total: int
    without: int
    attributes: frozenset[str]
    amount: float = 0.0
    unknown: int = 0


def rank(entries: Iterable[LogEntry], by: Sequence[str], summed: str = "") -> Ranking:
    """Group entries.

    Args:
        entries: Those asked for.
        by: Names of :data:`FACTS` or of attributes; an entry that has none of them is in no group.
        summed: A name of :data:`AMOUNTS`: what is added up and decides which group is the largest; empty for how many
            there are.
    """
    groups: dict[tuple[str, ...], Group] = {}
    attributes: set[str] = set()
    total = without = unknown = 0
    for entry in entries:
        total += 1
        attributes.update(entry.attributes)
        values = tuple(value_of(entry, key) for key in by)
        if not any(values):
            without += 1
            continue
        amount = AMOUNTS[summed](entry) if summed else None
        unknown += amount is None
        groups.setdefault(values, Group(values)).add(entry, amount or 0.0)
    ranked = sorted(groups.values(), key=lambda group: (-group.amount, -group.count, group.values))
    whole = sum(group.amount for group in ranked)
    return Ranking(tuple(ranked), total, without, frozenset(attributes), whole, unknown if summed else 0)


def largest_first(entries: Iterable[LogEntry], by: str, limit: int | None = None) -> list[LogEntry]:
    """Entries by an amount, the largest first; where it is not known they come last, the newest first.

    Args:
        by: A name of :data:`AMOUNTS`.
        limit: At most so many; ``None`` for all.
    """
    known = AMOUNTS[by]

    def order(entry: LogEntry) -> float:
        amount = known(entry)
        return float("inf") if amount is None else -amount

    return sorted(entries, key=order) if limit is None else nsmallest(limit, entries, key=order)


def value_of(entry: LogEntry, key: str) -> str:
    """A fact or an attribute of an entry as text; empty if it has none."""
    return FACTS[key](entry) if key in FACTS else written(entry.attributes.get(key)) or ""
