"""Worker processes: what :class:`support.nursery.Nursery` runs in them."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from importlib import metadata
from threading import Thread
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from rq import SimpleWorker, SpawnWorker, Worker
from rq.timeouts import TimerDeathPenalty
from rq.worker.base import WorkerStatus
from rq.worker_pool import WorkerPool

from support import jobs, own_ways

RQ_3 = int(metadata.version("rq").split(".")[0]) >= 3


class CinemaWorker(Worker):
    """A user's own subclass, defined before :func:`jobtelemetry.instrument`, that overrides and calls on."""

    def execute_job(self, *args: Any, **kwargs: Any) -> Any:
        return super().execute_job(*args, **kwargs)

    def perform_job(self, *args: Any, **kwargs: Any) -> Any:
        return super().perform_job(*args, **kwargs)

    def handle_job_success(self, *args: Any, **kwargs: Any) -> Any:
        return super().handle_job_success(*args, **kwargs)

    def handle_job_failure(self, *args: Any, **kwargs: Any) -> Any:
        return super().handle_job_failure(*args, **kwargs)

    def fork_work_horse(self, *args: Any, **kwargs: Any) -> Any:
        return super().fork_work_horse(*args, **kwargs)


class ImpatientWorker(Worker):
    """Beats every second and is given up two seconds after its last heartbeat; RQ's own figures are 30 and 90."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.job_monitoring_interval = 1

    def get_heartbeat_ttl(self, *args: Any, **kwargs: Any) -> int:
        return 2


class ByNameWorker(Worker):
    """A user's own subclass that calls RQ's methods by the name of their class."""

    def execute_job(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.execute_job(self, *args, **kwargs)

    def prepare_execution(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.prepare_execution(self, *args, **kwargs)

    def fork_work_horse(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.fork_work_horse(self, *args, **kwargs)

    def monitor_work_horse(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.monitor_work_horse(self, *args, **kwargs)

    def main_work_horse(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.main_work_horse(self, *args, **kwargs)

    def handle_exception(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.handle_exception(self, *args, **kwargs)

    def handle_job_success(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.handle_job_success(self, *args, **kwargs)

    def handle_job_retry(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.handle_job_retry(self, *args, **kwargs)

    def handle_job_failure(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.handle_job_failure(self, *args, **kwargs)

    def cleanup_execution(self, *args: Any, **kwargs: Any) -> Any:
        return Worker.cleanup_execution(self, *args, **kwargs)


class OnItsOwnWorker(Worker):
    """A user's own subclass that executes jobs without RQ's ``execute_job``."""

    def execute_job(self, job: Any, queue: Any) -> None:
        execution = self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        self.monitor_work_horse(job, queue, *([execution] if RQ_3 else []))
        self.set_state(WorkerStatus.IDLE)


class ThreadedWorker(SimpleWorker):
    """Executes two jobs at once, in threads, as others do in greenlets."""

    death_penalty_class = TimerDeathPenalty
    _threads: tuple[Thread, ...] = ()

    def execute_job(self, *args: Any, **kwargs: Any) -> None:
        thread = Thread(target=super().execute_job, args=args, kwargs=kwargs)
        thread.start()
        self._threads = (*self._threads, thread)
        while len(self._threads) > 1:
            time.sleep(0.002)
            self._threads = tuple(thread for thread in self._threads if thread.is_alive())


class CrowdedSpawnWorker(SpawnWorker):
    """Has a ``sys.path`` that the program of a work-horse, which RQ 3 puts it into, cannot hold once more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sys.path.extend(f"/gone/{'deep/' * 12}{number}" for number in range(1_000 if RQ_3 else 1_900))


class _Large:
    """Has loaded much before it forks."""

    def work(self, *args: Any, **kwargs: Any) -> Any:
        loaded = bytearray(b"x") * 200_000_000
        return super().work(*args, **kwargs) and bool(loaded)  # type: ignore[misc]


class LargeWorker(_Large, Worker):
    """As a ``Worker``."""


class LargeSpawnWorker(_Large, SpawnWorker):
    """As a ``SpawnWorker``."""


class _DiesBeforeTheExecution:
    """Dies when it has taken a job off the queue, as a machine may."""

    def prepare_execution(self, *args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class _DiesAfterTheExecution:
    """Dies when RQ has noted that the job is being run, and before it is."""

    def prepare_execution(self, *args: Any, **kwargs: Any) -> Any:
        super().prepare_execution(*args, **kwargs)  # type: ignore[misc]
        os.kill(os.getpid(), signal.SIGKILL)


class DiesBeforeTheExecution(_DiesBeforeTheExecution, Worker):
    """As a ``Worker``."""


class DiesAfterTheExecution(_DiesAfterTheExecution, Worker):
    """As a ``Worker``."""


CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Worker,
        SimpleWorker,
        SpawnWorker,
        CinemaWorker,
        ImpatientWorker,
        ByNameWorker,
        OnItsOwnWorker,
        ThreadedWorker,
        CrowdedSpawnWorker,
        LargeWorker,
        LargeSpawnWorker,
        DiesBeforeTheExecution,
        DiesAfterTheExecution,
        *own_ways.KINDS,
    )
}

#: The classes that the truth table is about, and those of them that have a work-horse.
WORKERS = ("Worker", "SimpleWorker", "SpawnWorker", "CinemaWorker")
FORKING = ("Worker", "SpawnWorker", "CinemaWorker")


def work(
    url: str,
    queues: list[str],
    kind: str,
    name: str,
    instrumented: bool,
    environ: dict[str, str],
    burst: bool = False,
    with_scheduler: bool = False,
    logging_level: str = "INFO",
    exception_handler: bool | str = False,
    retries: int | None = None,
    missing_hook: str = "",
    **options: Any,
) -> None:
    """Be an RQ worker.

    Args:
        kind: One of :data:`CLASSES`.
        environ: Further environment variables, for the worker and its horses.
        exception_handler: The name of one in :mod:`support.own_ways`, or whether it has one that notes.
        retries: How often the connection tries again after an error, at once; redis-py's own way by default.
        missing_hook: A method that this RQ is said not to have, ``Class.method``.
        options: Options of the worker class.
    """
    os.environ.update(environ)
    if missing_hook:
        _hide(missing_hook)
    if instrumented:
        import jobtelemetry

        jobtelemetry.instrument()
    if exception_handler:
        named = getattr(own_ways, exception_handler) if isinstance(exception_handler, str) else jobs.noted_exception
        options["exception_handlers"] = [named]
    retry = {} if retries is None else {"retry": Retry(ConstantBackoff(0.01), retries)}
    connection = Redis.from_url(url, **retry)
    worker = (CLASSES.get(kind) or _defined_late(kind))(queues, name=name, connection=connection, **options)
    worker.work(burst=burst, with_scheduler=with_scheduler, logging_level=logging_level)


def _hide(name: str) -> None:
    """RQ has this method under a name that nobody knows, and goes on as it does."""
    from jobtelemetry.rq import instrument

    instrument.HOOKS = tuple(  # type: ignore[misc]
        replace(hook, method=f"{hook.method}_renamed") if hook.name == name else hook for hook in instrument.HOOKS
    )


def _defined_late(kind: str) -> type[Any]:
    """A user's subclass, defined after :func:`jobtelemetry.instrument`."""

    class Late(CLASSES[kind.removeprefix("Late")]):  # type: ignore[misc]
        def handle_job_success(self, *args: Any, **kwargs: Any) -> Any:
            return super().handle_job_success(*args, **kwargs)

    return Late


def work_pool(url: str, number: int, environ: dict[str, str]) -> None:
    """Be an instrumented ``WorkerPool``."""
    os.environ.update(environ)
    import jobtelemetry

    jobtelemetry.instrument()
    WorkerPool(["default"], connection=Redis.from_url(url), num_workers=number).start()
