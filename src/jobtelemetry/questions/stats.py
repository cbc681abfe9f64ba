"""What happened to each worker's executions: from the counters, exact and of all time, or from the log. Pure."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS
from jobtelemetry.figures import match_ratio, quantile, success_ratio
from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.store.snapshot import Series, Snapshot


@dataclass(frozen=True)
class WorkerStats:
    """One line.

    Args:
        worker: The label; ``""`` for all together.
        counts: Ended executions by state; every state is there.
        mean: Seconds that an execution ran; ``None`` where nothing is known.
        p50: Half of them ran no longer, in seconds.
        p95: 95 % of them ran no longer.
        wait_p95: 95 % of them waited no longer.
        last_completed: Unix time in seconds; ``None`` if none completed.
    """

    worker: str
    counts: Mapping[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    wait_p95: float | None = None
    last_completed: float | None = None

    @property
    def executions(self) -> int:
        """Ended executions, in any state."""
        return sum(self.counts.values())

    @property
    def success(self) -> float | None:
        """:func:`jobtelemetry.figures.success_ratio`."""
        return success_ratio(self.counts)

    @property
    def match(self) -> float | None:
        """:func:`jobtelemetry.figures.match_ratio`."""
        return match_ratio(self.counts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds for times."""
        return {
            "worker": self.worker or None,
            "executions": self.executions,
            **{state.value: self.counts[state] for state in State},
            "success_ratio": self.success,
            "match_ratio": self.match,
            "duration_mean": self.mean,
            "duration_p50": self.p50,
            "duration_p95": self.p95,
            "wait_p95": self.wait_p95,
            "last_completed": self.last_completed,
        }


def from_counters(snapshot: Snapshot, wanted: Callable[[Series], bool]) -> tuple[WorkerStats, ...]:
    """Lines by worker, sorted, and all together last; quantiles are estimates from histograms, as in Prometheus."""
    total = _Sum("")
    workers = {series.worker for series in snapshot.seen if wanted(series)}
    sums = {worker: _Sum(worker) for worker in sorted(workers, key=str.casefold)}

    def of(series: Series) -> tuple[_Sum, ...]:
        return (sums[series.worker], total) if series.worker in sums and wanted(series) else ()

    for (series, state), counter in snapshot.executions.items():
        for one in of(series):
            one.counts[state] += counter.value
    for (series, _), histogram in snapshot.durations.items():
        for one in of(series):
            one.run.update(histogram.counts)
            one.run_seconds += histogram.sum
    for series, histogram in snapshot.waits.items():
        for one in of(series):
            one.wait.update(histogram.counts)
    for series, when in snapshot.last_completed.items():
        for one in of(series):
            one.last_completed = max(when, one.last_completed or when)
    return tuple(one.stats() for one in (*sums.values(), total))


def from_log(entries: Iterable[LogEntry]) -> tuple[WorkerStats, ...]:
    """Lines by worker, sorted, and all together last; everything is exact."""
    groups: dict[str, list[LogEntry]] = {}
    everything = list(entries)
    for entry in everything:
        groups.setdefault(entry.worker, []).append(entry)
    return tuple(_logged(worker, groups.get(worker, everything)) for worker in [*sorted(groups, key=str.casefold), ""])


@dataclass
class _Sum:
    """What is added up of a worker, or of all."""

    worker: str
    counts: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    run: Tally[str] = field(default_factory=Tally)
    run_seconds: float = 0.0
    wait: Tally[str] = field(default_factory=Tally)
    last_completed: float | None = None

    def stats(self) -> WorkerStats:
        observed = sum(self.run.values())
        return WorkerStats(
            self.worker,
            self.counts,
            mean=self.run_seconds / observed if observed else None,
            p50=_estimate(0.5, self.run, DURATION_BUCKETS),
            p95=_estimate(0.95, self.run, DURATION_BUCKETS),
            wait_p95=_estimate(0.95, self.wait, WAIT_BUCKETS),
            last_completed=self.last_completed,
        )


def _estimate(q: float, counts: Mapping[str, int], buckets: tuple[float, ...]) -> float | None:
    """The quantile; infinite where all that is known is that it lies beyond the last bucket."""
    estimate = quantile(q, counts, buckets)
    return math.inf if estimate is not None and estimate >= buckets[-1] else estimate


def _logged(worker: str, entries: list[LogEntry]) -> WorkerStats:
    run = sorted(entry.duration for entry in entries if entry.duration is not None)
    wait = sorted(entry.wait for entry in entries if entry.wait is not None)
    counts = dict.fromkeys(State, 0) | Tally(entry.state for entry in entries)
    return WorkerStats(
        worker,
        counts,
        mean=math.fsum(run) / len(run) if run else None,
        p50=_nearest_rank(0.5, run),
        p95=_nearest_rank(0.95, run),
        wait_p95=_nearest_rank(0.95, wait),
        last_completed=max((entry.ended_at for entry in entries if entry.state is State.COMPLETED), default=None),
    )


def _nearest_rank(q: float, values: list[float]) -> float | None:
    """The smallest of the sorted values that the fraction ``q`` of them does not exceed."""
    return values[max(0, math.ceil(q * len(values)) - 1)] if values else None
