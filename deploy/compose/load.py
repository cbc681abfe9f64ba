"""Work for the stack's pool: the cinema's listing again and again, and jobs that do not go so well.

Usage: ``python load.py REDIS_URL [ROUNDS]``; without ROUNDS it goes on.
"""

import itertools
import sys
import time

from redis import Redis
from rq import Queue, Retry

import jobtelemetry
from jobtelemetry import otel
from jobtelemetry.demo import jobs
from jobtelemetry.demo.titles import Titles

_PAUSE = 60.0  # seconds between two rounds


def play(connection: Redis, number: int) -> None:
    """One round: the demo's jobs, one that fails for good, and one that fails twice before that."""
    titles = Titles.POLISH if number % 10 else Titles.BOTH
    jobs.enqueue(connection, jobs.SCRAPING, [jobs.SyncJob(titles)])
    queue = Queue(jobs.SCRAPING, connection=connection)
    queue.enqueue("json.loads", "not JSON", description="json.loads('not JSON')")
    queue.enqueue("json.loads", "nor this", retry=Retry(max=2))


def main() -> None:
    """Play rounds."""
    url, *rest = sys.argv[1:]
    otel.configure(exit_timeout=2)
    jobtelemetry.instrument()
    with Redis.from_url(url) as connection:
        for number in itertools.islice(itertools.count(1), int(rest[0]) if rest else None):
            if number > 1:
                time.sleep(_PAUSE)
            play(connection, number)


if __name__ == "__main__":
    main()
