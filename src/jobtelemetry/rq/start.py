"""An execution begins: RQ creates it, we enter it into the running table, and its job is performed.

Our entry rides in the transaction in which RQ creates the execution, so neither is ever there without the other.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry import executing
from jobtelemetry.rq import settling
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.horse import enter_horse
from jobtelemetry.rq.job import begin_here, end_here, meet
from jobtelemetry.rq.piggyback import piggyback, write_own_errors
from jobtelemetry.rq.run import Run, current_execution, new_run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.record import append_start, started
from jobtelemetry.usage import Meter

_starting: ContextVar[Job | None] = ContextVar("jobtelemetry_starting", default=None)


class StartHooks:
    """The hooks of ``BaseWorker`` up to the job's function, in the order in which an execution meets them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def prepare_execution(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """RQ creates an execution; our entry in the running table goes into the same transaction."""
        with self._runtime.fence("start"):
            runs = runs_of(rq_worker)
            for job_id, run in list(runs.items()):
                if job_id == job.id or run.over:  # of a worker class whose execute_job does not call RQ's
                    settling.forget(rq_worker, job_id)
        token = _starting.set(job)
        try:
            return call()
        finally:
            _starting.reset(token)

    def set_state(self, call: Call, rq_worker: BaseWorker, pipeline: Any) -> Any:
        """RQ's last command in the transaction that creates an execution."""
        result = call()
        job = _starting.get()
        if job is not None and pipeline is not None:
            with self._runtime.fence("start"):
                if rq_worker.get_state() == WorkerStatus.BUSY:
                    self._append_start(rq_worker, job, pipeline)
        return result

    def _append_start(self, rq_worker: BaseWorker, job: Job, pipeline: Any) -> None:
        execution = current_execution(rq_worker, job)
        run = self._new_run(rq_worker, job, str(execution.id))
        with self._runtime.fence("trace"):
            self._runtime.spans.start(run, job)
        if rq_worker.__dict__.get(OFF):
            return

        dated = getattr(
            execution, "created_at", None
        )  # by RQ, just now: its own clock, and not ours, makes its moments
        clock = dated.timestamp() if dated is not None else None

        def on_reply(reply: Any) -> None:
            said = started(reply)
            run.started(said)
            self._runtime.saw(said.known)
            if said.fault:
                self._runtime.note_error("start", said.fault)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_start(
                pipe,
                self._runtime.keys,
                run.start,
                job_key=job.key,
                limits=self._runtime.limits,
                ready_at=run.ready_at,
                clock=clock,
                known=self._runtime.known,
            ),
            on_reply,
        )

    def _new_run(self, rq_worker: BaseWorker, job: Job, execution_id: str) -> Run:
        run = new_run(
            job,
            rq_worker.name,
            self._runtime.keys.account(rq_worker.key),
            execution_id,
            self._runtime.config.extra_labels,
        )
        runs_of(rq_worker)[job.id] = run
        meet(job, run)  # also where a worker class performs it without RQ's perform_job
        return run

    def perform_job(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """The job runs, in the work-horse where there is one; its span is current.

        What the job says is noted in ``Job._execute``, in :mod:`jobtelemetry.rq.job`.
        """
        entered = run = None
        with self._runtime.fence("start"):
            run = runs_of(rq_worker).get(job.id)
            if run is None or run.recorded:  # of a worker class whose execute_job does not create an execution
                run = self._new_run(rq_worker, job, "")
            meet(job, run)
            if run.in_horse:
                enter_horse(self._runtime, rq_worker, job)
            elif self._runtime.config.resources:
                run.meter = Meter.of_process()
        with self._runtime.fence("trace"):
            if run is not None:
                entered = self._runtime.spans.enter(run, job, in_horse=run.in_horse)
        begin_here(job, run)
        try:
            return call()
        finally:
            end_here(job)
            if entered is not None and run is not None:
                with self._runtime.fence("trace"):
                    self._runtime.spans.leave(entered, in_horse=run.in_horse)
            with self._runtime.fence("settle"):
                if run is not None and not run.recorded and not run.in_horse:
                    settling.performed(self._runtime, rq_worker, job, run)
            with self._runtime.fence("flush"):
                if run is not None and run.in_horse and not rq_worker.__dict__.get(OFF):
                    write_own_errors(rq_worker.connection, self._runtime)  # what the parent could not be told
                    if executing.leftover is not None:
                        executing.leftover()
