"""One trial: one variant runs or enqueues some jobs in this process, alone, and says what it took. Run as a module.

Counts of calls and times are never taken together: counting makes everything slower.
"""

from __future__ import annotations

import gc
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
from benchmarks.variants import BARE, BY_NAME

_NO_OP, _MARKED = "benchmarks.jobs.no_op", "benchmarks.jobs.marked"
_FUNCTIONS = {"forking 50 ms": "benchmarks.jobs.sleep_50_ms", "forking, allocating": "benchmarks.jobs.allocating"}


@dataclass(frozen=True)
class Order:
    """What to do.

    Args:
        socket: The Redis server's unix socket; the server is emptied.
        receiver: ``host:port`` of what receives spans and errors.
        variant: Its name.
        workload: ``forking``, ``simple``, ``enqueue``, ``forking 50 ms``, ``forking, allocating``,
            ``crowd 64`` (RQ workers),
            ``sets 5000`` (label sets)
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
    if order.workload.startswith("sets"):
        os.environ["JOBTELEMETRY_MAX_LABEL_SETS"] = "10000"
    variant.set_up(order.receiver)
    if variant.preload:
        importlib.import_module("benchmarks.jobs")
    if variant.frozen:
        gc.collect()
        gc.freeze()
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
    function = _MARKED if order.mark else _FUNCTIONS.get(order.workload, _NO_OP)
    number = int(order.workload.split()[1]) if order.workload.startswith(("crowd", "sets")) else 1
    rq_workers = number if order.workload.startswith("crowd") else 1
    child = os.fork()
    if not child:  # in a process of its own: what enqueuing imports and builds is not the worker's
        fresh = Redis(unix_socket_path=order.socket)
        _enqueue(fresh, function, order.jobs + WARM_UP * rq_workers)
        if order.workload.startswith("sets") and order.variant != BARE:
            from benchmarks import seeding

            seeding.label_sets(fresh, range(number - 1), 10, all_states=False)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the jobs, or the label sets, could not be written")
    if order.workload.startswith("crowd"):
        return _crowd(meter, order, rq_workers)
    kind = _metered(meter, "Worker" if order.workload.startswith("forking") else "SimpleWorker")
    worker = kind(["default"], connection=connection, log_job_description=False)
    worker.work(burst=True, logging_level="ERROR")
    return meter.figures


def _enqueue(connection: Any, function: str, jobs: int) -> None:
    from rq import Queue

    queue = Queue(connection=connection)
    for _ in range(jobs):
        queue.enqueue(function)


def _crowd(meter: Meter, order: Order, rq_workers: int) -> dict[str, Any]:
    """So many RQ workers at once on one server, each in a process; they begin together, warmed up."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    together, spent = context.Barrier(rq_workers + 1, timeout=300), context.SimpleQueue()
    for _ in range(rq_workers):
        if not os.fork():
            _one_of_the_crowd(order, together, spent)
            os._exit(0)
    together.wait()  # all are warm
    meter.begin()
    together.wait()  # all go
    used = sum(spent.get() for _ in range(rq_workers))
    figures = meter.end()
    together.wait()  # only now they leave: what that costs is not in the figures
    for _ in range(rq_workers):
        os.wait()
    return {**figures, "cpu_parent": used / order.jobs, "cpu_horse": 0.0}


def _one_of_the_crowd(order: Order, together: Any, spent: Any) -> None:
    """An RQ worker that says what it took from when all are warm until there are no more jobs."""
    from redis import Redis
    from rq import SimpleWorker

    asked, began = 0, 0.0

    class Waiting(SimpleWorker):
        def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal asked, began
            if asked == WARM_UP:
                together.wait()
                together.wait()
                began = time.process_time()
            asked += 1
            found = super().dequeue_job_and_maintain_ttl(*args, **kwargs)
            if found is None:
                spent.put(time.process_time() - began)
                together.wait()
            return found

    worker = Waiting(["default"], connection=Redis(unix_socket_path=order.socket), log_job_description=False)
    worker.work(burst=True, logging_level="ERROR")


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
