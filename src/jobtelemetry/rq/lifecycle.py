"""The life of an RQ worker: can it be recorded, who is instrumented, and what others left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rq import worker_registration
from rq.utils import utcformat
from rq.worker.base import BaseWorker

from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import piggyback, write_own_errors
from jobtelemetry.rq.probe import probe, remedy
from jobtelemetry.rq.runtime import OFF, Runtime, log
from jobtelemetry.sinks import sentry
from jobtelemetry.sinks.tracing import provider
from jobtelemetry.store.reconcile import forget_gone_workers, reconcile

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]


class LifecycleHooks:
    """The hooks around a worker's birth, maintenance and death."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        patches.wrap(BaseWorker, "bootstrap", self.bootstrap)
        patches.wrap(BaseWorker, "run_maintenance_tasks", self.run_maintenance_tasks)
        patches.wrap(BaseWorker, "teardown", self.teardown)
        patches.wrap(worker_registration, "register", self.register)
        patches.wrap(worker_registration, "unregister", self.unregister)

    def bootstrap(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """A worker starts; find out whether it can be recorded before it runs a job."""
        with self._runtime.fence("probe"):
            self._probe(worker)
        return wrapped(*args, **kwargs)

    def _probe(self, worker: BaseWorker) -> None:
        problem = probe(worker.connection, self._runtime.keys)
        if problem and problem == worker.__dict__.get(OFF):
            return  # said before
        if problem:
            log.error(
                "jobtelemetry cannot record the jobs of this RQ worker; it runs them uninstrumented",
                extra={"rq_worker": worker.name, "problem": problem},
            )
            worker.log.error(
                "Worker %s: jobtelemetry cannot record jobs and is off for this worker: %s. What to do: %s",
                worker.name,
                problem,
                remedy(problem),
            )
            worker.__dict__[OFF] = problem
            self._runtime.suspend()
            sentry.decide(False)
            return
        self._runtime.resume()
        if worker.__dict__.pop(OFF, None):
            sentry.decide(True)
            log.warning("jobtelemetry can record the jobs of this RQ worker again", extra={"rq_worker": worker.name})
            pipe = worker.connection.pipeline()
            self._mark(worker, pipe)
            pipe.execute()

    def register(self, wrapped: Wrapped, module: Any, args: Args, kwargs: Kwargs) -> Any:
        """RQ registers a worker; ours is marked as instrumented in the same transaction."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("register"):
            worker = argument(wrapped, args, kwargs, "worker")
            pipeline = argument(wrapped, args, kwargs, "pipeline")
            if pipeline is not None and not worker.__dict__.get(OFF):
                self._mark(worker, pipeline)
        return result

    def _mark(self, worker: BaseWorker, pipeline: Any) -> None:
        birth = utcformat(worker.birth_date) if worker.birth_date else ""
        piggyback(pipeline, self._runtime).append(
            lambda pipe: pipe.hset(self._runtime.keys.instrumented, worker.name, birth)
        )

    def unregister(self, wrapped: Wrapped, module: Any, args: Args, kwargs: Kwargs) -> Any:
        """RQ forgets a worker, and so do we."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("register"):
            worker = argument(wrapped, args, kwargs, "worker")
            pipeline = argument(wrapped, args, kwargs, "pipeline")
            if pipeline is not None and not worker.__dict__.get(OFF):
                piggyback(pipeline, self._runtime).append(
                    lambda pipe: pipe.hdel(self._runtime.keys.instrumented, worker.name)
                )
        return result

    def run_maintenance_tasks(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """RQ cleans up after others; before that, count what they did not."""
        with self._runtime.fence("reconcile"):
            if worker.__dict__.get(OFF):
                self._probe(worker)
            if not worker.__dict__.get(OFF):
                for event in reconcile(worker.connection, self._runtime.keys, self._runtime.limits):
                    self._runtime.tell(event)
                forget_gone_workers(worker.connection, self._runtime.keys)
        with self._runtime.fence("flush"):
            if not worker.__dict__.get(OFF):
                write_own_errors(worker.connection, self._runtime)
        return wrapped(*args, **kwargs)

    def teardown(self, wrapped: Wrapped, worker: BaseWorker, args: Args, kwargs: Kwargs) -> Any:
        """A worker ends, and what it has reported is sent."""
        try:
            return wrapped(*args, **kwargs)
        finally:
            with self._runtime.fence("flush"):
                if not worker.is_horse:
                    self._runtime.flush()
                    self._runtime.spans.sdk.flush(provider())
            with self._runtime.fence("flush"):
                if not worker.is_horse and not worker.__dict__.get(OFF):
                    write_own_errors(worker.connection, self._runtime)
