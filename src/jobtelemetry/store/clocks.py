"""Whose clock differs from Redis's, from what the scripts noted (``clock.lua``) and from RQ's own moments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jobtelemetry.store.decode import difference_of, moment_of
from jobtelemetry.store.keys import decode as parts_of
from jobtelemetry.store.snapshot import RQWorkerState, WrongClock
from jobtelemetry.text import label_text

#: Seconds for which the clock of somebody who enqueued is shown after he last did; as in ``clock.lua``.
CLOCK_MEMORY = 3600.0
#: From so many seconds on a clock is wrong; as in ``clock.lua``.
_LEAST = 1.0
#: The same for heartbeats: RQ workers are read a moment after it was asked for the time.
_LEAST_LEAD = 5.0
#: What is left of a lead after the jobs that show it have waited for a while.
_ECHO = 0.9


def wrong_clocks(meta: Mapping[str, str], rq_workers: Iterable[RQWorkerState], now: float) -> tuple[WrongClock, ...]:
    """The clocks that are known to be wrong, the worst first.

    An instrumented process compares its own clock with Redis's whenever it registers, starts an execution or enqueues.
    Of others only a lead shows: an RQ worker whose heartbeat, or a job whose enqueueing, lies in the future.

    Args:
        meta: The shared hash.
        rq_workers: Those that live.
        now: Redis's clock, Unix time.
    """
    noted = _noted(meta)
    latest, named = now + _LEAST_LEAD, {who for kind, who in noted if kind == "rq_worker"}
    suspects = [one for one in rq_workers if (one.heartbeat or 0.0) > latest or one.name in named]
    found = [clock for worker in suspects if (clock := _of_rq_worker(worker, noted, now))]
    for (kind, who), (ahead, seen) in noted.items():
        if kind == "producer" and now - seen <= CLOCK_MEMORY:
            host, _, process = who.rpartition(" ")
            found.append(WrongClock(kind, label_text(process), label_text(host), ahead))
    known = max((clock.ahead for clock in found), default=0.0)
    for (kind, who), (ahead, seen) in noted.items():
        if kind == "jobs" and now - seen <= CLOCK_MEMORY and known < _ECHO * ahead:  # else that is where they come from
            found.append(WrongClock(kind, label_text(who), "", ahead))
    return tuple(sorted(found, key=lambda clock: -abs(clock.ahead)))


def _noted(meta: Mapping[str, str]) -> dict[tuple[str, str], tuple[float, float]]:
    """What the scripts noted: who it is -> by how much he is ahead, and when that was seen."""
    noted = {}
    for field, value in meta.items():
        family, *parts = parts_of(field)
        if family == "clock" and len(parts) == 2:
            difference, _, at = value.partition(" ")
            ahead, seen = difference_of(difference), moment_of(at)
            if ahead is not None and seen is not None:
                noted[parts[0], parts[1]] = ahead, seen
    return noted


def _of_rq_worker(
    worker: RQWorkerState, noted: Mapping[tuple[str, str], tuple[float, float]], now: float
) -> WrongClock | None:
    ahead, _ = noted.get(("rq_worker", worker.name), (0.0, 0.0))
    lead = (worker.heartbeat or 0.0) - now
    if not ahead and lead > _LEAST_LEAD:
        ahead = lead
    return WrongClock("rq_worker", worker.name, worker.host, ahead) if abs(ahead) > _LEAST else None
