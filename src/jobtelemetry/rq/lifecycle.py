"""The life of an RQ worker: can it be recorded, who is instrumented, and what others left behind."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import metadata
from typing import Any

from redis.exceptions import RedisError
from rq.version import VERSION
from rq.worker import SpawnWorker, Worker
from rq.worker.base import BaseWorker

from jobtelemetry import clock, otel
from jobtelemetry._version import __version__
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.piggyback import piggyback, write_own_errors
from jobtelemetry.rq.probe import has_no_scripts, probe, remedy
from jobtelemetry.rq.runtime import OFF, Runtime, log
from jobtelemetry.sinks import sentry
from jobtelemetry.sinks.tracing import provider
from jobtelemetry.store import deploys
from jobtelemetry.store.books import append_fold, append_register, registered, retire_idle
from jobtelemetry.store.keys import APP_VERSION, MEMORY_LIMIT, WORKER_MEMORY_FIELD
from jobtelemetry.store.scripts import load
from jobtelemetry.usage import held, job_memory_limit

#: Seconds between two times that an RQ worker says how much memory it has, and where it notes the last.
_MEMORY_EVERY = 10.0
_SAID_MEMORY = "_jobtelemetry_said_memory"


class LifecycleHooks:
    """The hooks around a worker's birth, maintenance and death."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def bootstrap(self, call: Call, rq_worker: BaseWorker) -> Any:
        """A worker starts; find out whether it can be recorded before it runs a job."""
        with self._runtime.fence("probe"):
            self._probe(rq_worker)
        with self._runtime.fence("register"):
            self._notice_version(rq_worker)
        with self._runtime.fence("trace"):
            otel.warn_without_provider()
        return call()

    def _notice_version(self, rq_worker: BaseWorker) -> None:
        """Before RQ registers this worker: then those that are there are others."""
        version = self._runtime.config.app_version
        if (
            version
            and not rq_worker.__dict__.get(OFF)
            and deploys.notice(rq_worker.connection, self._runtime.keys, version, by=f"RQ worker {rq_worker.name}")
        ):
            log.info("another version of the application runs", extra={"version": version})

    def _probe(self, rq_worker: BaseWorker) -> None:
        if self._runtime.off:  # said by instrument(), and no worker of this process can do anything about it
            rq_worker.__dict__[OFF] = self._runtime.off
            sentry.decide(False)
            return
        problem = probe(rq_worker.connection, self._runtime.keys)
        if problem and problem == rq_worker.__dict__.get(OFF):
            return  # said before
        if has_no_scripts(problem):
            self._runtime.without_scripts(problem)
            rq_worker.__dict__[OFF] = problem
            sentry.decide(False)
            return
        if problem:
            log.error(
                "jobtelemetry cannot record the jobs of this RQ worker; it runs them uninstrumented",
                extra={"rq_worker": rq_worker.name, "problem": problem},
            )
            rq_worker.log.error(
                "Worker %s: jobtelemetry cannot record jobs and is off for this worker: %s. What to do: %s",
                rq_worker.name,
                problem,
                remedy(problem, self._runtime.keys),
            )
            rq_worker.__dict__[OFF] = problem
            self._runtime.suspend()
            sentry.decide(False)
            return
        self._runtime.resume()
        with suppress(RedisError):  # this user may not; then each is sent when it is needed
            load(rq_worker.connection)
        if rq_worker.__dict__.pop(OFF, None):
            sentry.decide(True)
            log.warning("jobtelemetry can record the jobs of this RQ worker again", extra={"rq_worker": rq_worker.name})
            pipe = rq_worker.connection.pipeline()
            self._mark(rq_worker, pipe)
            pipe.execute()

    def register(self, call: Call, rq_worker: BaseWorker, pipeline: Any) -> Any:
        """RQ registers a worker; its account is opened and its hash marked in the same transaction."""
        result = call()
        if pipeline is not None:
            with self._runtime.fence("register"):
                if self._runtime.off:  # no account, and it says why
                    pipeline.hset(rq_worker.key, "jobtelemetry", self._said(rq_worker))
                elif not rq_worker.__dict__.get(OFF):
                    self._mark(rq_worker, pipeline, newborn=True)
        return result

    def _said(self, rq_worker: BaseWorker) -> str:
        said = versions() | self._runtime.remarks
        if version := self._runtime.config.app_version:
            said[APP_VERSION] = version
        if self._runtime.config.resources and isinstance(rq_worker, Worker):  # others measure no memory of a job
            limit = job_memory_limit(self._runtime.config.memory_limit, spawns=isinstance(rq_worker, SpawnWorker))
            if limit is not None:
                said[MEMORY_LIMIT] = str(limit)
        return json.dumps(said)

    def _mark(self, rq_worker: BaseWorker, pipeline: Any, *, newborn: bool = False) -> None:
        born = rq_worker.birth_date  # RQ has written it just now, by its own clock
        clock = born.timestamp() if born is not None and newborn else None
        said = self._said(rq_worker)

        def on_reply(reply: Any) -> None:
            known, fault = registered(reply)
            self._runtime.saw(known)
            if fault:
                self._runtime.note_error("register", fault)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_register(
                pipe, self._runtime.keys, rq_worker.key, said, known=self._runtime.known, clock=clock
            ),
            on_reply,
        )

    def heartbeat(self, call: Call, rq_worker: BaseWorker, pipeline: Any) -> Any:
        """A worker says that it lives; now and then it says how large it is as well, outside of RQ's pipelines."""
        result = call()
        if pipeline is None:
            with self._runtime.fence("register"):
                now = clock.monotonic()
                said = rq_worker.__dict__.get(_SAID_MEMORY)
                if not (said is not None and now - said < _MEMORY_EVERY) and self._speaks(rq_worker):
                    rq_worker.__dict__[_SAID_MEMORY] = now
                    if (memory := held()) is not None:
                        rq_worker.connection.hset(rq_worker.key, WORKER_MEMORY_FIELD, memory)
        return result

    def _speaks(self, rq_worker: BaseWorker) -> bool:
        return not (self._runtime.off or rq_worker.__dict__.get(OFF) or rq_worker.is_horse)

    def unregister(self, call: Call, rq_worker: BaseWorker, pipeline: Any) -> Any:
        """RQ forgets a worker, and its account goes into that of the departed."""
        result = call()
        if pipeline is not None and not rq_worker.__dict__.get(OFF):
            with self._runtime.fence("register"):
                piggyback(pipeline, self._runtime).append(
                    lambda pipe: append_fold(pipe, self._runtime.keys, rq_worker.key)
                )
        return result

    def run_maintenance_tasks(self, call: Call, rq_worker: BaseWorker) -> Any:
        """RQ cleans up after others; before that, count what they did not."""
        with self._runtime.fence("reconcile"):
            if rq_worker.__dict__.get(OFF) and not self._runtime.off:
                self._probe(rq_worker)
            if not rq_worker.__dict__.get(OFF):
                # Loaded where it is needed: not by those who enqueue.
                from jobtelemetry.store.reconcile import reconcile, tidy

                connection, keys = rq_worker.connection, self._runtime.keys
                for event in reconcile(connection, keys, self._runtime.limits):
                    self._runtime.sinks.tell(event)
                tidy(connection, keys)
                if days := self._runtime.config.retire_after:
                    retire_idle(connection, keys, seconds=days * 86_400)
        with self._runtime.fence("flush"):
            if not rq_worker.__dict__.get(OFF):
                write_own_errors(rq_worker.connection, self._runtime)
        return call()

    def teardown(self, call: Call, rq_worker: BaseWorker) -> Any:
        """A worker ends, and what it has reported is sent."""
        try:
            return call()
        finally:
            with self._runtime.fence("flush"):
                if not rq_worker.is_horse:
                    self._runtime.sinks.flush()
                    self._runtime.spans.sdk.flush(provider())
            with self._runtime.fence("flush"):
                if not rq_worker.is_horse and not rq_worker.__dict__.get(OFF):
                    write_own_errors(rq_worker.connection, self._runtime)


def versions() -> dict[str, str]:
    """What the mark in an RQ worker's hash says of it."""
    return {
        "jobtelemetry": __version__,
        "rq": VERSION,
        "redis": metadata.version("redis"),
    }
