"""Moments of one job's way through parent and horse, noted in memory that both share."""

from __future__ import annotations

import itertools
import mmap
import os
import time
from collections.abc import Callable
from typing import Any

#: Jobs at the beginning that are run and not measured: the first ones pay for imports and connections.
WARM_UP = 5
#: The moments, in order. From each to the next is one phase; ``PHASES`` has their names.
ASKED, DEQUEUED, FORK, HORSE, FUNCTION, RETURNED, EXIT, GONE, NEXT = range(9)
PHASES = (
    "parent, dequeuing",
    "parent, before the fork",
    "the fork itself",
    "horse, until the function",
    "the function",
    "horse, after the function",
    "the horse's exit, until the parent knows",
    "parent, after it",
)
_WIDTH = 2 * (NEXT + 1)  # a time and a number of calls each

_table: Any = None
_job = 0
_calls: Callable[[], int] = int  # 0


def begin(jobs: int, calls: Callable[[], int] | None = None) -> None:
    """Make room for so many jobs. ``calls`` tells how many function calls there have been."""
    global _table, _job, _calls
    _table = memoryview(mmap.mmap(-1, 8 * _WIDTH * (jobs + WARM_UP + 2))).cast("Q")
    _job = 0
    _calls = calls or _calls
    _hook()


def mark(moment: int) -> None:
    """Note that this moment of the present job is now."""
    if _table is not None:
        place = _job * _WIDTH + 2 * moment
        _table[place], _table[place + 1] = time.perf_counter_ns(), _calls()


def rows() -> list[tuple[list[int], list[int]]]:
    """For each job the nanoseconds and the function calls of each phase."""
    found = []
    for job in range(WARM_UP, _job):
        values = _table[job * _WIDTH : (job + 1) * _WIDTH].tolist()
        times, calls = values[::2], values[1::2]
        if all(times):
            found.append(tuple([b - a for a, b in itertools.pairwise(of)] for of in (times, calls)))
    return found  # type: ignore[return-value]


def _hook() -> None:
    """Around RQ from outside, so put in place after everything else, and the same for bare RQ."""
    from rq.worker.base import BaseWorker
    from rq.worker.worker_classes import Worker

    original_dequeue, original_wait, original_exit = (
        BaseWorker.dequeue_job_and_maintain_ttl,
        Worker.wait_for_horse,
        os._exit,
    )

    def dequeue(*args: Any, **kwargs: Any) -> Any:
        global _job
        if _table[_job * _WIDTH]:
            mark(NEXT)
            _job += 1
        mark(ASKED)
        result = original_dequeue(*args, **kwargs)
        if result is not None:
            mark(DEQUEUED)
        return result

    def wait_for_horse(*args: Any, **kwargs: Any) -> Any:
        result = original_wait(*args, **kwargs)
        mark(GONE)
        return result

    def leave(status: int) -> Any:
        mark(EXIT)
        original_exit(status)

    BaseWorker.dequeue_job_and_maintain_ttl = dequeue  # type: ignore[method-assign]
    Worker.wait_for_horse = wait_for_horse  # type: ignore[method-assign]
    os._exit = leave  # type: ignore[assignment]
    os.register_at_fork(before=lambda: mark(FORK), after_in_child=lambda: mark(HORSE))
