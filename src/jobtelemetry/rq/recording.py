"""An ending is recorded, in RQ's own transaction: it is counted exactly when RQ changes the job's state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rq.job import Job, JobStatus
from rq.version import VERSION
from rq.worker.base import BaseWorker

from jobtelemetry.outcomes import Discard, Ending
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.piggyback import piggyback
from jobtelemetry.rq.run import Run, Transaction, run_that_ends, runs_of, verdict_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.keys import FAILED, SUCCEEDED
from jobtelemetry.store.record import Booking, append_booked, finish_command, finished

#: Up to RQ 2.12 a final failure is written in two transactions: the job's state in the first, the worker's count after.
_COUNTS_LATER = int(VERSION.partition(".")[0]) < 3
_COLUMNS = {"successful_job_count": SUCCEEDED, "failed_job_count": FAILED}

#: What a worker class that does not call RQ's has set the job's status to -> what happened.
_BY_STATUS = {
    JobStatus.FINISHED: Ending.RETURNED,
    JobStatus.STOPPED: Ending.STOPPED,
    JobStatus.CANCELED: Ending.CANCELLED,
}


class RecordingHooks:
    """The hook of ``BaseWorker`` in the transaction of an ending."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def cleanup_execution(self, call: Call, rq_worker: BaseWorker, job: Job, pipeline: Any) -> Any:
        """RQ removes the execution, in the transaction of every ending; there our record goes.

        Before RQ's part: whether RQ still has the execution is our second token.
        """
        with self._runtime.fence("record"):
            run = runs_of(rq_worker).get(job.id)
            if run is not None and not rq_worker.__dict__.get(OFF):
                if run_that_ends() is run and run.transaction is not None:
                    self._append(rq_worker, job, run, run.transaction, pipeline)
                elif not run.recorded:
                    self._append(rq_worker, job, run, _inferred(job, run), pipeline)
        return call()

    def increment_failed_job_count(self, call: Call, rq_worker: BaseWorker, pipeline: Any) -> Any:
        """RQ counts a failure for its worker, up to 2.12 after the transaction in which we counted it."""
        result = call()
        run = run_that_ends()
        if run is not None and run.recorded and pipeline is not None:
            with self._runtime.fence("record"):
                execution_id = run.start.execution_id
                piggyback(pipeline, self._runtime).append(
                    lambda pipe: append_booked(pipe, self._runtime.keys, execution_id, rq_worker.key)
                )
        return result

    def _append(self, rq_worker: BaseWorker, job: Job, run: Run, ending: Transaction, pipeline: Any) -> None:
        event = run.event(job, ending)
        execution = rq_worker.__dict__.get("execution")  # up to RQ 2.12
        run.transaction = ending
        ending.event, ending.answer = event, ""

        def make(stack: list[Any]) -> tuple[Any, ...]:
            booking = _booked(rq_worker.key, stack)
            if not booking.times and _COUNTS_LATER and run_that_ends() is run and Booking.of(event.outcome.state).times:
                booking = Booking(later=True)
            return finish_command(
                self._runtime.keys,
                event,
                job_key=job.key,
                rq_worker_key=rq_worker.key,
                limits=self._runtime.limits,
                booking=booking,
                stuck=ending.ending is Ending.STUCK,
                known=self._runtime.known,
                measured=run.measured.taken() if run.measured is not None else None,
            )

        def on_reply(reply: Any) -> None:
            said = finished(reply)
            ending.answer = said.answer
            self._runtime.saw(said.known)
            if said.fault:
                self._runtime.note_error("record", said.fault)
            if said.redefined:
                self._runtime.say_redefined(said.redefined)

        def on_rebuild() -> None:
            """Up to RQ 2.12, RQ forgets both while it builds the transaction, and would leave the execution behind."""
            if execution is not None:
                rq_worker.execution = execution
            if ending.repeats_left is not None:
                job.repeats_left = ending.repeats_left

        piggyback(pipeline, self._runtime).append_late(make, on_reply, on_rebuild)


def _booked(rq_worker_key: str, stack: Iterable[Any]) -> Booking:
    """How RQ counts the ending for its worker: the commands of the transaction say it, whoever put them there."""
    column, times = "", 0
    for command, *_ in stack:
        if command[0] == "HINCRBY" and command[1] == rq_worker_key and command[2] in _COLUMNS:
            column, times = _COLUMNS[command[2]], times + 1
    return Booking(column, times) if times else Booking()


def _inferred(job: Job, run: Run) -> Transaction:
    """How a worker class that handles endings itself ends this one: by the status that it has given the job."""
    status, done = job.get_status(refresh=False), run.performance
    again = status in (JobStatus.QUEUED, JobStatus.SCHEDULED)
    ending = _BY_STATUS.get(status)
    if ending is None:
        failed = done.error is not None or status == JobStatus.FAILED or done.returned is False
        ending = Ending.RAISED if failed else Ending.RETRY_RETURNED if again else Ending.RETURNED
    verdict = verdict_of(job)  # which is no error to handle_exception, if it is a Cancel
    if ending is Ending.RAISED and not again and isinstance(verdict, Discard) and done.error in (None, verdict):
        ending = Ending.DISCARDED
    return run.begin(ending, will_retry=again, error=done.error if done.error is not None else verdict)
