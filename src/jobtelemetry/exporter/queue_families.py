"""What is shown of each queue: what RQ holds of it, and what the RQ workers are that listen on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.store.listeners import NOBODY, Listeners
from jobtelemetry.store.snapshot import QueueState, Snapshot

#: RQ knows this one only for all queues together.
RATE_LIMITED = "rate_limited"
_STATUSES = tuple(status for status in contract.QUEUE_STATUSES if status != RATE_LIMITED)

#: Label values in the order of the family's labels, and the value.
QueueRow = tuple[tuple[str, ...], float]


class ShownQueue(NamedTuple):
    """A queue.

    Args:
        name: Its name.
        state: What RQ holds of it; ``None`` if RQ does not know it, and RQ workers listen on it.
        listeners: The RQ workers that do.
    """

    name: str
    state: QueueState | None
    listeners: Listeners


def shown_queues(snapshot: Snapshot) -> Iterator[ShownQueue]:
    """Every queue that RQ knows, and then those on which somebody listens all the same."""
    listeners = snapshot.listeners
    for state in snapshot.queues:
        yield ShownQueue(state.name, state, listeners.get(state.name, NOBODY))
    known = {state.name for state in snapshot.queues}
    for name, found in listeners.items():
        if name not in known:
            yield ShownQueue(name, None, found)


def _jobs(queue: ShownQueue) -> Iterator[QueueRow]:
    if queue.state is not None:
        for status in _STATUSES:
            yield (queue.name, status), float(queue.state.jobs.get(status, 0))


def _rq_workers(queue: ShownQueue) -> Iterator[QueueRow]:
    counts = dict.fromkeys(contract.RQ_WORKER_STATUSES, 0)
    for said, count in queue.listeners.statuses:
        # A worker that has registered and not yet said what it does has just started.
        status = said or contract.RQ_WORKER_STATUSES[0]
        counts[status] = counts.get(status, 0) + count
    for status, count in counts.items():
        yield (queue.name, status), float(count)


def _of_state(value: Callable[[QueueState], float | None]) -> Callable[[ShownQueue], Iterable[QueueRow]]:
    return lambda queue: _if_known(queue, None if queue.state is None else value(queue.state))


def _if_known(queue: ShownQueue, value: float | None) -> Iterable[QueueRow]:
    return () if value is None else (((queue.name,), float(value)),)


def _longest_idle(queue: ShownQueue) -> Iterable[QueueRow]:
    # Who idles on one of the others has nothing to do with who waits on another one.
    return () if queue.name == contract.OTHER else _if_known(queue, queue.listeners.longest_idle)


#: Where the rows of a family are in one queue, for the families that are nothing but those of all queues. In that of
#: jobs those that rate limits hold back stand besides.
OF_QUEUE: Mapping[Family, Callable[[ShownQueue], Iterable[QueueRow]]] = {
    contract.JOB_MEMORY_LIMIT: lambda queue: _if_known(queue, queue.listeners.memory_limit),
    contract.QUEUE_JOBS: _jobs,
    contract.QUEUE_OLDEST_JOB: _of_state(lambda state: state.oldest_enqueued_at),
    contract.QUEUE_OVERDUE_SCHEDULED: _of_state(lambda state: state.overdue_scheduled),
    contract.QUEUE_BLOCKED_JOBS: _of_state(lambda state: state.blocked),
    contract.RQ_WORKERS: _rq_workers,
    contract.RQ_WORKER_NEWEST_BIRTH: lambda queue: _if_known(queue, queue.listeners.newest_birth),
    contract.RQ_WORKER_LONGEST_IDLE: _longest_idle,
    contract.QUEUE_RQ_WORKERS_UNINSTRUMENTED: lambda queue: _if_known(queue, queue.listeners.uninstrumented),
    contract.SCHEDULER_UP: _of_state(lambda state: state.scheduler_up),
}


def rows(family: Family, snapshot: Snapshot) -> Iterator[QueueRow]:
    """What one of these families shows of all queues."""
    found = OF_QUEUE[family]
    for queue in shown_queues(snapshot):
        yield from found(queue)
    if family is contract.QUEUE_JOBS:
        yield rate_limited(snapshot)


def rate_limited(snapshot: Snapshot) -> QueueRow:
    """The jobs that rate limits hold back, of all queues together."""
    return ("", RATE_LIMITED), float(snapshot.rate_limited)
