"""Processes whose clock is wrong: Python's and RQ's moments, from before anything else is imported there."""

from __future__ import annotations

import datetime as dt
import os
import time
from types import SimpleNamespace
from typing import Any

_RIGHT, _REAL = time.time, dt.datetime


def shift(seconds: float) -> None:
    """From now on this process's wall clock is ahead by so many seconds (negative: behind)."""

    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> dt.datetime:
            return _REAL.now(tz) + dt.timedelta(seconds=seconds)

    time.time = lambda: _RIGHT() + seconds

    import rq.utils

    from jobtelemetry import clock

    rq.utils.datetime = SimpleNamespace(**{**vars(dt), "datetime": Shifted})
    clock._CLOCKS = (time.monotonic, time.time)


def work(seconds: float, **options: Any) -> None:
    """Be an RQ worker on a host whose clock is wrong."""
    shift(seconds)
    from support.workers import work as right

    right(**options)


def produce(seconds: float, url: str, functions: list[str], instrumented: bool = True, correct: bool = False) -> None:
    """Enqueue jobs on a host whose clock is wrong, and if ``correct``, one more when it was set right."""
    shift(seconds)
    import jobtelemetry

    if instrumented:
        jobtelemetry.instrument()
    from redis import Redis
    from rq import Queue

    queue = Queue("default", connection=Redis.from_url(url))
    for function in functions:
        queue.enqueue(function)
    if correct:
        shift(0.0)
        queue.enqueue(functions[0])
    print(os.getpid())
