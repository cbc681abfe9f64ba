"""An RQ worker on a host whose clock is behind: ``python -m drill_behind URL SECONDS``."""

from __future__ import annotations

import datetime as dt
import sys
from types import SimpleNamespace
from typing import Any

import rq.utils
from redis import Redis
from rq import Worker

import jobtelemetry

_BEHIND = dt.timedelta(seconds=float(sys.argv[2]))


class _Behind(dt.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> dt.datetime:
        return dt.datetime.now(tz) - _BEHIND


if __name__ == "__main__":
    rq.utils.datetime = SimpleNamespace(**{**vars(dt), "datetime": _Behind})
    jobtelemetry.instrument()
    Worker(["default"], connection=Redis.from_url(sys.argv[1])).work(logging_level="WARNING")
