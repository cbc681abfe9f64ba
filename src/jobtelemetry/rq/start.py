"""An execution begins: RQ creates it, we enter it into the running table, and its job is performed.

Our entry rides in the transaction in which RQ creates the execution, so neither is ever there without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import piggyback, write_own_errors
from jobtelemetry.rq.run import current_execution, new_run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.record import append_start, started

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

_starting: ContextVar[Job | None] = ContextVar("jobtelemetry_starting", default=None)


class StartHooks:
    """The hooks of ``BaseWorker`` up to the job's function, in the order in which an execution meets them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place for every worker class."""
        patches.wrap(BaseWorker, "prepare_execution", self.prepare_execution)
        patches.wrap(BaseWorker, "set_state", self.set_state)
        patches.wrap(BaseWorker, "perform_job", self.perform_job)

    def prepare_execution(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ creates an execution; our entry in the running table goes into the same transaction."""
        job = None
        with self._runtime.fence("start"):
            job = argument(wrapped, args, kwargs, "job")
            runs = runs_of(worker)
            for job_id, run in list(runs.items()):
                if job_id == job.id or run.over:  # of a worker class whose execute_job does not call RQ's
                    runs.pop(job_id, None)
        token = _starting.set(job)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _starting.reset(token)

    def set_state(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ's last command in the transaction that creates an execution."""
        result = wrapped(*args, **kwargs)
        job = _starting.get()
        if job is not None:
            with self._runtime.fence("start"):
                pipeline = argument(wrapped, args, kwargs, "pipeline")
                if pipeline is not None and worker.get_state() == WorkerStatus.BUSY:
                    self._append_start(worker, job, pipeline)
        return result

    def _append_start(self, worker: BaseWorker, job: Job, pipeline: Any) -> None:
        execution = current_execution(worker, job)
        run = new_run(job, worker.name, str(execution.id), self._runtime.config.source_label)
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

    def perform_job(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The job runs, in the work-horse where there is one; its span is current.

        What the job says is noted in ``Job.perform``, in :mod:`jobtelemetry.rq.job`.
        """
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
