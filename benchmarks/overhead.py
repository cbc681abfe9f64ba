"""What instrumentation costs: instrumented against bare RQ, in turn on one machine, as a ratio.

    python -m benchmarks.overhead [--jobs 400] [--rounds 7]

Each round starts a fresh worker process of each kind on a private server and lets it run no-op jobs in burst mode.
Printed are the median ratio of times, and what one execution adds in commands and bytes, from the server's own counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from typing import Any

from rq import Queue, SimpleWorker, Worker

import jobtelemetry
from benchmarks.jobs import no_op
from jobtelemetry.demo.server import EmbeddedServer

CLASSES = {"Worker": Worker, "SimpleWorker": SimpleWorker}


def work(url_socket: str, worker: str, jobs: int, instrumented: bool, results: Any) -> None:
    """Enqueue and run jobs; put seconds for both and what the server counted."""
    from redis import Redis

    if instrumented:
        jobtelemetry.instrument()
    connection = Redis(unix_socket_path=url_socket)
    connection.flushall()
    queue = Queue(connection=connection)
    started = time.perf_counter()
    for _ in range(jobs):
        queue.enqueue(no_op)
    enqueued = time.perf_counter()
    before = connection.info("stats")
    CLASSES[worker]([queue], connection=connection, log_job_description=False).work(burst=True, logging_level="ERROR")
    finished = time.perf_counter()
    after = connection.info("stats")
    results.put(
        (
            enqueued - started,
            finished - enqueued,
            (after["total_commands_processed"] - before["total_commands_processed"]) / jobs,
            (after["total_net_input_bytes"] - before["total_net_input_bytes"]) / jobs,
        )
    )


def measure(socket: str, worker: str, jobs: int, instrumented: bool) -> tuple[float, float, float, float]:
    """One round in a process of its own."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=work, args=(socket, worker, jobs, instrumented, results))
    process.start()
    figures = results.get(timeout=120)
    process.join()
    return figures  # type: ignore[no-any-return]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with EmbeddedServer() as server:
        for worker in CLASSES:
            rounds = [
                tuple(measure(str(server.socket), worker, options.jobs, instrumented) for instrumented in (False, True))
                for _ in range(options.rounds)
            ]
            report(worker, rounds, options.jobs)


def report(worker: str, rounds: list[tuple[tuple[float, ...], tuple[float, ...]]], jobs: int) -> None:
    """Print one worker class."""

    def ratio(index: int) -> str:
        ratios = [with_[index] / bare[index] for bare, with_ in rounds]
        return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"

    def each(kind: int, index: int) -> float:
        return statistics.median(pair[kind][index] for pair in rounds)

    print(f"{worker}, {jobs} no-op jobs, {len(rounds)} rounds: median (min-max) of instrumented / bare")
    print(f"  running   {ratio(1)}   bare {each(0, 1) / jobs * 1e3:.2f} ms a job")
    print(f"  enqueuing {ratio(0)}   bare {each(0, 0) / jobs * 1e3:.3f} ms a job")
    print(
        f"  commands an execution {each(0, 2):.1f} -> {each(1, 2):.1f}, bytes sent {each(0, 3):.0f} -> {each(1, 3):.0f}"
    )


if __name__ == "__main__":
    main()
