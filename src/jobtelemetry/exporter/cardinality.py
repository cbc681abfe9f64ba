"""How many series the exposition may have: what the user chose to pay for. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from jobtelemetry.config import DURATION_STATES, Config
from jobtelemetry.contract import (
    JOB_DURATION,
    JOB_WAIT,
    OTHER,
    QUEUE_STATUSES,
    Family,
    coarse,
    series_of_label_set,
)
from jobtelemetry.errors import ConfigError
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Histogram, QueueState, Snapshot

if TYPE_CHECKING:
    from jobtelemetry.exporter.families import Row


@dataclass(frozen=True)
class Cardinality:
    """What may be shown.

    Args:
        max_queues: Queues that are shown by name; the others are one, ``__other__``. ``None`` for all.
        histogram_detail: ``full``, ``coarse`` (every third bucket) or ``off`` (no bucket but ``+Inf``), or for each of
            ``duration`` and ``wait`` one of these or the bounds to keep: ``duration=0.1/1/10,wait=off``.
        duration_states: ``each`` state has a histogram of run times, only ``completed`` has one, or all have one
            ``together``, without the label.

    Raises:
        ConfigError: A bound is none of the family's, or it is no such choice of states.
    """

    max_queues: int | None = None
    histogram_detail: str = "full"
    duration_states: str = DURATION_STATES[0]

    def __post_init__(self) -> None:
        if self.duration_states not in DURATION_STATES:
            raise ConfigError(f"expected one of {', '.join(DURATION_STATES)}, got {self.duration_states!r}")
        for family in _HISTOGRAMS.values():
            self.of_family(family)

    @classmethod
    def of(cls, config: Config) -> Cardinality:
        """What the settings say."""
        return cls(config.max_queues, config.histogram_detail, config.duration_states)

    def of_family(self, family: Family) -> Family:
        """The family with the labels and buckets that it is shown with, of its own: counts stay exact."""
        return _shown(family, self.histogram_detail, self.duration_states) if family.buckets else family

    def of_rows(self, family: Family, rows: Iterable[Row]) -> Iterable[Row]:
        """The rows that are shown of those that a family has."""
        if family is not JOB_DURATION or self.duration_states == "each":
            return rows
        if self.duration_states == "completed":
            return (row for row in rows if row[0][2] == State.COMPLETED)
        return _together(rows)

    @property
    def series_of_label_set(self) -> int:
        """Series that a worker on a queue makes once it has ended in every state, without reasons and error types."""
        durations = len(State) if self.duration_states == "each" else 1
        duration, wait = self.of_family(JOB_DURATION), self.of_family(JOB_WAIT)
        return series_of_label_set(len(State), duration, wait, durations)

    def losses(self, latency_target: float) -> Iterator[tuple[str, str]]:
        """What dashboards and rules lose, by the setting that takes it.

        Args:
            latency_target: Seconds within which a job shall start, the mixin's setting.
        """
        for loss in self._losses_of_detail(latency_target):
            yield "JOBTELEMETRY_HISTOGRAM_DETAIL", loss
        if loss := _LOSSES_OF_STATES[self.duration_states]:
            yield "JOBTELEMETRY_DURATION_STATES", loss

    def _losses_of_detail(self, latency_target: float) -> Iterator[str]:
        run_times, waits = self.of_family(JOB_DURATION).buckets, self.of_family(JOB_WAIT).buckets
        if not run_times:
            yield (
                "without buckets of run times their quantiles and heatmaps stay empty, JobRunTimeRegressed never "
                "fires, and JobRunningTooLong looks at running_max_age alone"
            )
        if not waits:
            yield "without buckets of waits their quantiles stay empty, and QueueJobsStartLate never fires"
        elif latency_target not in waits:
            yield (
                f"QueueJobsStartLate never fires: latency_target is {latency_target:g} s, and the "
                f"bounds kept of waits are {', '.join(f'{bound:g}' for bound in waits)}"
            )

    def of_snapshot(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the largest queues, by the jobs that RQ keeps, and the sum of the rest."""
        sizes = Tally({queue: 0 for worker in snapshot.rq_workers for queue in worker.queues})
        sizes.update({queue.name: sum(queue.jobs.values()) for queue in snapshot.queues})
        if self.max_queues is None or len(sizes) <= self.max_queues:
            return snapshot
        # By name where they are equal, so that the same are shown at the next scrape.
        named = set(sorted(sizes.keys() - {OTHER}, key=lambda name: (-sizes[name], name))[: self.max_queues])
        rest = [queue for queue in snapshot.queues if queue.name not in named]
        return replace(
            snapshot,
            queues=(*(queue for queue in snapshot.queues if queue.name in named), *([_sum(rest)] if rest else ())),
            rq_workers=tuple(
                # Once, however many of the others it listens on: it is one process.
                replace(worker, queues=tuple(dict.fromkeys(name if name in named else OTHER for name in worker.queues)))
                for worker in snapshot.rq_workers
            ),
        )


#: What dashboards and rules lose where not each state has run times of its own.
_LOSSES_OF_STATES = {
    "each": "",
    "completed": "panels of run times show completed executions alone; rules and alerts lose nothing",
    "together": (
        "executions that failed, were cancelled or stopped count among those whose run times JobRunTimeRegressed and "
        "JobRunningTooLong compare"
    ),
}


@lru_cache
def _shown(family: Family, detail: str, states: str) -> Family:
    name = next(name for name, one in _HISTOGRAMS.items() if one is family)
    chosen = dict(part.split("=") for part in detail.split(",")).get(name, "full") if "=" in detail else detail
    if chosen in _DETAILS:
        buckets = _DETAILS[chosen](family.buckets)
    else:
        buckets = tuple(_bound(family, text) for text in chosen.split("/"))
    labels = tuple(label for label in family.labels if label != "state" or states != "together")
    unchanged = (buckets, labels) == (family.buckets, family.labels)
    return family if unchanged else replace(family, buckets=buckets, labels=labels)


def _together(rows: Iterable[Row]) -> Iterator[Row]:
    """One row for all states of a worker on a queue."""
    found: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], list[Histogram]] = {}
    for labels, value, *extra in rows:
        if isinstance(value, Histogram):
            found.setdefault((labels[:2], extra[0] if extra else ()), []).append(value)
    for (of_job, further), histograms in found.items():
        yield of_job, Histogram.together(histograms), further


def _bound(family: Family, text: str) -> float:
    try:
        if (bound := float(text)) in family.buckets:
            return bound
    except ValueError:
        pass
    # What is between two bounds was never counted apart.
    known = ", ".join(f"{bound:g}" for bound in family.buckets)
    raise ConfigError(f"JOBTELEMETRY_HISTOGRAM_DETAIL can keep of {family.name} the bounds {known}; got {text!r}")


_HISTOGRAMS = {"duration": JOB_DURATION, "wait": JOB_WAIT}
_DETAILS: dict[str, Callable[[tuple[float, ...]], tuple[float, ...]]] = {
    "full": lambda buckets: buckets,
    "coarse": coarse,
    "off": lambda buckets: (),
}


def _sum(queues: Iterable[QueueState]) -> QueueState:
    queues = tuple(queues)
    oldest = [queue.oldest_enqueued_at for queue in queues if queue.oldest_enqueued_at is not None]
    blocked = [queue.blocked for queue in queues if queue.blocked is not None]
    # Those that need a scheduler decide whether one is missing, so that the alert about it stays true.
    waiting = [queue for queue in queues if queue.jobs.get("scheduled") or queue.overdue_scheduled]
    return QueueState(
        OTHER,
        jobs={status: sum(queue.jobs.get(status, 0) for queue in queues) for status in QUEUE_STATUSES},
        oldest_enqueued_at=min(oldest, default=None),
        overdue_scheduled=sum(queue.overdue_scheduled for queue in queues),
        scheduler_up=all(queue.scheduler_up for queue in waiting or queues),
        blocked=sum(blocked) if blocked else None,
    )
