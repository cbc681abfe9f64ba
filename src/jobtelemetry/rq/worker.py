"""The way of one execution through an RQ worker: started, performed, classified, recorded, told.

Each hook does RQ's part unchanged and ours inside a fence. Ours rides in RQ's own transactions, so an ending is counted
exactly when RQ changes the job's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.outcomes import Cancel, Discard, Ending, State
from jobtelemetry.rq import cancel
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.parent import horse_said, tell_parent
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import Piggyback, piggyback
from jobtelemetry.rq.run import Run, new_run, runs_of, verdict_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.keys import WORKER_RECORDED_FIELD
from jobtelemetry.store.record import COUNTED, append_finish, append_start, append_stuck, started

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
        ):
            patches.wrap(BaseWorker, name, hook)

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
        if worker.__dict__.get(OFF):
            return

        def on_reply(reply: Any) -> None:
            said = started(reply)
            run.attempt, run.in_table = said.attempt, not said.fault
            run.max_attempts = said.attempt + run.start.retries_left
            if said.fault:
                self._runtime.note_error("start", said.fault, number=0)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_start(
                pipe, self._runtime.keys, run.start, job_key=job.key, limits=self._runtime.limits
            ),
            on_reply,
        )

    # performed: Job.perform, in jobtelemetry.rq.job

    # classified

    def handle_exception(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The exception that ends the execution; a ``Cancel`` is none, to RQ's log and handlers."""
        with self._runtime.fence("classify"):
            job, *exc_info = args
            error = exc_info[1] if len(exc_info) > 1 else None
            if isinstance(error, Cancel) and error is verdict_of(job):
                return None
            if run := runs_of(worker).get(job.id):
                run.error = error
        return wrapped(*args, **kwargs)

    def handle_job_success(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned."""
        run = None
        with self._runtime.fence("classify"):
            run = self._run(worker, argument(wrapped, args, kwargs, "job"))
            run.begin_transaction(Ending.RETURNED)
        return self._then_tell(worker, run, wrapped(*args, **kwargs))

    def handle_job_retry(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The function returned a ``Retry``; beyond its maximum that is a failure."""
        run = None
        with self._runtime.fence("classify"):
            job: Job = argument(wrapped, args, kwargs, "job")
            most = argument(wrapped, args, kwargs, "retry").max
            exhausted = bool(job.number_of_retries and job.number_of_retries >= most)
            run = self._run(worker, job)
            ending = Ending.RETRIES_EXHAUSTED if exhausted else Ending.RETRY_RETURNED
            run.begin_transaction(ending, will_retry=not exhausted)
        return self._then_tell(worker, run, wrapped(*args, **kwargs))

    def handle_job_failure(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """Everything else, also a horse that died, a job that was stopped or never got as far as running."""
        run = end_as_cancelled = None
        with self._runtime.fence("classify"):
            job: Job = argument(wrapped, args, kwargs, "job")
            run = self._run(worker, job)
            verdict = verdict_of(job)
            if horse_said(run, worker).get("state") == State.CANCELLED.value:
                return None  # it died after RQ had been told; RQ would now fail the job
            if isinstance(verdict, Cancel) and run.error is None:
                run.error = verdict
                run.begin_transaction(Ending.CANCELLED)
                execution = argument(wrapped, args, kwargs, "execution")
                end_as_cancelled = partial(cancel.end_execution, worker, job, execution, verdict, self._runtime)
            else:
                self._begin_failure(worker, job, run)
        do = end_as_cancelled or partial(wrapped, *args, **kwargs)
        return self._then_tell(worker, run, do())

    def _begin_failure(self, worker: BaseWorker, job: Job, run: Run) -> None:
        verdict = verdict_of(job)
        if isinstance(verdict, Discard) and job.retries_left:
            job.retries_left = 0
        if worker._stopped_job_id == job.id:
            run.begin_transaction(Ending.STOPPED)
            return
        if not run.start.execution_id:
            ending = Ending.STUCK
        elif run.error is not None:
            ending = Ending.DISCARDED if run.error is verdict else Ending.RAISED
        elif run.ending is Ending.RETRIES_EXHAUSTED:
            ending = Ending.RETRIES_EXHAUSTED  # up to RQ 2.12, handle_job_retry comes here
        else:
            ending = Ending.HORSE_KILLED if run.pipe and not worker.is_horse else Ending.RAISED
        run.begin_transaction(ending, will_retry=bool(job.should_retry))

    def _run(self, worker: BaseWorker, job: Job) -> Run:
        """The run of a job; one without an execution where RQ never got as far as creating one."""
        runs = runs_of(worker)
        if job.id not in runs:
            runs[job.id] = new_run(job, worker.name, "", self._runtime.config.source_label)
        return runs[job.id]

    # recorded

    def increment_job_count(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ counts an ending for its worker; the audit's count beside it must move with it."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("audit"):
            pipeline = argument(wrapped, args, kwargs, "pipeline")
            ending = [run for run in runs_of(worker).values() if run.ending is not None]
            for run in ending if pipeline is not None else ():
                if run.appended:  # in this transaction or, up to RQ 2.12, in the one before
                    _append_recorded(piggyback(pipeline, self._runtime), worker)
                else:
                    run.rq_counts += 1
        return result

    def cleanup_execution(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ removes the execution, in the transaction of every ending; there our record goes."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("record"):
            job: Job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id)
            if run is not None and run.ending is not None and not worker.__dict__.get(OFF):
                self._append_record(worker, job, run, argument(wrapped, args, kwargs, "pipeline"))
        return result

    def _append_record(self, worker: BaseWorker, job: Job, run: Run, pipeline: Any) -> None:
        event = run.to_event(job)
        own_errors = self._runtime.take_own_errors()
        counted, run.rq_counts = run.rq_counts, 0
        common: dict[str, Any] = {
            "rq_worker_key": worker.key,
            "limits": self._runtime.limits,
            "counted_by_rq": counted,
            "own_errors": own_errors,
        }

        def command(pipe: Any) -> Any:
            if run.ending is Ending.STUCK:
                left = run.start.retries_left
                return append_stuck(pipe, self._runtime.keys, event, retries_left=left, **common)
            return append_finish(
                pipe, self._runtime.keys, event, job_key=job.key, token=run.in_table, **common
            )

        def on_reply(reply: Any) -> None:
            run.answer = reply.decode() if isinstance(reply, bytes) else str(reply)
            if not run.recorded:
                self._runtime.note_error("record", run.answer, number=0)

        run.event = event
        run.appended = piggyback(pipeline, self._runtime).append(command, on_reply)
        if not run.appended:
            self._runtime.give_back(own_errors)

    # told

    def _then_tell(self, worker: BaseWorker, run: Run | None, result: Any) -> Any:
        """Tell the sinks of an ending that we counted, and the parent that it need not ask."""
        with self._runtime.fence("tell"):
            if run is not None and run.event is not None:
                if run.answer == COUNTED:
                    self._runtime.tell(run.event)
                if run.pipe is not None and worker.is_horse:
                    tell_parent(run, self._runtime)
        return result


def _current_execution_id(worker: BaseWorker, job: Job) -> str:
    """RQ's id of the execution that it is creating; RQ 3 keeps several by id, RQ 2 one."""
    executions = getattr(worker, "executions", None)
    candidates = reversed(executions.values()) if executions is not None else [worker.execution]
    return next(str(execution.id) for execution in candidates if execution.job_id == job.id)


def _append_recorded(attached: Piggyback, worker: BaseWorker) -> None:
    attached.append(lambda pipe: pipe.hincrby(worker.key, WORKER_RECORDED_FIELD, 1))
