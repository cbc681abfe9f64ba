"""What the counts say: ratios, quantiles and one line per worker. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jobtelemetry.contract import DURATION_BUCKETS, le
from jobtelemetry.outcomes import MATCH, SUCCESS, State
from jobtelemetry.store.snapshot import Snapshot


@dataclass(frozen=True)
class WorkerFigures:
    """What happened to one worker's executions, over all its queues and sources.

    Args:
        worker: The label.
        queues: The queues it was seen on, sorted.
        counts: Ended executions by state; every state is there.
        run_time: Observations of the run time per bucket, of all states, not cumulative.
        running: Executions that have not ended.
        last_completed: Unix time in seconds; ``None`` if none completed.
    """

    worker: str
    queues: tuple[str, ...] = ()
    counts: Mapping[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    run_time: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    last_completed: float | None = None

    @property
    def ended(self) -> int:
        """Executions that ended, in any state."""
        return sum(self.counts.values())

    @property
    def success(self) -> float | None:
        """:func:`success_ratio` of the counts."""
        return success_ratio(self.counts)

    @property
    def match(self) -> float | None:
        """:func:`match_ratio` of the counts."""
        return match_ratio(self.counts)

    def run_time_quantile(self, q: float) -> float | None:
        """The run time in seconds that the fraction ``q`` of all ended executions did not exceed."""
        return quantile(q, self.run_time, DURATION_BUCKETS)


def success_ratio(counts: Mapping[State, int]) -> float | None:
    """Completed / (completed + discard): of the jobs meant to succeed, how many did. ``None`` if there were none.

    Cancelled, stopped and unfinished attempts are in neither part.
    """
    return SUCCESS.of(counts)


def match_ratio(counts: Mapping[State, int]) -> float | None:
    """Completed / (completed + cancelled): how many found what they worked on. ``None`` if there were none."""
    return MATCH.of(counts)


def fold(counts: Mapping[str, int], buckets: tuple[float, ...]) -> dict[str, int]:
    """Counts for exactly these buckets; what was counted under another bound goes to the next larger one.

    Args:
        counts: Observations per bucket, not cumulative, by the text of the upper bound.
        buckets: Upper bounds in ascending order, without ``+Inf``.

    Returns:
        Not cumulative, every bucket and ``+Inf``, in order.
    """
    folded = {le(bound, buckets): 0 for bound in (*buckets, float("inf"))}
    for bound, count in counts.items():
        folded[le(float(bound), buckets)] += count
    return folded


def quantile(q: float, counts: Mapping[str, int], buckets: tuple[float, ...]) -> float | None:
    """Estimate a quantile as Prometheus' ``histogram_quantile`` does: linearly within the bucket that holds it.

    Args:
        q: From 0 to 1.
        counts: Observations per bucket, not cumulative, by the text of the upper bound.
        buckets: Upper bounds in ascending order, without ``+Inf``; all positive.

    Returns:
        The estimate in the buckets' unit, the largest bound if it lies beyond; ``None`` without observations.
    """
    folded = list(fold(counts, buckets).values())
    rank, below = q * sum(folded), 0
    if not any(folded):
        return None
    for lower, upper, count in zip((0.0, *buckets), buckets, folded, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return buckets[-1]


def summarise(snapshot: Snapshot) -> tuple[WorkerFigures, ...]:
    """One line per worker, sorted by its label."""
    running = Tally(run.series.worker for run in snapshot.running)
    workers = sorted({series.worker for series in snapshot.seen} | set(running))
    queues: dict[str, set[str]] = {worker: set() for worker in workers}
    for series in snapshot.seen:
        queues[series.worker].add(series.queue)
    counts = {worker: dict.fromkeys(State, 0) for worker in workers}
    for (series, state), counter in snapshot.executions.items():
        counts[series.worker][state] += counter.value
    run_time: dict[str, Tally[str]] = {worker: Tally() for worker in workers}
    for (series, _), histogram in snapshot.durations.items():
        run_time[series.worker].update(histogram.counts)
    completed: dict[str, float] = {}
    for series, when in snapshot.last_completed.items():
        completed[series.worker] = max(when, completed.get(series.worker, when))
    return tuple(
        WorkerFigures(
            worker,
            tuple(sorted(queues[worker])),
            counts[worker],
            run_time[worker],
            running[worker],
            completed.get(worker),
        )
        for worker in workers
    )


def total(figures: Iterable[WorkerFigures], label: str = "Total") -> WorkerFigures:
    """All workers as one line."""
    lines = tuple(figures)
    completed = [line.last_completed for line in lines if line.last_completed is not None]
    return WorkerFigures(
        worker=label,
        queues=tuple(sorted({queue for line in lines for queue in line.queues})),
        counts={state: sum(line.counts[state] for line in lines) for state in State},
        run_time=sum((Tally(line.run_time) for line in lines), Tally()),
        running=sum(line.running for line in lines),
        last_completed=max(completed, default=None),
    )
