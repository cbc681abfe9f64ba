"""The hooks of ``Queue``: every way into a queue, and synchronous queues, which run the job on the spot."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from rq import queue as rq_queue
from rq.defaults import DEFAULT_RESULT_TTL
from rq.job import Job, JobStatus
from rq.queue import Queue

from jobtelemetry.clock import monotonic, wall
from jobtelemetry.outcomes import Cancel, Discard, Ending
from jobtelemetry.rq import labels
from jobtelemetry.rq.attach import Call
from jobtelemetry.rq.cancel import write_cancelled
from jobtelemetry.rq.job import meet, note_put_back
from jobtelemetry.rq.piggyback import Labels, Piggyback, piggyback
from jobtelemetry.rq.run import Run, made_up_id, new_run, verdict_of
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.record import COUNTED, Booking, append_enqueued, append_finish, finished

#: What the executions of synchronous queues are booked under: no RQ worker counts them.
_SYNC = "sync"
#: Where this process runs, as RQ workers say it, too.
_HOST = socket.gethostname()

_entering: ContextVar[Job | None] = ContextVar("jobtelemetry_entering", default=None)
_running_sync: ContextVar[tuple[Job, Run] | None] = ContextVar("jobtelemetry_running_sync", default=None)


class EnqueueHooks:
    """Counts jobs as they are put on a queue, in the transaction that puts them there."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def enqueue(self, call: Call, queue: Queue, job: Job, unique: Any) -> Any:
        """A job is about to be put on the queue, at once or when its rate limit allows."""
        with self._runtime.fence("enqueue"):
            note_put_back(job)
            if job.get_status(refresh=False) != JobStatus.SCHEDULED or labels.due(job) is None:
                if getattr(job, "has_rate_limit", False):  # RQ dates it from when its limit lets it go
                    labels.note_due(job, wall())
                elif labels.due(job) is not None:
                    labels.note_due(job, None)
        token = _entering.set(None if unique else job)
        try:
            result = call()
        finally:
            _entering.reset(token)
        if unique:  # RQ does that in a script of its own
            with self._runtime.fence("enqueue"):
                pipe = queue.connection.pipeline(transaction=False)
                self._append(piggyback(pipe, self._runtime), {self._labels(job): 1})
                pipe.execute()
        return result

    def push(self, call: Call, owner: Any, pipeline: Any) -> Any:
        """The command that puts it there."""
        result = call()
        job = _entering.get()
        if job is not None and pipeline is not None:
            with self._runtime.fence("enqueue"):
                piggyback(pipeline, self._runtime).tally(self._labels(job), self._append)
        return result

    def _append(self, attached: Piggyback, counts: Mapping[Labels, int]) -> None:
        clock, who = _rqs_time(), f"{_HOST} {os.getpid()}"
        for (worker, queue, extra), number in counts.items():
            attached.append(
                lambda pipe, worker=worker, queue=queue, extra=extra, number=number: append_enqueued(  # type: ignore[misc]
                    pipe,
                    self._runtime.keys,
                    worker,
                    queue,
                    extra,
                    limits=self._runtime.limits,
                    number=number,
                    clock=clock,
                    who=who,
                )
            )

    def _labels(self, job: Job) -> Labels:
        return labels.of_waiting_job(job), job.origin, labels.extra_of(job, self._runtime.config.extra_labels)

    def schedule(self, call: Call, queue: Queue, job: Job, moment: datetime) -> Any:
        """A job is delayed; an intended delay is not waiting."""
        with self._runtime.fence("enqueue"):
            note_put_back(job)
            labels.note_due(job, moment.timestamp())
        return call()


def _rqs_time() -> float:
    """What time it is by the clock that RQ dates jobs with: it is that one, whatever was done to it, that counts."""
    now = getattr(rq_queue, "now", None)
    return float(now().timestamp()) if callable(now) else wall()


class SynchronousHooks:
    """Queues with ``is_async=False``: no RQ worker, no execution, and RQ retries nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def run_sync(self, call: Call, queue: Queue, job: Job) -> Any:
        """A job runs in the process that enqueued it."""
        here = None
        with self._runtime.fence("start"):
            run = new_run(job, _SYNC, _SYNC, made_up_id(), self._runtime.config.extra_labels)
            run.attempt = run.max_attempts = 1
            run.began = monotonic()
            if run.ready_at is not None:
                run.start = run.waited(run.start.started_at - run.ready_at)
            meet(job, run)
            here = (job, run)
        entered = None
        with self._runtime.fence("trace"):
            if here is not None:
                self._runtime.spans.start(here[1], here[0])
                entered = self._runtime.spans.enter(here[1], here[0], in_horse=False)
        token = _running_sync.set(here)
        try:
            return call()
        finally:
            _running_sync.reset(token)
            done = here[1].transaction if here is not None else None
            with self._runtime.fence("trace"):
                if entered is not None:
                    self._runtime.spans.leave(entered, in_horse=False)
                if here is not None and done is not None and done.event is not None:
                    self._runtime.spans.end(here[1], done.event)
            if done is not None and done.event is not None and done.answer == COUNTED:
                with self._runtime.fence("tell"):
                    self._runtime.sinks.tell(done.event)

    def run_job(self, call: Call, queue: Queue, job: Job) -> Any:
        """What a ``Cancel`` means without a worker."""
        try:
            return call()
        except Cancel as verdict:
            noted = None
            with self._runtime.fence("cancel"):
                noted = verdict_of(job)
            if noted is not verdict:
                raise
            job._success_callback = None  # type: ignore[assignment]
            if hasattr(job, "webhooks"):
                job.webhooks = []
            try:
                with queue.connection.pipeline() as pipeline:
                    write_cancelled(job, pipeline, verdict, DEFAULT_RESULT_TTL, self._runtime)
                    with self._runtime.fence("record"):
                        self._append(job, pipeline, Ending.CANCELLED, verdict)
                    pipeline.execute()
            except Exception as error:  # RQ then fails the job, as it would without us
                self._runtime.note_error("cancel", error)
                raise verdict from error
            return job

    def handle_success(self, call: Call, job: Job, pipeline: Any) -> Any:
        """RQ writes that the job finished."""
        result = call()
        if _running_sync.get() is not None:
            with self._runtime.fence("record"):
                self._append(job, pipeline, Ending.RETURNED, None)
        return result

    def handle_failure(self, call: Call, job: Job, pipeline: Any) -> Any:
        """RQ writes that the job failed."""
        result = call()
        if _running_sync.get() is not None:
            error = sys.exc_info()[1]
            ending = Ending.DISCARDED if isinstance(error, Discard) else Ending.RAISED
            with self._runtime.fence("record"):
                self._append(job, pipeline, ending, error)
        return result

    def _append(self, job: Job, pipeline: Any, ending: Ending, error: BaseException | None) -> None:
        here = _running_sync.get()
        if here is None or here[0] is not job or pipeline is None:
            return
        run = here[1]
        done = run.begin(ending, error=error)
        done.event = event = run.event(job, done)

        def on_reply(reply: Any) -> None:
            said = finished(reply)
            if said.redefined:
                self._runtime.say_redefined(said.redefined)
            done.answer = said.answer
            self._runtime.saw(said.known)
            if said.fault:
                self._runtime.note_error("record", said.fault)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_finish(
                pipe,
                self._runtime.keys,
                event,
                job_key=job.key,
                rq_worker_key=self._runtime.keys.rq_worker(_SYNC),
                limits=self._runtime.limits,
                booking=Booking(),
                known=self._runtime.known,
                measured=run.measured.taken() if run.measured is not None else None,
            ),
            on_reply,
        )
