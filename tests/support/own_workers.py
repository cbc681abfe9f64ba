"""Worker, queue and job classes of the kinds that applications write for themselves, and the jobs that meet them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

from rq import Queue, SimpleWorker, Worker
from rq.job import Job, JobStatus
from rq.version import VERSION

from jobtelemetry import Cancel, Discard
from support import jobs

RQ_3 = int(VERSION.partition(".")[0]) >= 3


def _perform(worker: Any, job: Any, queue: Any, execution: Any) -> Any:
    return worker.perform_job(job, queue, *([execution] if RQ_3 else []))


class OnlyPerforms(SimpleWorker):
    """Its ``execute_job`` calls ``perform_job`` and nothing else, which RQ 2 allows."""

    def execute_job(self, job: Any, queue: Any) -> Any:
        return self.perform_job(job, queue)


class OnlyPerformsForking(Worker):
    """So does this one, of a forking kind."""

    def execute_job(self, job: Any, queue: Any) -> Any:
        return self.perform_job(job, queue)


class _FailsByItself:
    """Fails jobs by itself, with RQ's own parts in a transaction of its own, and counts as RQ does."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> None:
        with self.connection.pipeline() as pipeline:
            job.set_status(JobStatus.FAILED, pipeline=pipeline)
            self.cleanup_execution(job, pipeline=pipeline)
            job.failed_job_registry.add(job, ttl=3600, pipeline=pipeline)
            self.increment_failed_job_count(pipeline)
            pipeline.execute()


class FailsByItself(_FailsByItself, Worker):
    """With a work-horse."""


class FailsByItselfHere(_FailsByItself, SimpleWorker):
    """Without one."""


class _FailsUncounted:
    """Fails jobs by itself; RQ's execution and RQ's count it leaves alone."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> None:
        job.set_status(JobStatus.FAILED)


class FailsUncounted(_FailsUncounted, Worker):
    """With a work-horse."""


class FailsUncountedHere(_FailsUncounted, SimpleWorker):
    """Without one."""


class _DeletesTheJob:
    """Deletes every job when it is through with it, and calls nothing more of RQ's."""

    def perform_job(self: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            job.perform()
        except Exception:
            return False
        finally:
            job.delete()
        return True


class DeletesTheJob(_DeletesTheJob, Worker):
    """With a work-horse."""


class DeletesTheJobHere(_DeletesTheJob, SimpleWorker):
    """Without one."""


class WrappingJob(Job):
    """Its ``perform`` does not call RQ's, as one that wraps the function in an application's context."""

    def perform(self) -> Any:
        self.connection.persist(self.key)
        self._result = self._execute()
        return self._result


class CallingJob(Job):
    """Its ``perform`` does."""

    def perform(self) -> Any:
        return super().perform()


class HasWrappingJobs(Worker):
    """Of that job class."""

    job_class = WrappingJob


class HasWrappingJobsHere(SimpleWorker):
    """Of that job class."""

    job_class = WrappingJob


class HasCallingJobs(Worker):
    """Of the other one."""

    job_class = CallingJob


class PrefixedQueue(Queue):
    """Its keys begin otherwise."""

    redis_queue_namespace_prefix = "cinema:queue:"
    redis_queues_keys = "cinema:queues"


class PrefixedWorker(Worker):
    """Its keys too."""

    redis_worker_namespace_prefix = "cinema:worker:"
    redis_workers_keys = "cinema:workers"
    queue_class = PrefixedQueue


class PrefixedWorkerHere(SimpleWorker):
    """Its keys too, without a work-horse."""

    redis_worker_namespace_prefix = "cinema:worker:"
    redis_workers_keys = "cinema:workers"
    queue_class = PrefixedQueue


class InPlaceWorker(Worker):
    """The horse is the process of the worker itself."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        self._is_horse = True
        try:
            _perform(self, job, queue, None if not RQ_3 else _execution(self, job))
        finally:
            self._is_horse = False

    def monitor_work_horse(self, *_: Any) -> None:
        """Nothing to wait for."""


def _execution(worker: Any, job: Any) -> Any:
    return next(one for one in worker.executions.values() if one.job_id == job.id)


class OwnForkWorker(Worker):
    """Forks by itself."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        os.environ["RQ_JOB_ID"] = job.id
        pid = os.fork()
        if pid == 0:
            os.setpgrp()
            self.main_work_horse(job, queue)
            os._exit(0)
        self._horse_pid = pid


class MultiprocessingWorker(Worker):
    """Its horse is a process of ``multiprocessing``."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        os.environ["RQ_JOB_ID"] = job.id
        process = get_context("fork").Process(target=self._be_horse, args=(job, queue))
        process.start()
        self._horse_pid = process.pid or 0

    def _be_horse(self, job: Any, queue: Any) -> None:
        os.setpgrp()
        self.main_work_horse(job, queue)

    def wait_for_horse(self) -> Any:
        try:
            return super().wait_for_horse()
        except ChildProcessError:
            return None, None, None


#: By name, for :mod:`support.workers`.
OWN: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        OnlyPerforms,
        OnlyPerformsForking,
        FailsByItself,
        FailsByItselfHere,
        FailsUncounted,
        FailsUncountedHere,
        DeletesTheJob,
        DeletesTheJobHere,
        HasWrappingJobs,
        HasWrappingJobsHere,
        HasCallingJobs,
        PrefixedWorker,
        PrefixedWorkerHere,
        InPlaceWorker,
        OwnForkWorker,
        MultiprocessingWorker,
    )
}


# what they meet


def daemonise(closing: bool = False) -> str:
    """Leave the work-horse and go on in its grandchild, which ends the job."""
    jobs.note()
    for _ in range(2):
        if os.fork():
            os._exit(0)
        os.setsid()
    if closing:
        os.closerange(3, 256)
    return "done"


def daemonise_and_fail() -> None:
    """The same, and fail there."""
    daemonise()
    raise ValueError("as told")


def _raising() -> float:
    raise RuntimeError("no clock")


#: What jobs leave ``time.time`` as.
CLOCKS: dict[str, Callable[[], float]] = {
    "0": lambda: 0.0,
    "nan": lambda: float("nan"),
    "milliseconds": lambda: 1e12,
    "the year 2096": lambda: 4e9,
    "negative": lambda: -1.0,
    "raising": _raising,
}


def leave_clock(name: str, then: str = "return") -> None:
    """Leave ``time.time`` mocked, and end."""
    jobs.note()
    time.time = CLOCKS[name]
    if then == "cancel":
        raise Cancel("later")
    if then == "fail":
        raise ValueError("as told")


def put_back(job: Any, *_: Any) -> bool:
    """An exception handler that puts a job back on its queue, twice."""
    job.meta["put_back"] = job.meta.get("put_back", 0) + 1
    job.save_meta()
    if job.meta["put_back"] > 2:
        return True
    Queue(job.origin, connection=job.connection).enqueue_job(job)
    return False


def put_back_once(job: Any, connection: Any, *_: Any) -> None:
    """A failure callback that does, once."""
    if job.meta.get("put_back"):
        return
    job.meta["put_back"] = 1
    job.save_meta()
    Queue(job.origin, connection=connection).enqueue_job(job)


# for job classes under which RQ does not know the current job


def quietly_complete() -> str:
    """Complete."""
    return "done"


def quietly_cancel() -> None:
    """Raise ``Cancel``."""
    raise Cancel("movie_not_matched")


def quietly_return_cancel() -> Cancel:
    """Return it."""
    return Cancel("movie_not_matched")


def quietly_discard() -> None:
    """Raise ``Discard``."""
    raise Discard("bad_payload")
