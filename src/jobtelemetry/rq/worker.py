"""The way of one execution through an RQ worker: started, performed, classified, recorded, told.

Each hook does RQ's part unchanged and ours inside a fence. Ours rides in RQ's own transactions, so an ending is counted
exactly when RQ changes the job's state.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rq.job import Job
from rq.worker import Worker
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Cancel, Discard, Ending, State
from jobtelemetry.ratelimit import detect
from jobtelemetry.rq import cancel
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.parent import horse_said, tell_parent
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import Piggyback, piggyback, write_own_errors
from jobtelemetry.rq.run import Run, new_run, runs_of, verdict_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.keys import JOB_REPORT_FIELD, WORKER_RECORDED_FIELD
from jobtelemetry.store.record import COUNTED, LATE, append_finish, append_start, append_stuck, finished, started

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

_STARTING = "_jobtelemetry_starting"


class ExecutionHooks:
    """The hooks of ``BaseWorker``, in the order in which an execution meets them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place for every worker class."""
        for name, hook in (
            ("prepare_execution", self.prepare_execution),
            ("set_state", self.set_state),
            ("handle_exception", self.handle_exception),
            ("handle_job_success", self.handle_job_success),
            ("handle_job_retry", self.handle_job_retry),
            ("handle_job_failure", self.handle_job_failure),
            ("increment_successful_job_count", self.increment_job_count),
            ("increment_failed_job_count", self.increment_job_count),
            ("cleanup_execution", self.cleanup_execution),
            ("perform_job", self.perform_job),
        ):
            patches.wrap(BaseWorker, name, hook)
        # Up to 2.50 or so, sentry_sdk puts its own on the subclass; if it came first, ours would be passed by.
        patches.wrap(Worker, "handle_exception", self.handle_exception)

    # started

    def prepare_execution(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ creates an execution; our entry in the running table goes into the same transaction."""
        with self._runtime.fence("start"):
            runs_of(worker).clear()
            worker.__dict__[_STARTING] = argument(wrapped, args, kwargs, "job")
        try:
            return wrapped(*args, **kwargs)
        finally:
            worker.__dict__.pop(_STARTING, None)

    def set_state(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ's last command in the transaction that creates an execution."""
        result = wrapped(*args, **kwargs)
        job = worker.__dict__.get(_STARTING)
        if job is not None:
            with self._runtime.fence("start"):
                pipeline = argument(wrapped, args, kwargs, "pipeline")
                if pipeline is not None and worker.get_state() == WorkerStatus.BUSY:
                    self._append_start(worker, job, pipeline)
        return result

    def _append_start(self, worker: BaseWorker, job: Job, pipeline: Any) -> None:
        run = new_run(job, worker.name, _current_execution_id(worker, job), self._runtime.config.source_label)
        runs_of(worker)[job.id] = run
        with self._runtime.fence("trace"):
            self._runtime.spans.start(run, job)
        if worker.__dict__.get(OFF):
            return

        def on_reply(reply: Any) -> None:
            said = started(reply)
            run.attempt, run.in_table = said.attempt, not said.fault
            run.max_attempts = said.attempt + run.start.retries_left
            if said.fault:
                self._runtime.note_error("start", said.fault)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_start(
                pipe, self._runtime.keys, run.start, job_key=job.key, limits=self._runtime.limits
            ),
            on_reply,
        )

    # performed; what the job says is noted in Job.perform, in jobtelemetry.rq.job

    def perform_job(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The job runs, in the work-horse where there is one; its span is current."""
        entered = None
        with self._runtime.fence("trace"):
            job: Job = argument(wrapped, args, kwargs, "job")
            if run := runs_of(worker).get(job.id):
                entered = self._runtime.spans.enter(run, job, in_horse=worker.is_horse)
        try:
            return wrapped(*args, **kwargs)
        finally:
            if entered is not None:
                with self._runtime.fence("trace"):
                    self._runtime.spans.leave(entered, in_horse=worker.is_horse)
            with self._runtime.fence("flush"):
                if worker.is_horse and not worker.__dict__.get(OFF):
                    write_own_errors(worker.connection, self._runtime)  # what the parent could not be told

    # classified

    def handle_exception(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The exception that ends the execution; a ``Cancel`` is none, to RQ's log and handlers."""
        with self._runtime.fence("classify"):
            job, *exc_info = args
            error = exc_info[1] if len(exc_info) > 1 else None
            if isinstance(error, Cancel) and error is verdict_of(job):
                return None
            if run := runs_of(worker).get(job.id):
                run.error, run.rate_limit = error, detect(error)
        return wrapped(*args, **kwargs)

    def handle_job_success(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned."""
        run = None
        with self._runtime.fence("classify"):
            run = self._run(worker, wrapped, args, kwargs)
            run.begin_transaction(Ending.RETURNED)
            run.repeats_left = argument(wrapped, args, kwargs, "job").repeats_left
        return self._then_tell(worker, run, wrapped(*args, **kwargs))

    def handle_job_retry(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned a ``Retry``; beyond its maximum that is a failure."""
        run = None
        with self._runtime.fence("classify"):
            job: Job = argument(wrapped, args, kwargs, "job")
            most = argument(wrapped, args, kwargs, "retry").max
            exhausted = bool(job.number_of_retries and job.number_of_retries >= most)
            run = self._run(worker, wrapped, args, kwargs)
            ending = Ending.RETRIES_EXHAUSTED if exhausted else Ending.RETRY_RETURNED
            run.begin_transaction(ending, will_retry=not exhausted)
        return self._then_tell(worker, run, wrapped(*args, **kwargs))

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
        if end_as_cancelled is None or not end_as_cancelled():
            with self._runtime.fence("classify"):
                if end_as_cancelled is not None and run is not None:
                    run.begin_transaction(Ending.RAISED, will_retry=bool(job.should_retry))
            wrapped(*args, **kwargs)
        return self._then_tell(worker, run, None)

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
            ending = Ending.STUCK
        elif run.error is not None:
            ending = Ending.DISCARDED if run.error is verdict else Ending.RAISED
        elif run.ending is Ending.RETRIES_EXHAUSTED:
            ending = Ending.RETRIES_EXHAUSTED  # up to RQ 2.12, handle_job_retry comes here
        else:
            waits = isinstance(worker, Worker) and not worker.is_horse  # the parent of a horse
            ending = Ending.HORSE_KILLED if waits else Ending.RAISED
        run.begin_transaction(ending, will_retry=bool(job.should_retry))

    def _run(self, worker: BaseWorker, wrapped: Wrapped, args: Args, kwargs: Kwargs) -> Run:
        """The run of a job; one without an execution where RQ never got as far as creating one."""
        job: Job = argument(wrapped, args, kwargs, "job")
        runs = runs_of(worker)
        if job.id not in runs:
            id_ = ""
            if worker.get_state() == WorkerStatus.BUSY:  # our own start went wrong
                execution = argument(wrapped, args, kwargs, "execution")
                id_ = _current_execution_id(worker, job) if execution is None else str(execution.id)
            runs[job.id] = new_run(job, worker.name, id_, self._runtime.config.source_label)
        return runs[job.id]

    # recorded

    def increment_job_count(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ counts an ending for its worker; the audit's count beside it must move with it."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("audit"):
            pipeline = argument(wrapped, args, kwargs, "pipeline")
            ending = [run for run in runs_of(worker).values() if run.ending is not None]
            for run in ending if pipeline is not None else ():
                if not run.appended:
                    run.rq_counts += 1
                elif not run.answer:
                    _append_recorded(piggyback(pipeline, self._runtime), worker)
                    run.counted_after += 1
                elif run.recorded:  # up to RQ 2.12, in the transaction before
                    _append_recorded(piggyback(pipeline, self._runtime), worker)
        return result

    def cleanup_execution(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ removes the execution, in the transaction of every ending; there our record goes."""
        execution = worker.__dict__.get("execution")  # up to RQ 2.12
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("record"):
            job: Job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id)
            if run is not None and run.ending is not None and not worker.__dict__.get(OFF):
                self._append_record(worker, job, run, argument(wrapped, args, kwargs, "pipeline"), execution)
        return result

    def _append_record(self, worker: BaseWorker, job: Job, run: Run, pipeline: Any, execution: Any) -> None:
        event = run.to_event(job)
        counted, run.rq_counts = run.rq_counts, 0
        common: dict[str, Any] = {
            "rq_worker_key": worker.key,
            "limits": self._runtime.limits,
            "counted_by_rq": counted,
        }

        def command(pipe: Any) -> Any:
            if run.ending is Ending.STUCK:
                return append_stuck(pipe, self._runtime.keys, event, **common)
            return append_finish(pipe, self._runtime.keys, event, job_key=job.key, token=run.in_table, **common)

        def on_reply(reply: Any) -> None:
            run.answer, fault = finished(reply)
            if fault:
                self._runtime.note_error("record", fault)
            if run.counted_after and not run.recorded:  # it must show as unrecorded
                worker.connection.hincrby(worker.key, WORKER_RECORDED_FIELD, -run.counted_after)

        def on_rebuild() -> None:
            """Up to RQ 2.12, RQ forgets both while it builds the transaction, and would leave the execution behind."""
            if execution is not None:
                worker.execution = execution
            job.repeats_left = run.repeats_left

        run.event, run.answer, run.counted_after = event, "", 0
        run.appended = piggyback(pipeline, self._runtime).append(command, on_reply, on_rebuild)

    # told

    def _then_tell(self, worker: BaseWorker, run: Run | None, result: Any) -> Any:
        """Tell the sinks of an ending that we counted, and the parent that it need not ask."""
        with self._runtime.fence("tell"):
            if run is not None and run.event is not None:
                if run.answer == COUNTED and not run.told:
                    run.told = True  # up to RQ 2.7, handle_job_retry ends in handle_job_failure
                    self._tell(worker, run, run.event)
                if run.pipe is not None and worker.is_horse:
                    tell_parent(run, self._runtime)
                    self._runtime.flush()
                elif run.pipe is None and run.answer != LATE:
                    self._runtime.spans.end(run, run.event)
        return result

    def _tell(self, worker: BaseWorker, run: Run, event: ExecutionEvent) -> None:
        with self._runtime.fence("label"):
            if run.pipe is not None and not worker.is_horse:  # only the horse has loaded the job
                noted = worker.connection.hget(self._runtime.keys.job(event.job_id), JOB_REPORT_FIELD)
                event = replace(event, report=noted.decode()) if isinstance(noted, bytes) else event
        self._runtime.tell(event)


def _current_execution_id(worker: BaseWorker, job: Job) -> str:
    """RQ's id of the execution that it is creating; RQ 3 keeps several by id, RQ 2 one."""
    executions = getattr(worker, "executions", None)
    candidates = reversed(executions.values()) if executions is not None else [worker.execution]
    return next(str(execution.id) for execution in candidates if execution and execution.job_id == job.id)


def _append_recorded(attached: Piggyback, worker: BaseWorker) -> None:
    attached.append(lambda pipe: pipe.hincrby(worker.key, WORKER_RECORDED_FIELD, 1))
