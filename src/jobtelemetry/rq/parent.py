"""The parent of a forking worker: it starts a horse, waits for it, and knows how it ended even if RQ does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rq.job import Job, JobStatus
from rq.worker import SimpleWorker, SpawnWorker, Worker
from rq.worker.base import BaseWorker

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import ERROR_TYPES, Ending, Outcome, State
from jobtelemetry.rq import labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.horse import HorsePipe, PipeLost
from jobtelemetry.rq.horse_span import ending_told, exception_facts
from jobtelemetry.rq.job import note_in_hash
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.run import Run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.rq.spawn import inherited_off, inherited_run, spawning
from jobtelemetry.sinks.tracing import provider
from jobtelemetry.store.reconcile import settle_reply
from jobtelemetry.store.record import COUNTED, LATE, Exited, append_settle

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]


#: What a job's status says about its last execution, where nobody could record it.
_BY_STATUS = {
    "finished": State.COMPLETED,
    "canceled": State.CANCELLED,
    "stopped": State.STOPPED,
    "failed": State.DISCARD,
}


class ParentHooks:
    """The hooks of ``Worker`` around its work-horse."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        patches.wrap(Worker, "fork_work_horse", self.fork_work_horse)
        patches.wrap(SpawnWorker, "fork_work_horse", self.fork_work_horse)
        patches.wrap(Worker, "execute_job", self.execute_job)
        patches.wrap(SimpleWorker, "execute_job", self.execute_job)
        patches.wrap(Worker, "monitor_work_horse", self.monitor_work_horse)
        patches.wrap(BaseWorker, "main_work_horse", self.main_work_horse)
        patches.wrap(Worker, "wait_for_horse", self.wait_for_horse)

    def execute_job(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """One execution from start to end; afterwards nothing of it is kept."""
        try:
            return wrapped(*args, **kwargs)
        finally:
            with self._runtime.fence("trace"):
                self._end_span(worker, argument(wrapped, args, kwargs, "job"))
            with self._runtime.fence("start"):
                run = runs_of(worker).pop(argument(wrapped, args, kwargs, "job").id, None)
                if run is not None and run.pipe is not None:
                    run.pipe.close()

    def fork_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ forks; the pipe is made before and divided after. The forked horse never returns from here."""
        run = None
        with self._runtime.fence("fork"):
            run = runs_of(worker).get(argument(wrapped, args, kwargs, "job").id)
            if run is not None and run.pipe is None:
                run.pipe = HorsePipe()
        with self._runtime.fence("trace"):
            self._runtime.spans.sdk.before_fork(provider())
        with spawning(run, self._runtime.config, worker.__dict__.get(OFF, "")):
            result = wrapped(*args, **kwargs)
        with self._runtime.fence("trace"):
            self._runtime.spans.sdk.after_fork()
        with self._runtime.fence("fork"):
            if run is not None and run.pipe is not None:
                run.pipe.in_parent()
        return result

    def main_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The horse begins."""
        run = None
        with self._runtime.fence("fork"):
            self._runtime.spans.sdk.in_horse()
            self._runtime.enter_horse()
            job: Job = argument(wrapped, args, kwargs, "job")
            if off := inherited_off():
                worker.__dict__[OFF] = off
            run = runs_of(worker).get(job.id) or inherited_run()
            if run is not None:
                runs_of(worker)[job.id] = run
                if run.pipe is not None:
                    run.pipe.in_horse()
        with self._runtime.fence("label"):
            if run is not None and run.start.worker == labels.UNKNOWN:
                _ = job.func_name  # RQ loads the job next anyway, and the horse may die of its function's import
                note_in_hash(job, labels.note_loaded(job))
        return wrapped(*args, **kwargs)

    def wait_for_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ found the horse dead; note by which signal."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("classify"):
            _, status, *_ = result
            for run in runs_of(worker).values() if status is not None else ():  # a parent of horses has one at a time
                run.exited = os.WIFEXITED(status)
                run.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return result

    def monitor_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ waits for the horse. A horse that ended without a report is looked into at once."""
        result = wrapped(*args, **kwargs)  # a cold shutdown raises: the reconciler will find that execution
        with self._runtime.fence("settle"):
            job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id)
            if run is not None:
                said = horse_said(run, worker)
                if untold := said.get("untold"):
                    self._runtime.tell_for_horse(ExecutionEvent.from_dict(untold))
                self._runtime.note_logged(said.get("logged", ()))
                for hook, number in said.get("own_errors", {}).items():
                    self._runtime.note_error(hook, "in the work-horse", number)
                if not run.recorded and not said.get("recorded") and run.in_table and not worker.__dict__.get(OFF):
                    labels.learn(job)
                    self._settle(worker, job, run)
                run.horse_gone = True
        return result

    def _end_span(self, worker: BaseWorker, job: Job) -> None:
        """End the span of an execution whose end is known. Where it is not, the reconciler will find it."""
        run = runs_of(worker).get(job.id)
        if run is None or run.trace is None or run.trace.ended:
            return
        said = horse_said(run, worker)
        if said.get("late") or run.answer == LATE:
            return  # counted as abandoned before, and its span made then
        told = said.get("ending")
        if told is None and run.event is None and not run.horse_gone and run.pipe is not None:
            return
        event = _ended(run, job, told)
        if event is not None:
            self._runtime.spans.end(run, event, (told or {}).get("span"))

    def _settle(self, worker: BaseWorker, job: Job, run: Run) -> None:
        died = Ending.HORSE_KILLED if run.signal else Ending.HORSE_EXITED
        event = replace(run.to_event(job), outcome=Outcome(State.DISCARD, error_type=ERROR_TYPES[died]))
        event = replace(event, ended_at=time.time(), duration=max(0.0, time.time() - event.started_at))
        pipe = worker.connection.pipeline(transaction=False)
        append_settle(
            pipe,
            self._runtime.keys,
            event,
            exited=_exited(worker, run),
            job_key=job.key,
            execution_key=self._runtime.keys.execution(job.id, event.execution_id),
            rq_worker_key=worker.key,
            limits=self._runtime.limits,
        )
        settled = settle_reply(event, pipe.execute()[0])
        if settled is not None:
            run.event, run.answer = settled, COUNTED
            self._runtime.tell(settled)


def _exited(worker: BaseWorker, run: Run) -> Exited:
    """What can be said of an execution whose job RQ may have forgotten."""
    if told := (run.said or {}).get("state"):
        return Exited(State(told), told=True)
    return Exited(State.STOPPED if worker._stopped_job_id == run.start.job_id else State.DISCARD)


def horse_said(run: Run, worker: BaseWorker) -> dict[str, Any]:
    """What the horse said before it ended; in the horse itself, and without one, nothing."""
    if run.said is None:
        if run.pipe is None or worker.is_horse:
            return {}
        run.said = run.pipe.receive()
        run.attributes.update(run.said.get("attributes", {}))
    return run.said


def _ended(run: Run, job: Job, told: dict[str, Any] | None) -> ExecutionEvent | None:
    """How an execution ended: as the horse told, as this process recorded it, or as RQ has the job.

    To RQ it may still be running, because nobody could write its end; then it is the reconciler's.
    """
    if told is not None:
        outcome = Outcome(State(told["state"]), told["reason"], told["error_type"])
        event = replace(run.to_event(job), outcome=outcome, ended_at=told["ended_at"], message=told["message"])
        event = replace(event, worker=told["worker"], exception=told["exception"], attributes=told["attributes"])
        return replace(event, rate_limited=told["rate_limited"], retry_after=told["retry_after"])
    if run.event is not None and (run.recorded or not run.in_table):
        return run.event
    status = job.get_status()
    if status == JobStatus.STARTED and run.in_table:
        return None
    ending = _BY_STATUS.get(status.value if status is not None else "finished", State.FAILURE)
    return replace(run.to_event(job), outcome=Outcome(ending, error_type="Unknown" if ending.failed else ""))


def tell_parent(run: Run, runtime: Runtime) -> None:
    """In the horse: the ending is recorded; and what went wrong in our hooks, for the parent to count."""
    if run.pipe is None or run.event is None:
        return
    message: dict[str, Any] = {
        "recorded": run.recorded,
        "late": run.answer == LATE,
        "state": run.event.outcome.state.value,
        "logged": runtime.logged_here(),
    }
    errors = runtime.take_own_errors()
    try:
        run.pipe.send(**message, own_errors=errors)
        if run.answer == COUNTED and runtime.needs_parent(run.event):
            exception = exception_facts(run.error) if run.error else {}
            run.pipe.send(untold=replace(run.event, exception=exception).to_dict())
        if run.trace is not None and run.trace.sampled:
            run.pipe.send(ending=ending_told(run.event, run.trace))
    except PipeLost:  # the parent finds out by itself
        runtime.give_back(errors)
    except BrokenPipeError:
        runtime.give_back(errors)
        if run.answer == COUNTED:
            runtime.spans.end_orphaned(run, run.event)
    except BaseException:
        runtime.give_back(errors)
        raise
