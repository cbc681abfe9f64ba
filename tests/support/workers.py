"""Worker processes: what :class:`support.nursery.Nursery` runs in them."""

from __future__ import annotations

import os
import signal
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from rq import SimpleWorker, SpawnWorker, Worker
from rq.worker_pool import WorkerPool

from support import jobs


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
        DiesBeforeTheExecution,
        DiesAfterTheExecution,
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
    exception_handler: bool = False,
    retries: int | None = None,
    **options: Any,
) -> None:
    """Be an RQ worker.

    Args:
        kind: One of :data:`CLASSES`.
        environ: Further environment variables, for the worker and its horses.
        retries: How often the connection tries again after an error, at once; redis-py's own way by default.
        options: Options of the worker class.
    """
    os.environ.update(environ)
    if instrumented:
        import jobtelemetry

        jobtelemetry.instrument()
    if exception_handler:
        options["exception_handlers"] = [jobs.noted_exception]
    retry = {} if retries is None else {"retry": Retry(ConstantBackoff(0.01), retries)}
    connection = Redis.from_url(url, **retry)
    worker = (CLASSES.get(kind) or _defined_late(kind))(queues, name=name, connection=connection, **options)
    worker.work(burst=burst, with_scheduler=with_scheduler, logging_level=logging_level)


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
