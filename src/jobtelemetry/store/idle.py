"""Since when each RQ worker has been waiting for a job: RQ does not say; heartbeats and memory do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jobtelemetry.store.snapshot import RQWorkerState, WrongClock

#: RQ's states of an RQ worker that could take a job.
_WAITING = ("idle", "started", "")


class Idleness:
    """Remembers when RQ workers were last seen to do something.

    One that waits tells RQ only every few minutes that it lives, when it begins to wait anew; so who looks for the
    first time knows no more than that. Who looks again knows whether an execution of it has ended since.
    """

    def __init__(self) -> None:
        self._seen: tuple[RQWorkerState, ...] = ()
        self._noted: tuple[RQWorkerState, ...] = ()
        #: By name: the RQ worker as it was seen, and with since when it has been waiting.
        self._known: dict[str, tuple[RQWorkerState, RQWorkerState]] = {}

    def note(
        self, rq_workers: tuple[RQWorkerState, ...], clocks: Iterable[WrongClock], now: float
    ) -> tuple[RQWorkerState, ...]:
        """The same RQ workers, with since when they have been waiting; the same object as before if they are.

        Args:
            rq_workers: Those that live.
            clocks: Those that are wrong: heartbeats are by the RQ worker's own.
            now: Redis's clock, Unix time.
        """
        if rq_workers is not self._seen:
            ahead = {clock.who: clock.ahead for clock in clocks if clock.kind == "rq_worker"}
            known = {}
            for worker in rq_workers:
                before = self._known.get(worker.name)
                if before is None or before[0] is not worker:
                    since = _waiting_since(worker, before, now, ahead.get(worker.name, 0.0))
                    before = worker, worker if since is None else replace(worker, idle_since=since)
                known[worker.name] = before
            self._seen, self._known = rq_workers, known
            self._noted = tuple(noted for _, noted in known.values())
        return self._noted


def _waiting_since(
    worker: RQWorkerState, before: tuple[RQWorkerState, RQWorkerState] | None, now: float, ahead: float
) -> float | None:
    if worker.status not in _WAITING or worker.heartbeat is None:
        return None
    if before is not None and before[1].idle_since is not None and _done(before[0]) == _done(worker):
        return before[1].idle_since
    return min(now, worker.heartbeat - ahead)


def _done(worker: RQWorkerState) -> tuple[object, ...]:
    return worker.birth, worker.counted_by_rq, worker.recorded, worker.uncounted_by_rq
