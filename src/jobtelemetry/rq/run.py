"""One execution as a process sees it: what is known at the start, what happened, and the event made of both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from rq.job import Job

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Cancel, Discard, Ending, Outcome, classify
from jobtelemetry.ratelimit import RateLimit
from jobtelemetry.rq import labels
from jobtelemetry.rq.horse import HorsePipe
from jobtelemetry.rq.horse_span import RunTrace, exception_facts
from jobtelemetry.store.record import AGAIN, COUNTED, LATE, Start
from jobtelemetry.text import class_name, text_of

_RUNS = "_jobtelemetry_runs"
_VERDICT = "_jobtelemetry_verdict"

_ending: ContextVar[Run | None] = ContextVar("jobtelemetry_ending", default=None)


@dataclass
class Run:
    """The facts of one execution, filled in as it goes. Forked work-horses inherit a copy.

    Args:
        start: What was known when it started.
        max_attempts: How often RQ would run the job in all.
        in_table: Whether the running table has it, so that its entry is the token.
        attempt: 1-based; 0 as long as Redis has not said it.
        pipe: From the horse to the parent; ``None`` where there is no horse.
        performing_since: When the job's function was called, Unix time.
        error: The exception that ended it.
        rate_limit: What was found in it.
        ending: What happened, before it is judged.
        will_retry: Whether RQ runs the job again.
        signal: What killed the horse.
        exited: Whether the horse ended by itself and was not killed.
        rq_counts: Endings that RQ has added to its worker's counts in the transaction being built.
        appended: Whether the transaction being built carries our record.
        counted_after: Endings that RQ counts in that transaction after our record.
        repeats_left: What the job had before its success.
        event: What was recorded.
        answer: What Redis said to it.
        told: Whether the sinks were told.
        said: What the horse said, once the parent has heard it.
        attributes: What the job added with ``set_attribute``.
        trace: Its CONSUMER span; ``None`` where nothing is traced.
        horse_gone: Whether RQ has seen the horse's end.
    """

    start: Start
    max_attempts: int = 0
    in_table: bool = False
    attempt: int = 0
    pipe: HorsePipe | None = None
    performing_since: float | None = None
    error: BaseException | None = None
    rate_limit: RateLimit | None = None
    ending: Ending | None = None
    will_retry: bool = False
    signal: int = 0
    exited: bool = False
    rq_counts: int = 0
    appended: bool = False
    counted_after: int = 0
    repeats_left: int | None = None
    event: ExecutionEvent | None = None
    answer: str = ""
    told: bool = False
    said: dict[str, Any] | None = None
    attributes: dict[str, str | int | float | bool] = field(default_factory=dict)
    trace: RunTrace | None = None
    horse_gone: bool = False

    @property
    def recorded(self) -> bool:
        """Whether Redis has this ending, by us or by somebody before."""
        return self.answer in (COUNTED, LATE, AGAIN)

    @property
    def over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.horse_gone or (self.pipe is None and self.recorded)

    def begin_transaction(self, ending: Ending, *, will_retry: bool = False) -> None:
        """Note what is about to be written."""
        self.ending, self.will_retry = ending, will_retry
        self.rq_counts, self.appended = 0, False

    def outcome(self) -> Outcome:
        """The judgement on it."""
        error = self.error
        reason = error.reason if isinstance(error, (Cancel, Discard)) else ""
        error_type = class_name(error) if error is not None and self.ending is Ending.RAISED else ""
        return classify(
            self.ending or Ending.RETURNED, will_retry=self.will_retry, reason=reason, error_type=error_type
        )

    def to_event(self, job: Job) -> ExecutionEvent:
        """The frozen event for every consumer."""
        now = time.time()
        began = self.performing_since or self.start.started_at
        ended = job.ended_at.timestamp() if job.ended_at else now
        if not began <= ended <= now:
            ended = now  # of an earlier attempt
        ready = self.start.ready_at
        outcome = self.outcome()
        traced = self.trace if self.trace is not None and self.trace.sampled else None
        return ExecutionEvent(
            execution_id=self.start.execution_id,
            job_id=self.start.job_id,
            worker=labels.of_loaded_job(job, self.start.worker),
            queue=self.start.queue,
            rq_worker=self.start.rq_worker,
            outcome=outcome,
            attempt=self.attempt,
            max_attempts=self.max_attempts,
            started_at=self.start.started_at,
            ended_at=now,
            duration=max(0.0, ended - began),
            wait=None if ready is None else max(0.0, self.start.started_at - ready),
            source=self.start.source,
            message=_first_line(self.error),
            trace_id=f"{traced.context.trace_id:032x}" if traced else "",
            span_id=f"{traced.context.span_id:016x}" if traced else "",
            timeout=float(job.timeout) if job.timeout and job.timeout > 0 else None,
            exception=exception_facts(self.error) if traced and self.error and outcome.state.failed else {},
            attributes=dict(self.attributes),
            signal=self.signal,
            rate_limited=self.rate_limit is not None,
            retry_after=self.rate_limit.retry_after if self.rate_limit else None,
            report=labels.report(job),
            error=self.error,
        )


def new_run(job: Job, rq_worker: str, execution_id: str, source_label: bool, *, started_at: float | None = None) -> Run:
    """The run of a job that is about to start, or that started when nobody took notice. Loads nothing of the job."""
    retries_left = job.retries_left or 0
    began = time.time() if started_at is None else started_at
    due, enqueued = labels.due(job), job.enqueued_at.timestamp() if job.enqueued_at else None
    created = job.created_at.timestamp() if job.created_at else 0.0
    if due is not None and not created <= due <= began:
        due = None  # of an earlier job with this id
    start = Start(
        execution_id=execution_id,
        job_id=job.id,
        worker=labels.of_waiting_job(job),
        queue=job.origin,
        rq_worker=rq_worker,
        started_at=began,
        ready_at=enqueued if due is None else due,
        retries_left=retries_left,
        source=str(job.meta.get("source") or "") if source_label and isinstance(job.meta, dict) else "",
    )
    return Run(start, max_attempts=retries_left + 1)


def current_execution(worker: Any, job: Job) -> Any:
    """RQ's execution of a job that it is creating or running; RQ 3 keeps several by id, RQ 2 one. ``None`` without."""
    executions = getattr(worker, "executions", None)
    candidates = reversed(executions.values()) if executions is not None else [worker.execution]
    return next((execution for execution in candidates if execution and execution.job_id == job.id), None)


def runs_of(worker: Any) -> dict[str, Run]:
    """The runs of an RQ worker by job id."""
    return worker.__dict__.setdefault(_RUNS, {})  # type: ignore[no-any-return]


@contextmanager
def ending(run: Run | None) -> Iterator[None]:
    """While this lasts, an ending that RQ counts for its worker is the one of this run."""
    token = _ending.set(run)
    try:
        yield
    finally:
        _ending.reset(token)


def run_that_ends() -> Run | None:
    """The run whose ending RQ is writing in this thread."""
    return _ending.get()


def note_verdict(job: Job, verdict: Cancel | Discard) -> None:
    """Remember that the job itself chose its ending."""
    job.__dict__[_VERDICT] = verdict


def verdict_of(job: Job) -> Cancel | Discard | None:
    """What the job itself chose, if it did."""
    return job.__dict__.get(_VERDICT)


def forget_verdict(job: Job) -> None:
    """A job object that runs again (a synchronous queue) starts anew."""
    job.__dict__.pop(_VERDICT, None)


def _first_line(error: BaseException | None) -> str:
    if error is None:
        return ""
    lines = text_of(error.detail if isinstance(error, (Cancel, Discard)) else error).strip().splitlines()
    return lines[0][:500] if lines else ""
