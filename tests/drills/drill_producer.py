"""A producer whose clock is three minutes ahead: ``python -m drill_producer URL`` enqueues one job."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import rq.queue
from redis import Redis

_right = rq.queue.now


def _wrong() -> datetime:
    return _right() + timedelta(minutes=3)


if __name__ == "__main__":
    rq.queue.now = _wrong
    rq.Queue("default", connection=Redis.from_url(sys.argv[1])).enqueue("drill_jobs.show", 1)
