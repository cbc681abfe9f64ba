"""One trial: one variant runs or enqueues some jobs in this process, alone, and says what it took. Run as a module.

Counts of calls and times are never taken together: counting makes everything slower.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.marks import WARM_UP
from benchmarks.variants import BY_NAME

_NO_OP, _MARKED = "benchmarks.jobs.no_op", "benchmarks.jobs.marked"


@dataclass(frozen=True)
class Order:
    """What to do.

    Args:
        socket: The Redis server's unix socket; the server is emptied.
        receiver: ``host:port`` of what receives spans and errors.
        variant: Its name.
        workload: ``forking``, ``simple``, ``enqueue``, ``forking 50 ms``, ``crowd 64`` (RQ workers)
        jobs: How many.
        count: Count function calls instead of measuring times.
        mark: Note the moments of each job (see :mod:`benchmarks.marks`).
    """

    socket: str
    receiver: str
    variant: str
    workload: str
    jobs: int
    count: bool = False
    mark: bool = False

    def argument(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Do what the first argument orders; print what it took as JSON, per job."""
    order = Order(**json.loads(sys.argv[1]))
    logging.basicConfig(stream=open(os.devnull, "w"), level=logging.INFO)  # noqa: PTH123, SIM115 - until the end
    logging.getLogger("rq").setLevel(logging.ERROR)
    variant = BY_NAME[order.variant]
    variant.set_up(order.receiver)
    if variant.preload:
        importlib.import_module("benchmarks.jobs")
    figures = _run(order)
    sys.stdout.write(json.dumps(figures))
    sys.stdout.flush()
    os._exit(0)  # a receiver that hangs is not waited for


def _run(order: Order) -> dict[str, Any]:
    from redis import Redis

    connection = Redis(unix_socket_path=order.socket)
    connection.flushall()
    meter = Meter(order, connection)
    if order.workload == "enqueue":
        _enqueue(connection, _NO_OP, WARM_UP)
        meter.begin()
        _enqueue(connection, _NO_OP, order.jobs)
        return meter.end()
    function = _MARKED if order.mark else "benchmarks.jobs.sleep_50_ms" if "50 ms" in order.workload else _NO_OP
    child = os.fork()
    if not child:  # in a process of its own: what enqueuing imports and builds is not the worker's
        _enqueue(Redis(unix_socket_path=order.socket), function, order.jobs + WARM_UP)
        os._exit(0)
    os.waitpid(child, 0)
    if order.workload.startswith("crowd"):
        return _crowd(meter, order, int(order.workload.split()[1]))
    kind = _metered(meter, "SimpleWorker" if order.workload == "simple" else "Worker")
    worker = kind(["default"], connection=connection, log_job_description=False)
    worker.work(burst=True, logging_level="ERROR")
    return meter.figures


def _enqueue(connection: Any, function: str, jobs: int) -> None:
    from rq import Queue

    queue = Queue(connection=connection)
    for _ in range(jobs):
        queue.enqueue(function)


def _crowd(meter: Meter, order: Order, rq_workers: int) -> dict[str, Any]:
    """So many RQ workers at once on one server; their starts and stops are in the figures, of bare RQ as well."""
    from redis import Redis
    from rq import SimpleWorker

    meter.begin()
    for _ in range(rq_workers):
        if not os.fork():
            worker = SimpleWorker(
                ["default"], connection=Redis(unix_socket_path=order.socket), log_job_description=False
            )
            worker.work(burst=True, logging_level="ERROR")
            os._exit(0)
    for _ in range(rq_workers):
        os.wait()
    return meter.end()


def _metered(meter: Meter, name: str) -> Any:
    """The worker class, measured from the end of the warm-up until the queue is empty: its start and stop are not."""
    import rq

    kind: Any = getattr(rq, name)
    asked = 0

    class Metered(kind):  # type: ignore[misc]
        def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal asked
            if asked == WARM_UP:
                meter.begin()
            asked += 1
            if asked > WARM_UP + meter.order.jobs:  # all are done; the queue would only say so
                meter.end()
            return super().dequeue_job_and_maintain_ttl(*args, **kwargs)

    return Metered


class Meter:
    """Takes what a stretch of work costs, per job.

    Args:
        order: What is measured.
        connection: To the server whose costs are measured as well.
    """

    def __init__(self, order: Order, connection: Any) -> None:
        self.order = order
        self.figures: dict[str, Any] = {}
        self._connection = connection
        self._calls: Any = None
        self._before: dict[str, float] = {}
        self._started = 0.0
        if order.count:
            from benchmarks.counting import CallCounter

            self._calls = CallCounter()
        if order.mark:
            from benchmarks import marks

            marks.begin(order.jobs, (lambda: self._calls.total) if self._calls else None)

    def begin(self) -> None:
        """From here on."""
        self._connection.echo("begin")
        self._before = _usage(self._connection)
        if self._calls:
            self._calls.start()
        self._started = time.perf_counter()

    def end(self) -> dict[str, Any]:
        """Until here."""
        seconds = time.perf_counter() - self._started
        if self._calls:
            self._calls.stop()
        after = _usage(self._connection)
        self._connection.echo("end")
        self.figures = {name: (after[name] - self._before[name]) / self.order.jobs for name in after}
        self.figures["seconds"] = seconds / self.order.jobs
        if self._calls:
            self.figures |= {name: count / self.order.jobs for name, count in self._calls.read().items()}
        if self.order.mark:
            from benchmarks import marks

            self.figures["phases"] = marks.rows()
        return self.figures


def _usage(connection: Any) -> dict[str, float]:
    """CPU seconds and page faults of this process and of the horses it has waited for; what the server counts."""
    stats, server = connection.info("stats"), connection.info("cpu")
    own, horses = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_parent": own.ru_utime + own.ru_stime,
        "cpu_horse": horses.ru_utime + horses.ru_stime,
        "cpu_server": server["used_cpu_user"] + server["used_cpu_sys"],
        "faults_horse": float(horses.ru_minflt),
        "faults_parent": float(own.ru_minflt),
        "commands_and_inner": float(stats["total_commands_processed"]),
        "bytes_in": float(stats["total_net_input_bytes"]),
        "bytes_out": float(stats["total_net_output_bytes"]),
    }


if __name__ == "__main__":
    main()
