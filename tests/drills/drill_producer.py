"""A producer whose clock is wrong: ``python -m drill_producer URL [SECONDS [instrumented]]`` enqueues one job."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import rq.queue
from redis import Redis

import jobtelemetry

_right = rq.queue.now
_ahead = timedelta(seconds=float(sys.argv[2]) if len(sys.argv) > 2 else 180.0)


def _wrong() -> datetime:
    return _right() + _ahead


if __name__ == "__main__":
    if "instrumented" in sys.argv:
        jobtelemetry.instrument()
    rq.queue.now = _wrong
    rq.Queue("default", connection=Redis.from_url(sys.argv[1])).enqueue("drill_jobs.show", 1)
