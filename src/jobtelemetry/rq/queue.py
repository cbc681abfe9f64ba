"""The hooks of ``Queue``: every way into a queue, and synchronous queues, which run the job on the spot."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import uuid4

from rq.defaults import DEFAULT_RESULT_TTL
from rq.job import Job, JobStatus
from rq.queue import Queue

from jobtelemetry.outcomes import Cancel, Discard, Ending
from jobtelemetry.ratelimit import detect
from jobtelemetry.rq import labels
from jobtelemetry.rq.arguments import argument
from jobtelemetry.rq.cancel import write_cancelled
from jobtelemetry.rq.job import source_of
from jobtelemetry.rq.patch import Patches
from jobtelemetry.rq.piggyback import Labels, Piggyback, piggyback
from jobtelemetry.rq.run import Run, new_run, verdict_of
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store.record import COUNTED, append_enqueued, append_finish, finished

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Wrapped = Callable[..., Any]

_entering: ContextVar[Job | None] = ContextVar("jobtelemetry_entering", default=None)
_running_here: ContextVar[tuple[Job, Run] | None] = ContextVar("jobtelemetry_running_here", default=None)


class EnqueueHooks:
    """Counts jobs as they are put on a queue, in the transaction that puts them there."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        patches.wrap(Queue, "_enqueue_async_job", self.enqueue)
        patches.wrap(Queue, "_enqueue_rate_limited_job", self.enqueue)
        patches.wrap(Queue, "push_job_id", self.push)
        patches.wrap(Queue, "schedule_job", self.schedule)
        try:
            from rq.rate_limit import RateLimitRegistry
        except ImportError:  # before RQ 3
            return
        patches.wrap(RateLimitRegistry, "add_to_rate_limited", self.push)

    def enqueue(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job is about to be put on the queue, at once or when its rate limit allows."""
        job = None
        unique = False
        with self._runtime.fence("enqueue"):
            job = argument(wrapped, args, kwargs, "job")
            unique = bool(argument(wrapped, args, kwargs, "unique"))
            if job.get_status(refresh=False) != JobStatus.SCHEDULED and labels.due(job) is not None:
                labels.note_due(job, None)
        token = _entering.set(None if unique else job)
        try:
            result = wrapped(*args, **kwargs)
        finally:
            _entering.reset(token)
        if unique and job is not None:  # RQ does that in a script of its own
            with self._runtime.fence("enqueue"):
                pipe = queue.connection.pipeline(transaction=False)
                self._append(piggyback(pipe, self._runtime), Counter([_labels(job, self._runtime)]))
                pipe.execute()
        return result

    def push(self, wrapped: Wrapped, owner: Any, args: Args, kwargs: Kwargs) -> Any:
        """The command that puts it there."""
        result = wrapped(*args, **kwargs)
        job = _entering.get()
        if job is not None:
            with self._runtime.fence("enqueue"):
                pipeline = argument(wrapped, args, kwargs, "pipeline")
                if pipeline is not None:
                    piggyback(pipeline, self._runtime).tally(_labels(job, self._runtime), self._append)
        return result

    def _append(self, attached: Piggyback, counts: Counter[Labels]) -> None:
        for labels_, number in counts.items():
            attached.append(
                lambda pipe, labels_=labels_, number=number: append_enqueued(  # type: ignore[misc]
                    pipe,
                    self._runtime.keys,
                    *labels_,
                    now=time.time(),
                    limits=self._runtime.limits,
                    number=number,
                )
            )

    def schedule(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job is delayed; an intended delay is not waiting."""
        with self._runtime.fence("enqueue"):
            moment: datetime = argument(wrapped, args, kwargs, "datetime")
            labels.note_due(argument(wrapped, args, kwargs, "job"), moment.timestamp())
        return wrapped(*args, **kwargs)


def _labels(job: Job, runtime: Runtime) -> Labels:
    return labels.of_waiting_job(job), job.origin, source_of(job, runtime)


class SynchronousHooks:
    """Queues with ``is_async=False``: no RQ worker, no execution, and RQ retries nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def attach(self, patches: Patches) -> None:
        """Put the hooks in place."""
        patches.wrap(Queue, "run_sync", self.run_sync)
        patches.wrap(Queue, "run_job", self.run_job)
        patches.wrap(Job, "_handle_success", self.handle_success)
        patches.wrap(Job, "_handle_failure", self.handle_failure)

    def run_sync(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """A job runs in the process that enqueued it."""
        here = None
        with self._runtime.fence("start"):
            job: Job = argument(wrapped, args, kwargs, "job")
            run = new_run(job, "sync", uuid4().hex, self._runtime.config.source_label)
            run.attempt = run.max_attempts = 1
            run.performing_since = run.start.started_at
            here = (job, run)
        entered = None
        with self._runtime.fence("trace"):
            if here is not None:
                self._runtime.spans.start(here[1], here[0])
                entered = self._runtime.spans.enter(here[1], here[0], in_horse=False)
        token = _running_here.set(here)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _running_here.reset(token)
            with self._runtime.fence("trace"):
                if entered is not None:
                    self._runtime.spans.leave(entered, in_horse=False)
                if here is not None and here[1].event is not None:
                    self._runtime.spans.end(here[1], here[1].event)
            if here is not None and here[1].event is not None and here[1].answer == COUNTED:
                with self._runtime.fence("tell"):
                    self._runtime.tell(here[1].event)

    def run_job(self, wrapped: Wrapped, queue: Queue, args: Args, kwargs: Kwargs) -> Any:
        """What a ``Cancel`` means without a worker."""
        try:
            return wrapped(*args, **kwargs)
        except Cancel as verdict:
            noted = None
            with self._runtime.fence("cancel"):
                job: Job = argument(wrapped, args, kwargs, "job")
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

    def handle_success(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """RQ writes that the job finished."""
        result = wrapped(*args, **kwargs)
        with self._runtime.fence("record"):
            self._append(job, argument(wrapped, args, kwargs, "pipeline"), Ending.RETURNED, None)
        return result

    def handle_failure(self, wrapped: Wrapped, job: Job, args: Args, kwargs: Kwargs) -> Any:
        """RQ writes that the job failed."""
        result = wrapped(*args, **kwargs)
        error = sys.exc_info()[1]
        ending = Ending.DISCARDED if isinstance(error, Discard) else Ending.RAISED
        with self._runtime.fence("record"):
            self._append(job, argument(wrapped, args, kwargs, "pipeline"), ending, error)
        return result

    def _append(self, job: Job, pipeline: Any, ending: Ending, error: BaseException | None) -> None:
        here = _running_here.get()
        if here is None or here[0] is not job or pipeline is None:
            return
        run = here[1]
        run.ending, run.error = ending, error
        run.rate_limit = detect(error)
        run.event = event = run.to_event(job)

        def on_reply(reply: Any) -> None:
            run.answer, fault = finished(reply)
            if fault:
                self._runtime.note_error("record", fault)

        piggyback(pipeline, self._runtime).append(
            lambda pipe: append_finish(
                pipe,
                self._runtime.keys,
                event,
                job_key=job.key,
                rq_worker_key=self._runtime.keys.rq_worker("sync"),
                limits=self._runtime.limits,
                token=False,
            ),
            on_reply,
        )
