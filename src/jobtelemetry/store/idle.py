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
        self._known: dict[str, tuple[tuple[object, ...], float]] = {}

    def note(
        self, rq_workers: Iterable[RQWorkerState], clocks: Iterable[WrongClock], now: float
    ) -> tuple[RQWorkerState, ...]:
        """The same RQ workers, with since when they have been waiting.

        Args:
            rq_workers: Those that live.
            clocks: Those that are wrong: heartbeats are by the RQ worker's own.
            now: Redis's clock, Unix time.
        """
        ahead = {clock.who: clock.ahead for clock in clocks if clock.kind == "rq_worker"}
        known, self._known = self._known, {}
        found = []
        for worker in rq_workers:
            since = None
            if worker.status in _WAITING and worker.heartbeat is not None:
                done = (worker.birth, worker.counted_by_rq, worker.recorded, worker.uncounted_by_rq)
                before, since = known.get(worker.name, (None, 0.0))
                if before != done:
                    since = min(now, worker.heartbeat - ahead.get(worker.name, 0.0))
                self._known[worker.name] = (done, since)
            found.append(replace(worker, idle_since=since))
        return tuple(found)
