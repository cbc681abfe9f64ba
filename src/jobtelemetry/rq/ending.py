"""An execution ends: which of RQ's ways it took, and who is told.

RQ has three: the job succeeded, it asked to be run again, it failed. Each hook here notes what really happened, lets
RQ do its part, in whose transaction :mod:`jobtelemetry.rq.recording` puts the record, and then tells the sinks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rq.job import Job
from rq.worker import Worker
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.outcomes import Cancel, Discard, Ending, State
from jobtelemetry.ratelimit import detect
from jobtelemetry.rq import cancel, labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.parent import horse_said, tell_parent
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.run import Run, current_execution, ending, new_run, runs_of, verdict_of
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.record import COUNTED, LATE

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]


class EndingHooks:
    """The hooks of ``BaseWorker`` that RQ calls at the end of an execution."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place for every worker class."""
        patches.wrap(BaseWorker, "handle_exception", self.handle_exception)
        patches.wrap(BaseWorker, "handle_job_success", self.handle_job_success)
        patches.wrap(BaseWorker, "handle_job_retry", self.handle_job_retry)
        patches.wrap(BaseWorker, "handle_job_failure", self.handle_job_failure)
        # Up to 2.50 or so, sentry_sdk puts its own on the subclass; if it came first, ours would be passed by.
        patches.wrap(Worker, "handle_exception", self.handle_exception)

    def handle_exception(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The exception that ends the execution; a ``Cancel`` is none, to RQ's log and handlers."""
        with self._runtime.fence("classify"):
            job, *exc_info = args
            error = exc_info[1] if len(exc_info) > 1 else None
            if isinstance(error, Cancel) and error is verdict_of(job):
                return None
            if run := runs_of(worker).get(job.id):
                run.error = error
                run.rate_limit = detect(error)
        return wrapped(*args, **kwargs)

    def handle_job_success(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned."""
        run = None
        with self._runtime.fence("classify"):
            run = self._run(worker, wrapped, args, kwargs)
            run.begin_transaction(Ending.RETURNED)
            run.repeats_left = argument(wrapped, args, kwargs, "job").repeats_left
        with ending(run):
            result = wrapped(*args, **kwargs)
        return self._then_tell(worker, run, result)

    def handle_job_retry(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned a ``Retry``; beyond its maximum that is a failure."""
        run = None
        with self._runtime.fence("classify"):
            job: Job = argument(wrapped, args, kwargs, "job")
            most = argument(wrapped, args, kwargs, "retry").max
            exhausted = bool(job.number_of_retries and job.number_of_retries >= most)
            run = self._run(worker, wrapped, args, kwargs)
            run.begin_transaction(
                Ending.RETRIES_EXHAUSTED if exhausted else Ending.RETRY_RETURNED, will_retry=not exhausted
            )
        with ending(run):
            result = wrapped(*args, **kwargs)
        return self._then_tell(worker, run, result)

    def handle_job_failure(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """Everything else, also a horse that died, a job that was stopped or never got as far as running."""
        run = end_as_cancelled = None
        with self._runtime.fence("classify"):  # what the job chose holds even if nothing can be counted
            job: Job = argument(wrapped, args, kwargs, "job")
            verdict = verdict_of(job)
            if isinstance(verdict, Discard) and job.retries_left:
                job.retries_left = 0
            if isinstance(verdict, Cancel):
                execution = argument(wrapped, args, kwargs, "execution")
                end_as_cancelled = partial(cancel.end_execution, worker, job, execution, verdict, self._runtime)
        with self._runtime.fence("label"):
            if isinstance(worker, Worker) and not worker.is_horse:
                labels.learn(job)  # only the horse has loaded the job
        with self._runtime.fence("classify"):
            run = self._run(worker, wrapped, args, kwargs)
            if horse_said(run, worker).get("state") == State.CANCELLED.value:
                return None  # it died after RQ had been told; RQ would now fail the job
            if run.error is not None:
                end_as_cancelled = None  # something else has gone wrong since
            if end_as_cancelled is not None:
                run.error = verdict
                run.begin_transaction(Ending.CANCELLED)
            else:
                self._begin_failure(worker, job, run)
        with ending(run):
            if end_as_cancelled is None or not end_as_cancelled():
                with self._runtime.fence("classify"):
                    if end_as_cancelled is not None and run is not None:
                        run.begin_transaction(Ending.RAISED, will_retry=bool(job.should_retry))
                wrapped(*args, **kwargs)
        self._then_tell(worker, run, None)
        if run is not None and run.ending is Ending.STUCK:
            runs_of(worker).pop(run.start.job_id, None)  # RQ's maintenance goes on with the next job
        return None

    def _begin_failure(self, worker: BaseWorker, job: Job, run: Run) -> None:
        verdict = verdict_of(job)
        if worker._stopped_job_id == job.id:
            run.begin_transaction(Ending.STOPPED)
            return
        in_its_process = worker.is_horse or run.pipe is None
        if run.error is None and in_its_process and run.ending is not Ending.RETRIES_EXHAUSTED:
            run.error = sys.exc_info()[1]  # of a worker class whose own handle_exception does not call RQ's
            run.rate_limit = detect(run.error)
        if not run.start.execution_id:
            kind = Ending.STUCK
        elif run.error is not None:
            kind = Ending.DISCARDED if run.error is verdict else Ending.RAISED
        elif run.ending is Ending.RETRIES_EXHAUSTED:
            kind = Ending.RETRIES_EXHAUSTED  # up to RQ 2.12, handle_job_retry comes here
        else:
            waits = isinstance(worker, Worker) and not worker.is_horse  # the parent of a horse
            died = Ending.HORSE_EXITED if run.exited else Ending.HORSE_KILLED
            kind = died if waits else Ending.RAISED
        run.begin_transaction(kind, will_retry=bool(job.should_retry))

    def _run(self, worker: BaseWorker, wrapped: Wrapped, args: Args, kwargs: Kwargs) -> Run:
        """The run of a job; one without an execution where RQ never got as far as creating one."""
        job: Job = argument(wrapped, args, kwargs, "job")
        runs = runs_of(worker)
        if job.id not in runs:
            execution = argument(wrapped, args, kwargs, "execution")
            if execution is None and worker.get_state() == WorkerStatus.BUSY:
                execution = current_execution(worker, job)
            # With one, our own start went wrong, or the job itself has instrumented its worker.
            runs[job.id] = new_run(
                job,
                worker.name,
                "" if execution is None else str(execution.id),
                self._runtime.config.source_label,
                started_at=None if execution is None else execution.created_at.timestamp(),
            )
        return runs[job.id]

    def _then_tell(self, worker: BaseWorker, run: Run | None, result: Any) -> Any:
        """Tell the sinks of an ending that we counted, and the parent that it need not ask."""
        with self._runtime.fence("tell"):
            if run is not None and run.event is not None:
                if run.answer == COUNTED and not run.told:
                    run.told = True  # up to RQ 2.7, handle_job_retry ends in handle_job_failure
                    self._runtime.tell(run.event)
                if run.pipe is not None and worker.is_horse:
                    tell_parent(run, self._runtime)
                    self._runtime.flush()
                elif run.pipe is None and run.answer != LATE:
                    self._runtime.spans.end(run, run.event)
        return result
