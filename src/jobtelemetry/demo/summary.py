"""The demo's figures, read from the text of a ``/metrics`` page and from nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from jobtelemetry import contract, figures
from jobtelemetry.outcomes import State

#: The statuses of jobs that have yet to run or to end.
_PENDING = frozenset({"queued", "intermediate", "started", "scheduled", "deferred", "ready_to_enqueue", "rate_limited"})


@dataclass
class WorkerFigures:
    """What one worker (a job's class or function) did.

    Args:
        states: Executions by state.
        enqueued: Times a job was put on a queue.
        run_time: Executions by upper bound of their run time in seconds, cumulative.
    """

    states: Counter[State] = field(default_factory=Counter)
    enqueued: int = 0
    run_time: Counter[float] = field(default_factory=Counter)

    @property
    def executions(self) -> int:
        """Executions that ended."""
        return self.states.total()

    @property
    def success_ratio(self) -> float | None:
        """Completed / (completed + discard); ``None`` where neither happened."""
        return figures.success_ratio(self.states)

    @property
    def match_ratio(self) -> float | None:
        """Completed / (completed + cancelled); ``None`` where neither happened."""
        return figures.match_ratio(self.states)

    def run_time_quantile(self, q: float) -> float | None:
        """The run time in seconds that the fraction ``q`` of the executions did not exceed; ``None`` without any."""
        counts, below = {}, 0
        for bound, count in sorted(self.run_time.items()):
            counts[str(bound)] = count - below
            below = count
        return figures.quantile(q, counts, contract.DURATION_BUCKETS)


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
        return sum(worker.executions for worker in self.workers.values())

    @property
    def enqueued(self) -> int:
        """Times a job was put on a queue, of all workers."""
        return sum(worker.enqueued for worker in self.workers.values())

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
        _worker(summary, sample).states[State(sample.labels["state"])] += int(sample.value)
    for sample in samples.of(contract.JOBS_ENQUEUED):
        _worker(summary, sample).enqueued += int(sample.value)
    for sample in samples.named(f"{contract.JOB_DURATION.name}_bucket"):
        _worker(summary, sample).run_time[float(sample.labels["le"])] += int(sample.value)
    for sample in samples.of(contract.JOB_CANCELLATIONS):
        summary.cancellations[sample.labels["worker"], sample.labels["reason"]] += int(sample.value)
    return summary


def _worker(summary: Summary, sample: Sample) -> WorkerFigures:
    return summary.workers.setdefault(sample.labels["worker"], WorkerFigures())


class _Samples:
    """The samples of a page by name."""

    def __init__(self, page: str) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._by_name.setdefault(sample.name, []).append(sample)

    def named(self, name: str) -> list[Sample]:
        return self._by_name.get(name, [])

    def of(self, family: contract.Family) -> list[Sample]:
        return self.named(family.name)

    def total(self, family: contract.Family) -> int:
        return int(sum(sample.value for sample in self.of(family)))
