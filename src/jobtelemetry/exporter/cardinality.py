"""How many series the exposition may have: what the user chose to pay for. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, replace

from jobtelemetry.config import Config
from jobtelemetry.contract import OTHER, QUEUE_STATUSES, Family, coarse
from jobtelemetry.store.snapshot import QueueState, Snapshot


@dataclass(frozen=True)
class Cardinality:
    """What may be shown.

    Args:
        max_queues: Queues that are shown by name; the others are one, ``__other__``. ``None`` for all.
        histogram_detail: ``full``, ``coarse`` (every third bucket) or ``off`` (no bucket but ``+Inf``).
    """

    max_queues: int | None = None
    histogram_detail: str = "full"

    @classmethod
    def of(cls, config: Config) -> Cardinality:
        """What the settings say."""
        return cls(config.max_queues, config.histogram_detail)

    def of_family(self, family: Family) -> Family:
        """The family with the buckets that it is shown with, each of them one of its own: counts stay exact."""
        if self.histogram_detail == "full" or not family.buckets:
            return family
        return replace(family, buckets=coarse(family.buckets) if self.histogram_detail == "coarse" else ())

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
