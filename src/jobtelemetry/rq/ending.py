"""An execution ends: which of RQ's ways it took, and who is told.

RQ has three: the job succeeded, it asked to be run again, it failed. Each hook here notes what really happened, lets
RQ do its part, in whose transaction :mod:`jobtelemetry.rq.recording` puts the record, and then tells the sinks.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

from rq.job import Job
from rq.worker import Worker
from rq.worker.base import BaseWorker, WorkerStatus

from jobtelemetry.outcomes import Cancel, Discard, Ending, State, verdict_in
from jobtelemetry.rq import cancel, labels, settling
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.horse import tell_parent
from jobtelemetry.rq.run import (
    Run,
    current_execution,
    ended,
    ending_of,
    new_run,
    note_verdict,
    runs_of,
    verdict_of,
)
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.store.record import COUNTED, LATE

log = logging.getLogger("jobtelemetry")


class EndingHooks:
    """The hooks of ``BaseWorker`` that RQ calls at the end of an execution."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def handle_exception(self, call: Call, rq_worker: BaseWorker, job: Job, exc_info: tuple[Any, ...]) -> Any:
        """The exception that ends the execution; a ``Cancel`` is none, to RQ's log and handlers."""
        with self._runtime.fence("classify"):
            error = exc_info[1] if len(exc_info) > 1 else None
            run = runs_of(rq_worker).get(job.id)
            if run is not None:
                self._note_unseen(job, run, error)
            if isinstance(error, Cancel) and error is verdict_of(job):
                return None
            if run is not None:
                run.performance.failed_of(error)
        return call()

    def handle_job_success(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """The function returned."""
        run = None
        with self._runtime.fence("classify"):
            run = self._run(rq_worker, job, None)
            run.begin(Ending.RETURNED).repeats_left = job.repeats_left
            self._look_for_unseen(job, run)
        return self._written(call, rq_worker, run)

    def handle_job_retry(self, call: Call, rq_worker: BaseWorker, job: Job, retry: Any, execution: Any) -> Any:
        """The function returned a ``Retry``; beyond its maximum that is a failure."""
        run = None
        with self._runtime.fence("classify"):
            exhausted = bool(job.number_of_retries and job.number_of_retries >= retry.max)
            run = self._run(rq_worker, job, execution)
            run.begin(Ending.RETRIES_EXHAUSTED if exhausted else Ending.RETRY_RETURNED, will_retry=not exhausted)
        return self._written(call, rq_worker, run)

    def handle_job_failure(self, call: Call, rq_worker: BaseWorker, job: Job, execution: Any) -> Any:
        """Everything else, also a horse that died, a job that was stopped or never got as far as running."""
        run = end_as_cancelled = None
        with self._runtime.fence("classify"):  # what the job chose holds even if nothing can be counted
            self._look_past_perform(rq_worker, job)
            verdict = verdict_of(job)
            if isinstance(verdict, Discard) and job.retries_left:
                job.retries_left = 0
            if isinstance(verdict, Cancel):
                end_as_cancelled = partial(cancel.end_execution, rq_worker, job, execution, verdict, self._runtime)
        with self._runtime.fence("label"):
            if isinstance(rq_worker, Worker) and not rq_worker.is_horse:
                labels.learn(job)  # only the horse has loaded the job
        with self._runtime.fence("classify"):
            run = self._run(rq_worker, job, execution)
            if run.horse is not None and not run.in_horse and run.hear().get("state") == State.CANCELLED.value:
                return None  # it died after RQ had been told; RQ would now fail the job
            if run.performance.error is not None:
                end_as_cancelled = None  # something else has gone wrong since
            if end_as_cancelled is not None:
                run.begin(Ending.CANCELLED, error=verdict)
            else:
                self._begin_failure(rq_worker, job, run)
        token = ending_of(run)
        try:
            if end_as_cancelled is None or not end_as_cancelled():
                with self._runtime.fence("classify"):
                    if end_as_cancelled is not None and run is not None:
                        run.begin(Ending.RAISED, will_retry=bool(job.should_retry), error=verdict)
                call()
        finally:
            ended(token)
        self._then_tell(rq_worker, run)
        if run is not None and run.transaction is not None and run.transaction.ending is Ending.STUCK:
            settling.forget(rq_worker, run.start.job_id)  # RQ's maintenance goes on with the next job
        return None

    def _look_past_perform(self, rq_worker: BaseWorker, job: Job) -> None:
        """The verdict that a worker class's own ``perform_job`` is just handling, if it is one."""
        run = runs_of(rq_worker).get(job.id)
        if run is not None and not _waits(rq_worker, run):
            self._note_unseen(job, run, sys.exc_info()[1])

    def _note_unseen(self, job: Job, run: Run, error: BaseException | None) -> None:
        """What the job chose, where a ``perform_job`` or ``Job.perform`` of the application's does not call RQ's."""
        if run.performance.began is None and verdict_in(error) is not None:
            note_verdict(job, error)  # type: ignore[arg-type]

    def _begin_failure(self, rq_worker: BaseWorker, job: Job, run: Run) -> None:
        if rq_worker._stopped_job_id == job.id:
            run.begin(Ending.STOPPED)
            return
        done, before = run.performance, run.transaction.ending if run.transaction is not None else None
        exhausted = before is Ending.RETRIES_EXHAUSTED  # up to RQ 2.12, handle_job_retry comes here
        waits = _waits(rq_worker, run)
        if done.error is None and not waits and not exhausted:
            done.failed_of(sys.exc_info()[1])  # of a worker class whose own handle_exception does not call RQ's
        if run.made_up and done.began is None and done.error is None:
            kind = Ending.STUCK
        elif done.error is not None:
            kind = Ending.DISCARDED if done.error is verdict_of(job) else Ending.RAISED
        elif exhausted:
            kind = Ending.RETRIES_EXHAUSTED
        elif waits:
            kind = Ending.HORSE_EXITED if run.horse is not None and run.horse.exited else Ending.HORSE_KILLED
        else:
            kind = Ending.RAISED
        again = bool(job.should_retry) or done.put_back or 0 < run.attempt < labels.max_attempts(job)
        run.begin(kind, will_retry=again, error=done.error)

    def _look_for_unseen(self, job: Job, run: Run) -> None:
        """A verdict that a Job class's own ``perform`` returned, where nobody can act on it any more."""
        unseen = run.performance.began is None and verdict_in(getattr(job, "_result", None))
        if unseen and self._runtime.first("a verdict that was returned past us"):
            log.warning(
                "this Job class returns Cancel or Discard past jobtelemetry, and RQ finishes the job: raise it "
                "instead, or call Job.perform",
                extra={"job_class": type(job).__qualname__, "job_id": job.id},
            )

    def _run(self, rq_worker: BaseWorker, job: Job, execution: Any) -> Run:
        """The run of a job; one without an execution where RQ never got as far as creating one."""
        runs = runs_of(rq_worker)
        if job.id not in runs:
            if execution is None and rq_worker.get_state() == WorkerStatus.BUSY:
                execution = current_execution(rq_worker, job)
            # With one, our own start went wrong, or the job itself has instrumented its worker.
            execution_id = "" if execution is None else str(execution.id)
            account = self._runtime.keys.account(rq_worker.key)
            created_at = None if execution is None else execution.created_at
            extra_labels = self._runtime.config.extra_labels
            runs[job.id] = new_run(job, rq_worker.name, account, execution_id, extra_labels, created_at)
        return runs[job.id]

    def _written(self, call: Call, rq_worker: BaseWorker, run: Run | None) -> Any:
        token = ending_of(run)
        try:
            result = call()
        finally:
            ended(token)
        self._then_tell(rq_worker, run)
        return result

    def _then_tell(self, rq_worker: BaseWorker, run: Run | None) -> None:
        """Tell the sinks of an ending that we counted, and the parent that it need not ask."""
        with self._runtime.fence("tell"):
            done = run.transaction if run is not None else None
            if run is None or done is None or done.event is None:
                return
            if done.answer == COUNTED and not run.told:
                run.told = True  # up to RQ 2.7, handle_job_retry ends in handle_job_failure
                self._runtime.sinks.tell(done.event)
            if run.in_horse:
                if run.horse is not None:
                    tell_parent(run, self._runtime)
                self._runtime.sinks.flush()
            elif run.horse is None and done.answer != LATE and not rq_worker.__dict__.get(OFF):
                self._runtime.spans.end(run, done.event)


def _waits(rq_worker: BaseWorker, run: Run) -> bool:
    """Whether this process only waits for the one that performs the job: no exception here is the job's."""
    waits = isinstance(rq_worker, Worker) and not run.in_horse and not rq_worker.is_horse
    return waits and run.performance.began is None
