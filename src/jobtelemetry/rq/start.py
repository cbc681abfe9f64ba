"""An execution begins: RQ creates it, we enter it into the running table, and its job is performed.

Our entry rides in the transaction in which RQ creates the execution, so neither is ever there without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import piggyback, write_own_errors
from jobtelemetry.rq.run import current_execution_id, new_run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.record import append_start, started

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

_STARTING = "_jobtelemetry_starting"


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
        run = new_run(job, worker.name, current_execution_id(worker, job), self._runtime.config.source_label)
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
