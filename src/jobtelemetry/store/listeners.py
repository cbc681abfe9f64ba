"""The RQ workers that listen on a queue, taken together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jobtelemetry.store.snapshot import RQWorkerState


class Listeners(NamedTuple):
    """What the RQ workers of one queue are together.

    Args:
        statuses: How many there are of each of RQ's states; of one that has not yet said what it does it is empty.
        uninstrumented: Those whose executions are not recorded.
        newest_birth: When the youngest was started, Unix time; ``None`` if nobody knows.
        longest_idle: Since when the one has been waiting that has waited longest; ``None`` where none waits.
        memory_limit: The least that a job of any of them can take, in bytes; ``None`` without a limit.
    """

    statuses: tuple[tuple[str, int], ...] = ()
    uninstrumented: int = 0
    newest_birth: float | None = None
    longest_idle: float | None = None
    memory_limit: int | None = None


#: Of a queue on which nobody listens.
NOBODY = Listeners()


def by_queue(rq_workers: Iterable[RQWorkerState]) -> Mapping[str, Listeners]:
    """Those of each queue on which any of these listens."""
    listening: dict[str, list[RQWorkerState]] = {}
    for worker in rq_workers:
        for queue in worker.queues:
            listening.setdefault(queue, []).append(worker)
    return {queue: _together(workers) for queue, workers in listening.items()}


def _together(workers: list[RQWorkerState]) -> Listeners:
    statuses: dict[str, int] = {}
    for worker in workers:
        statuses[worker.status] = statuses.get(worker.status, 0) + 1
    return Listeners(
        tuple(statuses.items()),
        sum([not worker.instrumented for worker in workers]),
        max([worker.birth for worker in workers if worker.birth is not None], default=None),
        min([worker.idle_since for worker in workers if worker.idle_since is not None], default=None),
        min([worker.memory_limit for worker in workers if worker.memory_limit is not None], default=None),
    )
