"""The demo's worker pool, a process of its own: ``python -m jobtelemetry.demo.pool REDIS_URL WORKERS``."""

from __future__ import annotations

import os
import sys

from redis import Redis
from rq.worker_pool import WorkerPool

import jobtelemetry
from jobtelemetry.config import Config
from jobtelemetry.demo import jobs, listing, logfile, matching, traces
from jobtelemetry.demo.tether import tie


def main(url: str, workers: int) -> None:
    """Run a pool of forking workers, instrumented, until SIGTERM.

    What the jobs need is imported and read here, before the first fork, so that no work-horse has to.
    """
    matching.nearest("warm up")
    listing.showtimes(listing.cinema_dates()[0])
    os.register_at_fork(after_in_child=tie)
    traces.set_up(os.environ)
    logfile.set_up(os.environ)
    jobtelemetry.instrument(Config.from_env().with_overrides(extra_labels=("source",)))
    WorkerPool(jobs.QUEUES, connection=Redis.from_url(url), num_workers=workers).start(logging_level="WARNING")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
