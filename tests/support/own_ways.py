"""Worker, queue and job classes that applications write for themselves, and jobs that leave odd things behind."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from typing import Any

from rq import Queue, SimpleWorker, Worker, get_current_job
from rq import job as rq_job
from rq.job import Job, JobStatus
from rq.timeouts import JobTimeoutException
from rq.utils import now

from jobtelemetry import Cancel, Discard
from support.jobs import _meet, note

RQ_3 = int(metadata.version("rq").split(".")[0]) >= 3


# worker classes that run jobs in their own way


class PerformsOnly(Worker):
    """Calls ``perform_job`` and nothing else, as RQ 2 allows."""

    def execute_job(self, job: Any, queue: Any) -> Any:
        return self.perform_job(job, queue)


class PerformsOnlySimply(SimpleWorker):
    """So does this one, of a kind without work-horses."""

    def execute_job(self, job: Any, queue: Any) -> Any:
        return self.perform_job(job, queue)


class InPlace(Worker):
    """Is its own work-horse."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        self._is_horse = True
        try:
            self.perform_job(job, queue, *_execution_of(self))
        finally:
            self._is_horse = False

    def monitor_work_horse(self, *args: Any) -> None:
        """There is nothing to wait for."""


class ByMultiprocessing(Worker):
    """Starts its work-horse by ``multiprocessing``."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        process = multiprocessing.get_context("fork").Process(target=self.main_work_horse, args=(job, queue))
        process.start()
        self._horse_pid = process.pid


class ByMultiprocessingInGroup(Worker):
    """So does this one, as RQ does: in a process group of its own; and ``multiprocessing`` may have waited for it."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        os.environ["RQ_JOB_ID"] = job.id
        process = multiprocessing.get_context("fork").Process(target=self._be_horse, args=(job, queue))
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


class OwnFork(Worker):
    """Forks by itself."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        os.environ["RQ_JOB_ID"] = job.id
        pid = os.fork()
        if pid == 0:
            os.setpgrp()
            self.main_work_horse(job, queue)
            os._exit(0)
        self._horse_pid = pid


def _execution_of(worker: Any) -> tuple[Any, ...]:
    """What ``perform_job`` takes besides job and queue."""
    return (worker.execution,) if RQ_3 else ()


# and that deal with endings in their own way


class _HandlesFailures:
    """Gives up or tries once more without RQ's ``handle_job_failure``."""

    cleans_up = True
    counts = True

    def handle_job_failure(self, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        worker: Any = self
        again = bool(job.meta.pop("again", 0))
        with worker.connection.pipeline() as pipe:
            job.set_status(JobStatus.QUEUED if again else JobStatus.FAILED, pipeline=pipe)
            job.save(pipeline=pipe, include_meta=True)
            if self.cleans_up:
                execution = {"execution": options.get("execution")} if RQ_3 else {}
                worker.cleanup_execution(job, pipeline=pipe, **execution)
            if self.counts:
                worker.increment_failed_job_count(pipe)
            if again:
                queue.push_job_id(job.id, pipeline=pipe)
            pipe.execute()


class CleansAndCounts(_HandlesFailures, Worker):
    """Cleans the execution up, and counts it."""


class CleansOnly(_HandlesFailures, Worker):
    """Cleans it up, and does not count."""

    counts = False


class CountsOnly(_HandlesFailures, Worker):
    """Counts, and leaves the execution behind."""

    cleans_up = False


class SaysOnly(_HandlesFailures, Worker):
    """Sets the job's status, and nothing else."""

    cleans_up = counts = False


class CleansAndCountsSimply(_HandlesFailures, SimpleWorker):
    """As ``CleansAndCounts``, without a work-horse."""


class CleansOnlySimply(_HandlesFailures, SimpleWorker):
    """As ``CleansOnly``."""

    counts = False


class CountsOnlySimply(_HandlesFailures, SimpleWorker):
    """As ``CountsOnly``."""

    cleans_up = False


class SaysOnlySimply(_HandlesFailures, SimpleWorker):
    """As ``SaysOnly``."""

    cleans_up = counts = False


class _FailsByItself:
    """Fails jobs by itself, with RQ's own parts in a transaction of its own, and counts as RQ does."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        with self.connection.pipeline() as pipeline:
            job.set_status(JobStatus.FAILED, pipeline=pipeline)
            self.cleanup_execution(job, pipeline=pipeline)
            job.failed_job_registry.add(job, ttl=3600, pipeline=pipeline)
            self.increment_failed_job_count(pipeline)
            pipeline.execute()


class FailsByItself(_FailsByItself, Worker):
    """With a work-horse."""


class FailsByItselfSimply(_FailsByItself, SimpleWorker):
    """Without one."""


class _FailsUncounted:
    """Fails jobs by itself; RQ's execution and RQ's count it leaves alone."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        job.set_status(JobStatus.FAILED)


class FailsUncounted(_FailsUncounted, Worker):
    """With a work-horse."""


class FailsUncountedSimply(_FailsUncounted, SimpleWorker):
    """Without one."""


class _RepeatsByItself:
    """Puts every job back once that has succeeded, without RQ's ``handle_job_success``; the execution stays behind."""

    def handle_job_success(self: Any, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        again = not job.meta.get("repeated")
        job.meta["repeated"] = 1
        with self.connection.pipeline() as pipe:
            job.set_status(JobStatus.QUEUED if again else JobStatus.FINISHED, pipeline=pipe)
            job.save(pipeline=pipe, include_meta=True)
            if again:
                queue.push_job_id(job.id, pipeline=pipe)
            pipe.execute()


class RepeatsByItself(_RepeatsByItself, Worker):
    """With a work-horse."""


class RepeatsByItselfSimply(_RepeatsByItself, SimpleWorker):
    """Without one."""


class _FailsAndDeletes:
    """Fails a job and deletes it at once."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        self.increment_failed_job_count(self.connection)
        job.delete()


class FailsAndDeletes(_FailsAndDeletes, Worker):
    """With a work-horse."""


class FailsAndDeletesSimply(_FailsAndDeletes, SimpleWorker):
    """Without one."""


class _FailsAtFailing:
    """Its way of failing a job has an error of its own, in which RQ's way is taken."""

    def handle_job_failure(self: Any, job: Any, queue: Any, *args: Any, **options: Any) -> None:
        try:
            int("the ticket system is away")
        except ValueError:
            super().handle_job_failure(job, queue, *args, **options)  # type: ignore[misc]


class FailsAtFailing(_FailsAtFailing, Worker):
    """With a work-horse."""


class FailsAtFailingSimply(_FailsAtFailing, SimpleWorker):
    """Without one."""


class _FinishesByItself:
    """Performs a job and gives it its status, and calls nothing more of RQ's."""

    def perform_job(self: Any, job: Any, queue: Any, *args: Any) -> bool:
        self.prepare_job_execution(job, True)
        try:
            job.perform()
        except Exception:
            job.set_status(JobStatus.FAILED)
            return False
        job.set_status(JobStatus.FINISHED)
        return True


class FinishesByItself(_FinishesByItself, Worker):
    """With a work-horse."""


class FinishesByItselfSimply(_FinishesByItself, SimpleWorker):
    """Without one."""


class _PerformsByItself:
    """Calls the job's function itself, and RQ's methods for how it ends."""

    def perform_job(self: Any, job: Any, queue: Any, *executions: Any) -> bool:
        rest = {"execution": executions[0]} if executions else {}
        self.prepare_job_execution(job, True)
        job.started_at = now()
        try:
            with _current(job):
                job.func(*job.args, **job.kwargs)
        except Exception:
            job.ended_at = now()
            self.handle_job_failure(job, queue=queue, exc_string="failed", **rest)
            return False
        job.ended_at = now()
        self.handle_job_success(job, queue, job.started_job_registry, **rest)
        return True


class PerformsByItself(_PerformsByItself, Worker):
    """With a work-horse."""


class PerformsByItselfSimply(_PerformsByItself, SimpleWorker):
    """Without one."""


class _DeletesRashly:
    """Runs a job and nothing else of RQ's, and deletes it; it stays in RQ's intermediate queue."""

    def perform_job(self: Any, job: Any, queue: Any, *args: Any) -> bool:
        try:
            job.perform()
        except Exception:
            return False
        finally:
            job.delete()
        return True


class DeletesRashly(_DeletesRashly, Worker):
    """With a work-horse."""


class DeletesRashlySimply(_DeletesRashly, SimpleWorker):
    """Without one."""


class _DeletesJobs:
    """Runs a job, and deletes it, whatever became of it."""

    def perform_job(self, job: Any, queue: Any, *args: Any) -> bool:
        worker: Any = self
        try:
            worker.prepare_job_execution(job, True)
            with worker.death_penalty_class(job.timeout or 180, JobTimeoutException, job_id=job.id):
                job.perform()
        except Exception:
            return False
        else:
            return True
        finally:
            job.delete()


class DeletesJobs(_DeletesJobs, Worker):
    """With a work-horse."""


class DeletesJobsSimply(_DeletesJobs, SimpleWorker):
    """Without one."""


# with keys of their own


class TheatreQueue(Queue):
    """Its keys in Redis begin otherwise."""

    redis_queue_namespace_prefix = "theatre:queue:"
    redis_queues_keys = "theatre:queues"


class TheatreWorker(Worker):
    """So do those of its RQ workers."""

    redis_worker_namespace_prefix = "theatre:worker:"
    redis_workers_keys = "theatre:workers"
    queue_class = TheatreQueue


class TheatreSimpleWorker(SimpleWorker):
    """The same without a work-horse."""

    redis_worker_namespace_prefix = "theatre:worker:"
    redis_workers_keys = "theatre:workers"
    queue_class = TheatreQueue


# job classes


@contextmanager
def _current(job: Job) -> Iterator[None]:
    """What ``get_current_job`` answers, where ``perform`` is not RQ's."""
    if not RQ_3:
        rq_job._job_stack.push(job)
        yield
        rq_job._job_stack.pop()
        return
    token = rq_job._current_job.set(job)
    yield
    rq_job._current_job.reset(token)


class CallingJob(Job):
    """Its ``perform`` calls RQ's."""

    def perform(self) -> Any:
        return super().perform()


class WrappingJob(Job):
    """Its ``perform`` does what RQ's does, in a context of the application's."""

    def perform(self) -> Any:
        self.connection.persist(self.key)
        with _current(self):
            self._result = self._execute()
        return self._result


class QuietlyWrappingJob(Job):
    """So does this one; RQ then knows no current job."""

    def perform(self) -> Any:
        self.connection.persist(self.key)
        self._result = self._execute()
        return self._result


class HasQuietJobs(Worker):
    """Of that job class."""

    job_class = QuietlyWrappingJob


class HasQuietJobsSimply(SimpleWorker):
    """Of that job class."""

    job_class = QuietlyWrappingJob


class HasCallingJobs(Worker):
    """Of the first one."""

    job_class = CallingJob


class DirectJob(Job):
    """Its ``perform`` calls the function, past everything of RQ's."""

    def perform(self) -> Any:
        with _current(self):
            self._result = self.func(*self.args, **self.kwargs)
        return self._result


# jobs


def daemonise(then: str = "return", closing: bool = False) -> str:
    """Leave as a daemon does: the first process ends at once and in good order, another one goes on with the job."""
    note()
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    if closing:
        os.closerange(3, 256)
    return _meet("job", then)


def return_twice() -> None:
    """Fork, and return from the job in both processes."""
    note()
    child = os.fork()
    if child:
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _raising() -> float:
    raise RuntimeError("no clock")


#: What jobs leave ``time.time`` as: nothing, no number, milliseconds, the year 2096, before 1970, an error.
CLOCKS: dict[str, Callable[[], float]] = {
    **{value: partial(float, value) for value in ("0", "nan", "1e12", "4e9", "-1")},
    "raising": _raising,
}


def leave_clock(clock: str, then: str = "return") -> None:
    """Leave ``time.time`` as a test's mock or a library's patch does, and end as told."""
    note()
    time.time = CLOCKS[clock]
    if then == "cancel":
        raise Cancel("movie_not_matched")
    if then == "fail":
        raise ValueError("as told")


def become(program: str) -> None:
    """Become another program, which ends as it does."""
    note()
    os.execlp(program, program)


def deletes_itself(then: str = "return") -> None:
    """Delete the job it is, and end as told."""
    note()
    job = get_current_job()
    assert job is not None
    job.delete()
    if then == "fail":
        raise ValueError("as told")
    if then == "cancel":
        raise Cancel("movie_not_matched")
    if then == "discard":
        raise Discard("bad_payload")


def fail_with_meta(attempt: int) -> int:
    """Raise before the given attempt, and ask for another one in the way of a worker class of one's own."""
    now = note()
    job = get_current_job()
    assert job is not None
    if now < attempt:
        job.meta["again"] = 1
        raise ValueError("not yet")
    return now


# jobs of classes under which RQ does not know the current job


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


# handlers


def put_back(job: Any, *_: Any) -> bool:
    """An exception handler that puts a job back on its queue, twice."""
    times = job.meta.get("put_back", 0) + 1
    job.meta["put_back"] = times
    job.save_meta()
    if times > 2:
        return True
    Queue(job.origin, connection=job.connection).enqueue_job(job)
    return False


def put_back_on_failure(job: Any, connection: Any, *_: Any) -> None:
    """A failure callback that does."""
    put_back(job)


# a worker whose RQ lacks something


def work_without_monitor(**options: Any) -> None:
    """Be an RQ worker of an RQ that calls ``Worker.monitor_work_horse`` by another name."""
    from support.workers import work

    def execute_job(self: Any, job: Any, queue: Any) -> None:
        execution = self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        self.watch_work_horse(job, queue, *([execution] if RQ_3 else []))
        self.set_state("idle")

    Worker.watch_work_horse = Worker.monitor_work_horse  # type: ignore[attr-defined]
    del Worker.monitor_work_horse
    Worker.execute_job = execute_job  # type: ignore[assignment]
    work(**options)


KINDS = (
    *(PerformsOnly, PerformsOnlySimply, InPlace, ByMultiprocessing, ByMultiprocessingInGroup, OwnFork),
    *(CleansAndCounts, CleansOnly, CountsOnly, SaysOnly),
    *(CleansAndCountsSimply, CleansOnlySimply, CountsOnlySimply, SaysOnlySimply),
    *(FailsByItself, FailsByItselfSimply, FailsUncounted, FailsUncountedSimply),
    *(RepeatsByItself, RepeatsByItselfSimply, FailsAndDeletes, FailsAndDeletesSimply),
    *(FailsAtFailing, FailsAtFailingSimply, FinishesByItself, FinishesByItselfSimply),
    *(DeletesJobs, DeletesJobsSimply, DeletesRashly, DeletesRashlySimply, PerformsByItself, PerformsByItselfSimply),
    *(HasQuietJobs, HasQuietJobsSimply, HasCallingJobs, TheatreWorker, TheatreSimpleWorker),
)
