"""Why executions of a worker failed or were cancelled, with numbers. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobtelemetry.store.snapshot import Counter, Series, Snapshot


@dataclass(frozen=True)
class Reasons:
    """Of one worker; each the most frequent first.

    Args:
        errors: Error types of its failed executions.
        cancellations: Reasons for which it cancelled.
    """

    errors: tuple[tuple[str, int], ...] = ()
    cancellations: tuple[tuple[str, int], ...] = ()


@dataclass
class _Found:
    errors: Tally[str] = field(default_factory=Tally)
    cancellations: Tally[str] = field(default_factory=Tally)


def reasons(snapshot: Snapshot) -> dict[str, Reasons]:
    """By worker; those without any are not there."""
    found: dict[str, _Found] = {}
    for series, name, count in _counted(snapshot.errors):
        found.setdefault(series.worker, _Found()).errors[name] += count
    for series, name, count in _counted(snapshot.cancellations):
        found.setdefault(series.worker, _Found()).cancellations[name] += count
    return {worker: Reasons(_ranked(one.errors), _ranked(one.cancellations)) for worker, one in found.items()}


def _counted(family: Mapping[tuple[Series, str], Counter]) -> list[tuple[Series, str, int]]:
    return [(series, name, counter.value) for (series, name), counter in family.items() if counter.value]


def _ranked(tally: Tally[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(tally.items(), key=lambda pair: (-pair[1], pair[0].casefold())))
