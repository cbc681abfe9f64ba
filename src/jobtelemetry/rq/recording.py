"""An ending is recorded, in RQ's own transaction: it is counted exactly when RQ changes the job's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rq.job import Job
from rq.worker.base import BaseWorker

from jobtelemetry.outcomes import Ending
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import Piggyback, piggyback
from jobtelemetry.rq.run import Run, run_that_ends, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.keys import WORKER_RECORDED_FIELD
from jobtelemetry.store.record import append_finish, append_stuck, finished

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]


class RecordingHooks:
    """The hooks of ``BaseWorker`` in the transaction of an ending."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place for every worker class."""
        patches.wrap(BaseWorker, "increment_successful_job_count", self.increment_job_count)
        patches.wrap(BaseWorker, "increment_failed_job_count", self.increment_job_count)
        patches.wrap(BaseWorker, "cleanup_execution", self.cleanup_execution)

    def increment_job_count(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ counts an ending for its worker; the audit's count beside it must move with it."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("audit"):
            pipeline = argument(wrapped, args, kwargs, "pipeline")
            run = run_that_ends()
            if run is None or run.ending is None or pipeline is None:
                pass
            elif not run.appended:
                run.rq_counts += 1
            elif not run.answer:
                _append_recorded(piggyback(pipeline, self._runtime), worker)
                run.counted_after += 1
            elif run.recorded:  # up to RQ 2.12, in the transaction before
                _append_recorded(piggyback(pipeline, self._runtime), worker)
        return result

    def cleanup_execution(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ removes the execution, in the transaction of every ending; there our record goes."""
        with self._runtime.fence("record"):  # before RQ's part: whether RQ still has the execution is our second token
            job: Job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id)
            if run is not None and run.ending is not None and not worker.__dict__.get(OFF):
                execution = worker.__dict__.get("execution")  # up to RQ 2.12
                self._append_record(worker, job, run, argument(wrapped, args, kwargs, "pipeline"), execution)
        return wrapped(*args, **kwargs)

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


def _append_recorded(attached: Piggyback, worker: BaseWorker) -> None:
    attached.append(lambda pipe: pipe.hincrby(worker.key, WORKER_RECORDED_FIELD, 1))
