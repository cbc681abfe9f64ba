"""The demo's figures, read from the text of a ``/metrics`` page and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from jobtelemetry import contract
from jobtelemetry.outcomes import State

#: The statuses of jobs that have yet to run or to end.
_PENDING = frozenset({"queued", "intermediate", "started", "scheduled", "deferred", "ready_to_enqueue", "rate_limited"})


@dataclass
class WorkerFigures:
    """What one worker (a job's class or function) did.

    Args:
        states: Executions by state.
        enqueued: Times a job was put on a queue.
        buckets: Executions by upper bound of their duration in seconds, cumulative.
    """

    states: Counter[str] = field(default_factory=Counter)
    enqueued: int = 0
    buckets: Counter[float] = field(default_factory=Counter)

    @property
    def executions(self) -> int:
        """Executions that ended."""
        return self.states.total()

    @property
    def success_ratio(self) -> float | None:
        """completed / (completed + discard); ``None`` where neither happened."""
        return self._completed_beside(State.DISCARD)

    @property
    def match_ratio(self) -> float | None:
        """completed / (completed + cancelled); ``None`` where neither happened."""
        return self._completed_beside(State.CANCELLED)

    def duration(self, quantile: float) -> float | None:
        """A quantile of the durations in seconds, straight between two bounds as in PromQL's histogram_quantile."""
        bounds = sorted(self.buckets.items())
        if not bounds or not bounds[-1][1]:
            return None
        rank = quantile * bounds[-1][1]
        low, below = 0.0, 0
        for bound, count in bounds:
            if count >= rank:
                return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
            low, below = bound, count
        return low

    def _completed_beside(self, other: State) -> float | None:
        completed = self.states[State.COMPLETED.value]
        whole = completed + self.states[other.value]
        return completed / whole if whole else None


@dataclass
class Summary:
    """One look at a ``/metrics`` page.

    Args:
        workers: By dotted path.
        cancellations: Executions by worker and reason.
        pending: Jobs that RQ holds and that have yet to run or to end.
        running: Executions in progress.
        unrecorded: Executions that RQ counted and jobtelemetry did not.
        up: Whether the exporter could read Redis.
    """

    workers: dict[str, WorkerFigures] = field(default_factory=dict)
    cancellations: Counter[tuple[str, str]] = field(default_factory=Counter)
    pending: int = 0
    running: int = 0
    unrecorded: int = 0
    up: bool = False

    @property
    def executions(self) -> int:
        """Executions that ended, of all workers."""
        return sum(figures.executions for figures in self.workers.values())

    @property
    def enqueued(self) -> int:
        """Times a job was put on a queue, of all workers."""
        return sum(figures.enqueued for figures in self.workers.values())

    @property
    def idle(self) -> bool:
        """Whether something has run and nothing is left to run."""
        return self.up and self.executions > 0 and not self.pending and not self.running


def read(page: str) -> Summary:
    """Read a page in Prometheus' text format.

    Raises:
        ValueError: The page is not in that format.
    """
    samples = _Samples(page)
    summary = Summary(
        pending=sum(int(s.value) for s in samples.of(contract.QUEUE_JOBS) if s.labels["status"] in _PENDING),
        running=samples.total(contract.EXECUTIONS_RUNNING),
        unrecorded=samples.total(contract.UNRECORDED_EXECUTIONS),
        up=samples.total(contract.UP) == 1,
    )
    for sample in samples.of(contract.JOB_EXECUTIONS):
        _figures(summary, sample).states[sample.labels["state"]] += int(sample.value)
    for sample in samples.of(contract.JOBS_ENQUEUED):
        _figures(summary, sample).enqueued += int(sample.value)
    for sample in samples.named(f"{contract.JOB_DURATION.name}_bucket"):
        _figures(summary, sample).buckets[float(sample.labels["le"])] += int(sample.value)
    for sample in samples.of(contract.JOB_CANCELLATIONS):
        summary.cancellations[sample.labels["worker"], sample.labels["reason"]] += int(sample.value)
    return summary


def _figures(summary: Summary, sample: Sample) -> WorkerFigures:
    return summary.workers.setdefault(sample.labels["worker"], WorkerFigures())


class _Samples:
    """The samples of a page by name."""

    def __init__(self, page: str) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        families: Iterator[Metric] = iter(text_string_to_metric_families(page))
        for family in families:
            for sample in family.samples:
                self._by_name.setdefault(sample.name, []).append(sample)

    def named(self, name: str) -> list[Sample]:
        return self._by_name.get(name, [])

    def of(self, family: contract.Family) -> list[Sample]:
        return self.named(family.name)

    def total(self, family: contract.Family) -> int:
        return int(sum(sample.value for sample in self.of(family)))

