"""The parent of a forking worker: it starts a horse, waits for it, and knows how it ended even if RQ does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rq.job import Job
from rq.worker import SimpleWorker, SpawnWorker, Worker
from rq.worker.base import BaseWorker

from jobtelemetry.outcomes import ERROR_TYPES, Ending, Outcome, State
from jobtelemetry.rq import labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.horse import HorsePipe
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.run import Run, runs_of
from jobtelemetry.rq.runtime import OFF, Runtime
from jobtelemetry.rq.spawn import inherited_run, spawning
from jobtelemetry.store.reconcile import settle_reply
from jobtelemetry.store.record import append_settle

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]


class ParentHooks:
    """The hooks of ``Worker`` around its work-horse."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        for owner in (Worker, SpawnWorker):
            patches.wrap(owner, "fork_work_horse", self.fork_work_horse)
        for owner in (Worker, SimpleWorker):
            patches.wrap(owner, "execute_job", self.execute_job)
        patches.wrap(Worker, "monitor_work_horse", self.monitor_work_horse)
        patches.wrap(BaseWorker, "main_work_horse", self.main_work_horse)
        patches.wrap(BaseWorker, "handle_work_horse_killed", self.handle_work_horse_killed)

    def execute_job(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """One execution from start to end; afterwards nothing of it is kept."""
        try:
            return wrapped(*args, **kwargs)
        finally:
            with self._runtime.fence("start"):
                for run in runs_of(worker).values():
                    if run.pipe is not None:
                        run.pipe.close()
                runs_of(worker).clear()

    def fork_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ forks; the pipe is made before and divided after. The forked horse never returns from here."""
        run = None
        with self._runtime.fence("fork"):
            run = runs_of(worker).get(argument(wrapped, args, kwargs, "job").id)
            if run is not None and run.pipe is None:
                run.pipe = HorsePipe()
        with spawning(run, self._runtime.config):
            result = wrapped(*args, **kwargs)
        with self._runtime.fence("fork"):
            if run is not None and run.pipe is not None:
                run.pipe.in_parent()
        return result

    def main_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """The horse begins."""
        with self._runtime.fence("fork"):
            job: Job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id) or inherited_run()
            if run is not None:
                runs_of(worker)[job.id] = run
                if run.pipe is not None:
                    run.pipe.in_horse()
                self._tell_label(job, run)
        return wrapped(*args, **kwargs)

    def _tell_label(self, job: Job, run: Run) -> None:
        """A label that only the loaded job can tell must reach the parent even if the horse dies."""
        if run.start.worker == labels.UNKNOWN:
            _ = job.func_name  # RQ loads the job next anyway
            run.start = replace(run.start, worker=labels.of_loaded_job(job, labels.UNKNOWN))
            if run.pipe is not None:
                run.pipe.send(worker=run.start.worker)

    def handle_work_horse_killed(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ found the horse dead; note by which signal."""
        with self._runtime.fence("classify"):
            run = runs_of(worker).get(argument(wrapped, args, kwargs, "job").id)
            status = argument(wrapped, args, kwargs, "ret_val")
            if run is not None and status is not None and os.WIFSIGNALED(status):
                run.signal = os.WTERMSIG(status)
        return wrapped(*args, **kwargs)

    def monitor_work_horse(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ waits for the horse. A horse that ended without a report is looked into at once."""
        result = wrapped(*args, **kwargs)  # a cold shutdown raises: the reconciler will find that execution
        with self._runtime.fence("settle"):
            job = argument(wrapped, args, kwargs, "job")
            run = runs_of(worker).get(job.id)
            if run is not None:
                said = horse_said(run, worker)
                for hook, number in said.get("own_errors", {}).items():
                    self._runtime.note_error(hook, "in the work-horse", number)
                if not run.recorded and not said.get("recorded") and run.in_table and not worker.__dict__.get(OFF):
                    self._settle(worker, job, run)
        return result

    def _settle(self, worker: BaseWorker, job: Job, run: Run) -> None:
        event = replace(
            run.to_event(job), outcome=Outcome(State.DISCARD, error_type=ERROR_TYPES[Ending.HORSE_EXITED])
        )
        event = replace(event, ended_at=time.time(), duration=max(0.0, time.time() - event.started_at))
        pipe = worker.connection.pipeline(transaction=False)
        append_settle(
            pipe,
            self._runtime.keys,
            event,
            exited=True,
            job_key=job.key,
            execution_key=self._runtime.keys.execution(job.id, event.execution_id),
            rq_worker_key=worker.key,
            limits=self._runtime.limits,
        )
        settled = settle_reply(event, pipe.execute()[0])
        if settled is not None:
            self._runtime.tell(settled)


def horse_said(run: Run, worker: BaseWorker) -> dict[str, Any]:
    """What the horse said before it ended; in the horse itself, and without one, nothing."""
    if run.said is None:
        if run.pipe is None or worker.is_horse:
            return {}
        run.said = run.pipe.receive()
        if label := run.said.get("worker"):
            run.start = replace(run.start, worker=label)
    return run.said


def tell_parent(run: Run, runtime: Runtime) -> None:
    """In the horse: the ending is recorded; and what went wrong in our hooks, for the parent to count."""
    if run.pipe is None or run.event is None:
        return
    errors = runtime.take_own_errors()
    try:
        run.pipe.send(recorded=run.recorded, state=run.event.outcome.state.value, own_errors=errors)
    except BaseException:
        runtime.give_back(errors)
        raise
