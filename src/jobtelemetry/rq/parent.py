"""The parent of a forking worker: it starts a horse, waits for it, and knows how it ended even if RQ does not."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from rq.job import Job, JobStatus
from rq.worker.base import BaseWorker

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.forking.pipe import HorsePipe
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.rq import labels, settling
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.horse import enter_horse
from jobtelemetry.rq.run import Horse, Run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.rq.spawn import spawning
from jobtelemetry.sinks.tracing import provider
from jobtelemetry.store.record import LATE, Known

#: What a job's status says about its last execution, where nobody could record it.
_BY_STATUS: dict[str, State] = {state.row.rq_status: state for state in State if state.row.rq_status is not None}


class ParentHooks:
    """The hooks of ``Worker`` around its work-horse."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def execute_job(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """One execution from start to end; afterwards nothing of it is kept."""
        try:
            return call()
        finally:
            with self._runtime.fence("settle"):
                run = runs_of(rq_worker).get(job.id)
                here = run is not None and run.horse is None and run.performance.ended is not None
                if run is not None and here and not run.recorded:  # a perform_job that does not call RQ's
                    settling.performed(self._runtime, rq_worker, job, run)
            with self._runtime.fence("trace"):
                self._end_span(rq_worker, job)
            with self._runtime.fence("start"):
                settling.forget(rq_worker, job.id)

    def fork_work_horse(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """RQ forks; the pipe is made before and divided after. The forked horse never returns from here."""
        run = None
        with self._runtime.fence("fork"):
            run = runs_of(rq_worker).get(job.id)
            if run is not None and run.horse is None:
                run.horse = Horse(HorsePipe())
        with self._runtime.fence("trace"):
            self._runtime.spans.sdk.before_fork(provider())
        result = call()
        with self._runtime.fence("trace"):
            self._runtime.spans.sdk.after_fork()
        with self._runtime.fence("fork"):
            if run is not None and run.horse is not None and run.horse.pipe is not None:
                run.horse.pipe.in_parent()
        return result

    def spawn_work_horse(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """RQ starts a new Python as the horse, which is given what this process knows."""

        def spawn() -> Any:
            run = None
            with self._runtime.fence("fork"):
                run = runs_of(rq_worker).get(job.id)
            with spawning(run, self._runtime.config, rq_worker.__dict__.get(OFF, ""), self._runtime.known):
                return call()

        return self.fork_work_horse(spawn, rq_worker, job)

    def main_work_horse(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """The horse begins."""
        with self._runtime.fence("fork"):
            enter_horse(self._runtime, rq_worker, job)
        return call()

    def wait_for_horse(self, call: Call, rq_worker: BaseWorker) -> Any:
        """RQ found the horse dead; note by which signal."""
        result = call()
        with self._runtime.fence("classify"):
            _, status, *rest = result
            # A parent of horses has one at a time.
            for run in runs_of(rq_worker).values() if status is not None else ():
                if run.horse is None:
                    run.horse = Horse()
                run.horse.rusage = rest[0] if rest and self._runtime.config.resources else None
                run.horse.exited = os.WIFEXITED(status)
                run.horse.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return result

    def monitor_work_horse(self, call: Call, rq_worker: BaseWorker, job: Job) -> Any:
        """RQ waits for the horse. A horse that ended without a report is looked into at once."""
        result = call()  # a cold shutdown raises: the reconciler will find that execution
        with self._runtime.fence("settle"):
            run = runs_of(rq_worker).get(job.id)
            if run is not None and run.horse is not None:
                run.horse.gone = True
                said = self._hear(run)
                if not run.recorded and not said.get("recorded"):
                    labels.learn(job)
                    settling.horse_gone(self._runtime, rq_worker, job, run)
        with self._runtime.fence("trace"):
            self._end_span(rq_worker, job)  # here, and not in execute_job alone: an application may have its own
        return result

    def _hear(self, run: Run) -> dict[str, Any]:
        said = run.hear()
        if untold := said.get("untold"):
            self._runtime.sinks.tell_for_horse(ExecutionEvent.from_dict(untold))
        self._runtime.note_logged(said.get("logged", ()))
        known = Known(*said.get("known", ()))
        if known.generation == self._runtime.known.generation:  # another one, Redis is still to be asked about
            self._runtime.saw(known)
        for hook, number in said.get("own_errors", {}).items():
            self._runtime.note_error(hook, "in the work-horse", number)
        return said

    def _end_span(self, rq_worker: BaseWorker, job: Job) -> None:
        """End the span of an execution whose end is known. Where it is not, the reconciler will find it."""
        run = runs_of(rq_worker).get(job.id)
        if run is None or run.trace is None or run.trace.ended:
            return
        said = run.hear()
        done = run.transaction
        if said.get("late") or (done is not None and done.answer == LATE):
            return  # counted as settled before, and its span made then
        told = said.get("ending")
        if told is None and run.horse is not None:
            waiting = not run.horse.gone and run.horse.pipe is not None
            if (waiting or run.horse.lives_on) and (done is None or done.event is None):
                return
        event = _ended(run, job, told)
        if event is not None:
            self._runtime.spans.end(run, event, (told or {}).get("span"))


def _ended(run: Run, job: Job, told: dict[str, Any] | None) -> ExecutionEvent | None:
    """How an execution ended: as the horse told, as this process recorded it, or as RQ has the job.

    To RQ it may still be running, because nobody could write its end; then it is the reconciler's.
    """
    if told is not None:
        outcome = Outcome(State(told["state"]), told["reason"], told["error_type"])
        event = replace(run.event(job), outcome=outcome, ended_at=told["ended_at"], message=told["message"])
        event = replace(event, worker=told["worker"], exception=told["exception"], attributes=told["attributes"])
        event = replace(event, cpu=told["cpu"], memory=told["memory"])
        return replace(event, rate_limited=told["rate_limited"], retry_after=told["retry_after"])
    done = run.transaction
    if done is not None and done.event is not None and (done.recorded or not run.in_table):
        return done.event
    status = job.get_status()
    if status == JobStatus.STARTED and run.in_table:
        return None
    ending = _BY_STATUS.get(status.value if status is not None else "finished", State.FAILURE)
    return replace(run.event(job), outcome=Outcome(ending, error_type="Unknown" if ending.failed else ""))
