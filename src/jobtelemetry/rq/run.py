"""One execution as a process sees it, by phase.

What is fixed when it starts, what the job did, how RQ ends it, and what only the parent of a work-horse knows. A horse
that was forked has a copy; what each phase is true for, the class of that phase says.
"""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from rq.job import Job

from jobtelemetry.clock import monotonic, wall
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.executing import Measured
from jobtelemetry.forking.horse_span import RunTrace, exception_facts
from jobtelemetry.forking.pipe import HorsePipe
from jobtelemetry.outcomes import Cancel, Discard, Ending, Found, Outcome, State, classify, reason_of
from jobtelemetry.ratelimit import RateLimit, detect
from jobtelemetry.rq import labels
from jobtelemetry.store.own import Measurements
from jobtelemetry.store.record import AGAIN, COUNTED, LATE, Start, Started
from jobtelemetry.text import class_name, text_of
from jobtelemetry.usage import UNKNOWN, Meter, Usage, of_ended

_RUNS = "_jobtelemetry_runs"
_VERDICT = "_jobtelemetry_verdict"

_ending: ContextVar[Run | None] = ContextVar("jobtelemetry_ending", default=None)


@dataclass
class Performance:
    """What the job's function did, in the process that called it.

    Args:
        began: When it was called, by the monotonic clock; ``None`` before.
        ended: When it returned or raised.
        returned: Whether it returned; ``None`` before.
        raised: What it raised: the class of an exception, the reason of a ``Discard``; empty for nothing.
        cancelled: The reason of the ``Cancel`` that it raised or returned; empty without.
        error: The exception that ends the execution: the function's, or a callback's after it.
        rate_limit: What was found in it.
        put_back: Whether somebody has put the job on a queue again since: an exception handler, a failure callback.
    """

    began: float | None = None
    ended: float | None = None
    returned: bool | None = None
    raised: str = ""
    cancelled: str = ""
    error: BaseException | None = None
    rate_limit: RateLimit | None = None
    put_back: bool = False

    def noticed(self, error: BaseException) -> None:
        """The function raised it. Whether that ends the execution, RQ or the application's worker class decides."""
        if isinstance(error, Cancel):
            self.cancelled = reason_of(error)
        else:
            self.raised = reason_of(error) if isinstance(error, Discard) else class_name(error)

    def failed_of(self, error: BaseException | None) -> None:
        """This is what went wrong."""
        self.error, self.rate_limit = error, detect(error)

    @property
    def error_type(self) -> str:
        """The class of the exception; empty without."""
        if self.error is None:
            return self.raised
        return reason_of(self.error) if isinstance(self.error, Discard) else class_name(self.error)

    @property
    def message(self) -> str:
        """The first line of what it says."""
        return _first_line(self.error)


@dataclass
class Transaction:
    """How RQ ends it, in the transaction that is being built; a new one for every ending that RQ tries.

    Args:
        ending: What happened, before it is judged.
        will_retry: Whether RQ runs the job again.
        error: The exception that ended it.
        rate_limit: What was found in it.
        repeats_left: What the job had before its success.
        event: What was recorded.
        answer: What Redis said to it.
    """

    ending: Ending
    will_retry: bool = False
    error: BaseException | None = None
    rate_limit: RateLimit | None = None
    repeats_left: int | None = None
    event: ExecutionEvent | None = None
    answer: str = ""

    @property
    def recorded(self) -> bool:
        """Whether Redis has this ending, by us or by somebody before."""
        return self.answer in (COUNTED, LATE, AGAIN)

    def outcome(self) -> Outcome:
        """The judgement on it."""
        error = self.error
        reason = error.reason if isinstance(error, (Cancel, Discard)) else ""
        error_type = class_name(error) if error is not None and self.ending is Ending.RAISED else ""
        return classify(self.ending, will_retry=self.will_retry, reason=reason, error_type=error_type)


@dataclass
class Horse:
    """What waits for the end of a work-horse, in its parent; in the horse, its end of the pipe.

    Args:
        pipe: From the horse to the parent; ``None`` where the application's worker class forks by itself.
        said: What the horse said, once the parent has heard it.
        lives_on: Whether some process still holds the pipe after the horse's end: it forked, and the job goes on there.
        signal: What killed the horse.
        exited: Whether it ended by itself and was not killed.
        gone: Whether RQ has seen its end.
        rusage: What the kernel said of it when it ended; ``None`` where nobody measures.
    """

    pipe: HorsePipe | None = None
    said: dict[str, Any] | None = None
    lives_on: bool = False
    signal: int = 0
    exited: bool = False
    gone: bool = False
    rusage: Any = None

    def used(self) -> Usage:
        """In the parent: what the horse took until its end."""
        if self.rusage is None:
            return UNKNOWN
        told = (self.said or {}).get("memory")
        return of_ended(self.rusage, None if told is None else (told[0], told[1]))

    def hear(self) -> dict[str, Any]:
        """In the parent: what the horse said before it ended."""
        if self.said is None:
            if self.pipe is None:
                return {}
            self.said = self.pipe.receive()
            self.lives_on = self.pipe.held
        return self.said

    def tell_performed(self, done: Performance) -> None:
        """In the horse: the job's function has returned or raised, and RQ goes on from here."""
        if self.pipe is not None:
            said = {"returned": done.returned, "error_type": done.raised, "cancelled": done.cancelled}
            self.pipe.tell(**{name: value for name, value in said.items() if value != ""})


@dataclass
class Run:
    """One execution.

    Args:
        start: What was known when it started.
        ready_at: When it could run, Unix time by the producer's clock; ``None`` if unknown.
        home: The process that started it.
        began: When that was, by the monotonic clock.
        attempt: 1-based; 0 as long as Redis has not said it.
        max_attempts: How often RQ would run the job in all.
        in_table: Whether the running table has it.
        trace: Its CONSUMER span; ``None`` where nothing is traced.
        attributes: What the job added with ``set_attribute``.
        performance: What the job did.
        transaction: How RQ ends it; ``None`` before.
        horse: What waits for its work-horse; ``None`` where there is none.
        meter: What measures it, in the process that performs it; ``None`` elsewhere, and where nobody measures.
        told: Whether the sinks were told.
        measured: What the job measured in metrics of its own; ``None`` if nothing.
        horse_pid: In the horse: its process.
    """

    start: Start
    ready_at: float | None = None
    home: int = field(default_factory=os.getpid)
    began: float = field(default_factory=monotonic)
    attempt: int = 0
    max_attempts: int = 0
    in_table: bool = False
    trace: RunTrace | None = None
    attributes: dict[str, str | int | float | bool] = field(default_factory=dict)
    performance: Performance = field(default_factory=Performance)
    transaction: Transaction | None = None
    horse: Horse | None = None
    meter: Meter | None = None
    told: bool = False
    measured: Measured | None = None
    horse_pid: int = 0

    @property
    def performed_here(self) -> bool:
        """Whether its job runs in this process, and not in one that the job has forked."""
        return os.getpid() == (self.horse_pid or self.home)

    def measure(self, measured: Measured) -> None:
        """The job measures something; if its horse is killed, the parent knows that it is lost."""
        self.measured = measured
        if self.horse_pid and self.horse is not None and self.horse.pipe is not None:
            self.horse.pipe.tell(measured=True)

    @property
    def in_horse(self) -> bool:
        """Whether this is another process than the one that started it."""
        return os.getpid() != self.home

    @property
    def recorded(self) -> bool:
        """Whether this process knows that Redis has its end."""
        return self.transaction is not None and self.transaction.recorded

    @property
    def over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.recorded if self.horse is None else self.horse.gone

    @property
    def made_up(self) -> bool:
        """Whether RQ created no execution for it."""
        return not self.start.execution_id or self.start.execution_id.startswith(_MADE_UP)

    def hear(self) -> dict[str, Any]:
        """In the parent: what the horse said before it ended; the attributes of its job are the run's from now on."""
        if self.horse is None:
            return {}
        said = self.horse.hear()
        self.attributes.update(said.get("attributes", {}))
        if "measured" in said and self.measured is None:
            self.measured = Measurements(unwritten=True)
        return said

    def used(self) -> Usage:
        """What it took until now, or until its work-horse ended."""
        if self.meter is not None:
            return self.meter.read()
        return self.horse.used() if self.horse is not None else UNKNOWN

    def waited(self, seconds: float) -> Start:
        """The start with a wait that nobody but this process knows."""
        return self.start._replace(wait=max(0.0, seconds))

    def started(self, said: Started) -> None:
        """Redis has written its start."""
        self.attempt, self.in_table = said.attempt, not said.fault
        self.max_attempts = said.attempt + self.start.retries_left
        if said.at is not None:
            self.start = self.start._replace(started_at=said.at, wait=said.wait)

    def begin(self, ending: Ending, *, will_retry: bool = False, error: BaseException | None = None) -> Transaction:
        """RQ is about to write its end."""
        limit = self.performance.rate_limit if error is self.performance.error else detect(error)
        self.transaction = Transaction(ending, will_retry, error, limit)
        return self.transaction

    def event(self, job: Job, transaction: Transaction | None = None) -> ExecutionEvent:
        """The frozen event for every consumer.

        Args:
            transaction: How it ends; without, only what is known before.
        """
        ended = monotonic()
        done = self.performance.ended if self.performance.ended is not None else ended
        outcome = transaction.outcome() if transaction is not None else Outcome(State.COMPLETED)
        error = transaction.error if transaction is not None else None
        limit = transaction.rate_limit if transaction is not None else None
        used = self.used()
        traced = self.trace if self.trace is not None and self.trace.sampled else None
        return ExecutionEvent(
            execution_id=self.start.execution_id,
            job_id=self.start.job_id,
            worker=labels.of_loaded_job(job, self.start.worker),
            queue=self.start.queue,
            rq_worker=self.start.rq_worker,
            outcome=outcome,
            attempt=self.attempt,
            max_attempts=max(self.max_attempts, labels.max_attempts(job)),
            started_at=self.start.started_at,
            ended_at=self.start.started_at + max(0.0, ended - self.began),
            duration=max(0.0, done - self.began),
            wait=self.start.wait,
            labels=dict(self.start.extra),
            message=_first_line(error),
            trace_id=f"{traced.context.trace_id:032x}" if traced else "",
            span_id=f"{traced.context.span_id:016x}" if traced else "",
            timeout=_timeout(job),
            exception=exception_facts(error) if traced and error and outcome.state.failed else {},
            attributes=dict(self.attributes),
            cpu=used.cpu,
            memory=used.memory,
            signal=self.horse.signal if self.horse is not None else 0,
            rate_limited=limit is not None,
            retry_after=limit.retry_after if limit else None,
            report=labels.report(job),
            error=error,
        )

    def found(self, asked: str, *, died: str, stopped: bool = False) -> Found:
        """What this process can say where nobody has reported the end; the store adds what Redis has."""
        said = (self.horse.said or {}) if self.horse is not None else {}
        cancelled = said.get("cancelled") or self.performance.cancelled
        state = said.get("state") or (State.CANCELLED if cancelled else None)
        return Found(
            asked=asked,
            exists=False,
            status="",
            told=State(state) if state else None,
            returned=said.get("returned", self.performance.returned),
            error_type=said.get("error_type") or self.performance.error_type or self.performance.raised,
            reason=said.get("reason") or cancelled,
            died=died,
            stopped=stopped,
        )


#: Begins the id of an execution that RQ did not create.
_MADE_UP = "jobtelemetry-"


def new_run(
    job: Job,
    rq_worker: str,
    account: str,
    execution_id: str,
    extra_labels: tuple[str, ...],
    created_at: datetime | None = None,
) -> Run:
    """The run of a job that is about to start, or that started when nobody took notice. Loads nothing of the job.

    Args:
        execution_id: RQ's, or empty where it has none.
        created_at: When RQ created the execution, if that was before; then nobody asks Redis about its start.
    """
    retries_left = job.retries_left or 0
    due, enqueued = labels.due(job), _unix(job.enqueued_at)
    if due is not None and not (_unix(job.created_at) or 0.0) <= due <= wall():
        due = None  # of an earlier job with this id
    start = Start(
        execution_id=execution_id or made_up_id(),
        job_id=job.id,
        worker=labels.of_waiting_job(job),
        queue=job.origin,
        rq_worker=rq_worker,
        account=account,
        started_at=wall(),
        retries_left=retries_left,
        extra=labels.extra_of(job, extra_labels),
    )
    run = Run(start, ready_at=enqueued if due is None else due, max_attempts=retries_left + 1)
    created = _unix(created_at)
    if created is not None and created < start.started_at:
        run.began -= start.started_at - created
        wait = None if run.ready_at is None else max(0.0, created - run.ready_at)
        run.start = start._replace(started_at=created, wait=wait)
    return run


def made_up_id() -> str:
    """An id for an execution that RQ does not create."""
    return f"{_MADE_UP}{uuid4().hex}"


def current_execution(worker: Any, job: Job) -> Any:
    """RQ's execution of a job that it is creating or running; RQ 3 keeps several by id, RQ 2 one. ``None`` without."""
    executions = getattr(worker, "executions", None)
    candidates = reversed(executions.values()) if executions is not None else [worker.execution]
    return next((execution for execution in candidates if execution and execution.job_id == job.id), None)


def runs_of(worker: Any) -> dict[str, Run]:
    """The runs of an RQ worker by job id."""
    return worker.__dict__.setdefault(_RUNS, {})  # type: ignore[no-any-return]


def ending_of(run: Run | None) -> Token[Run | None]:
    """From now on, until :func:`ended`, what RQ writes in this thread is the end of this run."""
    return _ending.set(run)


def ended(token: Token[Run | None]) -> None:
    """RQ has written it."""
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


def _unix(moment: Any) -> float | None:
    try:
        return float(moment.timestamp()) if moment is not None else None
    except (OverflowError, ValueError, OSError):  # a year that no clock has
        return None


def _timeout(job: Job) -> float | None:
    return float(job.timeout) if job.timeout and job.timeout > 0 else None


def _first_line(error: BaseException | None) -> str:
    if error is None:
        return ""
    lines = text_of(error.detail if isinstance(error, (Cancel, Discard)) else error).strip().splitlines()
    return lines[0][:500] if lines else ""
