"""What a scrape costs, with no finished job in RQ's registries and with 100,000.

    python -m benchmarks.scrape [--jobs 100000] [--rounds 15]

Printed are the median ratio of times and the number of commands and round trips, from the server's own counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from rq import Queue, SimpleWorker

import jobtelemetry
from benchmarks.jobs import no_op
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot


def run_some(connection: Any) -> None:
    """A few real executions, so that there are series to read."""
    queue = Queue(connection=connection)
    for _ in range(20):
        queue.enqueue(no_op)
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")


def fill(connection: Any, jobs: int) -> None:
    """Finished jobs as RQ leaves them: a hash each, and an entry in the registry."""
    pipe = connection.pipeline(transaction=False)
    for number in range(jobs):
        pipe.hset(f"rq:job:filler-{number}", mapping={"status": "finished", "origin": "default", "data": b"x" * 80})
        pipe.zadd("rq:finished:default", {f"filler-{number}": time.time() + 3600})
        if number % 5000 == 4999:
            pipe.execute()
    pipe.execute()


def scrape(connection: Any) -> tuple[float, int]:
    """Seconds and commands of one read."""
    before = connection.info("stats")["total_commands_processed"]
    started = time.perf_counter()
    read_snapshot(connection, Keys())
    seconds = time.perf_counter() - started
    return seconds, connection.info("stats")["total_commands_processed"] - before - 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    jobtelemetry.instrument()
    with EmbeddedServer() as empty, EmbeddedServer() as full:
        small, large = empty.connection(), full.connection()
        run_some(small)
        run_some(large)
        fill(large, options.jobs)
        pairs = [(scrape(small), scrape(large)) for _ in range(options.rounds)]
    ratios = [with_jobs[0] / without[0] for without, with_jobs in pairs]
    print(f"scrape with {options.jobs} finished jobs / with 20: median {statistics.median(ratios):.2f}")
    print(f"  {statistics.median(p[0][0] for p in pairs) * 1e3:.2f} ms, {pairs[0][0][1]} commands with 20 jobs")
    print(f"  {statistics.median(p[1][0] for p in pairs) * 1e3:.2f} ms, {pairs[0][1][1]} commands with {options.jobs}")


if __name__ == "__main__":
    main()
