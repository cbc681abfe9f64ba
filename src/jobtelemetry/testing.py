"""For the unit tests of your jobs: run one without Redis or a worker, and see how it would have ended.

::

    from jobtelemetry.testing import assert_ended, execute


    def test_an_unknown_film_is_cancelled():
        event = execute(match_film, 4711)
        assert_ended(event, "cancelled", reason="film_unknown")

What decides is what decides in a worker, :func:`jobtelemetry.outcomes.classify`. Nothing is counted, logged, traced or
sent, callbacks are not called, and RQ's time limit does not apply. Under pytest there are the fixtures ``execute_job``
and ``execute_job_to_the_end``, which are these functions.

What a job measures with :class:`jobtelemetry.Counter` and its like is collected instead of written::

    with collect_metrics() as metrics:
        execute(sell_tickets, 3)
    assert metrics.get_sample_value("cinema_tickets_total", {"film": "Alien"}) == 3

The fixture ``collected_metrics`` does it for a whole test.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from jobtelemetry import executing
from jobtelemetry.attributes import MOST_ATTRIBUTES, Value, receive
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.options import options_of
from jobtelemetry.outcomes import Cancel, Discard, Ending, State, classify, reason_of, verdict_in
from jobtelemetry.ratelimit import detect
from jobtelemetry.text import class_name, text_of

if TYPE_CHECKING:
    from rq import Retry
    from rq.job import Job

__all__ = ["CollectedMetrics", "assert_ended", "collect_metrics", "execute", "execute_to_the_end"]

_MOST_ATTEMPTS = 1_000


def execute(
    function: Callable[..., Any] | str,
    *args: Any,
    retry: Retry | None = None,
    meta: dict[str, Any] | None = None,
    job_id: str | None = None,
    **kwargs: Any,
) -> ExecutionEvent:
    """Run a job once, as its first attempt.

    Args:
        function: What you give to ``Queue.enqueue``: a function, a coroutine function, a method, a dotted path.
        args: The job's arguments.
        retry: As for ``Queue.enqueue``: with retries left, an error is a ``failure`` and not a ``discard``.
        meta: What ``rq.get_current_job().meta`` has while the job runs.
        job_id: The id of that job; made up by default.
        kwargs: The job's keyword arguments.

    Returns:
        The event that log, Sentry and spans would get; ``event.error`` is the exception itself.
    """
    return _Attempts(function, args, kwargs, retry, meta, job_id).next()


def execute_to_the_end(
    function: Callable[..., Any] | str,
    *args: Any,
    retry: Retry | None = None,
    meta: dict[str, Any] | None = None,
    job_id: str | None = None,
    **kwargs: Any,
) -> list[ExecutionEvent]:
    """Run a job as often as RQ would, without waiting in between.

    Args:
        function, args, retry, meta, job_id, kwargs: As for :func:`execute`.

    Returns:
        One event for each attempt; the last one has a state after which the job does not run again.

    Raises:
        AssertionError: It is not at its end after 1,000 attempts.
    """
    attempts = _Attempts(function, args, kwargs, retry, meta, job_id)
    events = [attempts.next()]
    while not events[-1].outcome.state.terminal:
        if len(events) == _MOST_ATTEMPTS:
            raise AssertionError(f"{events[-1].worker} still runs again after {_MOST_ATTEMPTS} attempts")
        events.append(attempts.next())
    return events


def assert_ended(
    event: ExecutionEvent, state: State | str, *, reason: str | None = None, error_type: str | None = None
) -> None:
    """Assert how an execution ended; where it did not end so, the message says how it did.

    Args:
        event: What :func:`execute` returned.
        state: The state that is expected.
        reason: The reason that ``Cancel`` or ``Discard`` must have given; any by default.
        error_type: The class name of the exception; any by default.

    Raises:
        AssertionError: It ended otherwise. Its cause is the job's exception, so that the traceback shows where.
        ValueError: There is no such state.
    """
    wanted = State(state)
    outcome = event.outcome
    expected = {"reason": reason, "error_type": error_type}
    if outcome.state is wanted and all(
        value is None or getattr(outcome, name) == value for name, value in expected.items()
    ):
        return
    also = "".join(f", {name} {value!r}" for name, value in expected.items() if value is not None)
    why = outcome.reason or outcome.error_type
    got = f"{outcome.state}{f' ({why})' if why else ''}{f': {event.message}' if event.message else ''}"
    _fail(f"expected {event.worker} to end as {wanted}{also}; it ended as {got}", event.error)


def _fail(message: str, cause: BaseException | None) -> NoReturn:
    raise AssertionError(message) from cause


class CollectedMetrics:
    """What was measured in metrics of one's own while this was in place of Redis."""

    def __init__(self) -> None:
        self.measured: executing.Measured | None = None

    def measure(self, measured: executing.Measured) -> None:
        """Something is measured for the first time."""
        self.measured = measured

    def get_sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """The value of one sample, as ``prometheus_client.CollectorRegistry.get_sample_value`` gives it.

        Args:
            name: As it stands at the exporter: ``tickets_total``, ``price_euros_bucket``, ``price_euros_sum``.
            labels: Its labels; none by default.

        Returns:
            The value, ``None`` if nothing of it was measured.
        """
        from jobtelemetry.own_metrics.buffer import Buffer

        found = self.measured.values() if isinstance(self.measured, Buffer) else {}
        return found.get((name, tuple(sorted((labels or {}).items()))))


@contextmanager
def collect_metrics() -> Iterator[CollectedMetrics]:
    """While this lasts, what is measured in this process in metrics of one's own is collected, and not written."""
    collected = CollectedMetrics()
    with executing.instead(collected):
        yield collected


class _Attempts:
    """The attempts of one job, one after the other."""

    def __init__(
        self,
        function: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retry: Retry | None,
        meta: dict[str, Any] | None,
        job_id: str | None,
    ) -> None:
        from rq.utils import import_attribute

        self._function = import_attribute(function) if isinstance(function, str) else function
        self._args, self._kwargs = args, kwargs
        self._job = _job_without_server(self._function, args, kwargs)
        self._job.id = job_id or uuid4().hex
        self._job.meta = {} if meta is None else meta
        self._job.retries_left = retry.max if retry is not None else None
        own = options_of(self._function).max_attempts
        self._max_attempts = max(own, (self._job.retries_left or 0) + 1)
        self._others = own  # attempts that something outside of RQ starts
        self._attempt = 0

    def next(self) -> ExecutionEvent:
        """Run the job once more."""
        self._attempt += 1
        attributes: dict[str, Value] = {}
        started, began = time.time(), time.monotonic()
        result, error = copy_context().run(self._perform, attributes)
        ending, will_retry = self._judge(result, error)
        failed_of = class_name(error) if ending is Ending.RAISED else ""
        limit = detect(error) if ending is Ending.RAISED else None
        return ExecutionEvent(
            execution_id=uuid4().hex,
            job_id=self._job.id,
            worker=_label(self._function),
            queue=self._job.origin,
            rq_worker="testing",
            outcome=classify(ending, will_retry=will_retry, reason=_reason(error), error_type=failed_of),
            attempt=self._attempt,
            max_attempts=self._max_attempts,
            started_at=started,
            ended_at=time.time(),
            duration=time.monotonic() - began,
            message=_first_line(error),
            attributes=attributes,
            rate_limited=limit is not None,
            retry_after=limit.retry_after if limit is not None else None,
            error=error,
        )

    def _perform(self, attributes: dict[str, Value]) -> tuple[Any, BaseException | None]:
        """What the job returned, and what it raised; in a context of its own, where ``set_attribute`` works."""

        def keep(key: str, value: Value) -> None:
            if key in attributes or len(attributes) < MOST_ATTRIBUTES:
                attributes[key] = value

        receive(keep)
        # What nobody collects must not be written either.
        collecting: AbstractContextManager[object] = nullcontext() if executing.taken_over() else collect_metrics()
        try:
            with collecting, _current(self._job):
                result = self._function(*self._args, **self._kwargs)
                if inspect.iscoroutine(result):
                    result = asyncio.run(result)
            verdict = verdict_in(result)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what RQ takes for a failure of the job
            return None, error
        return (result, None) if verdict is None else (None, verdict)

    def _judge(self, result: Any, error: BaseException | None) -> tuple[Ending, bool]:
        """What happened, and whether RQ would run the job again because of an error. As RQ reckons retries."""
        from rq import Retry

        job = self._job
        if isinstance(error, Cancel):
            return Ending.CANCELLED, False
        if isinstance(error, Discard):
            return Ending.DISCARDED, False
        if error is not None:
            left = job.retries_left or 0
            job.retries_left = max(0, left - 1)
            return Ending.RAISED, left > 0 or self._attempt < self._others
        if not isinstance(result, Retry):
            return Ending.RETURNED, False
        returned = job.number_of_retries or 0
        if not returned or returned < result.max:
            job.number_of_retries = returned + 1
            return Ending.RETRY_RETURNED, False
        left = 0 if _ends_beyond_maximum() else job.retries_left or 0
        job.retries_left = max(0, left - 1)
        return Ending.RETRIES_EXHAUSTED, left > 0


def _job_without_server(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
    """A job of RQ's that never reaches a server."""
    from redis import ConnectionPool, Redis
    from redis.exceptions import ConnectionError as RedisConnectionError
    from rq.job import Job

    class NoServer(ConnectionPool):
        def get_connection(self, *_args: Any, **_kwargs: Any) -> NoReturn:
            raise RedisConnectionError("no Redis: jobtelemetry.testing runs jobs without one")

    return Job.create(function, args, kwargs, connection=Redis(connection_pool=NoServer()), origin="default")


@contextmanager
def _current(job: Job) -> Iterator[None]:
    """While this lasts, ``rq.get_current_job()`` is the job: a context variable from RQ 3 on, a stack before."""
    from rq import job as of_rq

    variable = getattr(of_rq, "_current_job", None)
    if variable is not None:
        token = variable.set(job)
        try:
            yield
        finally:
            variable.reset(token)
    else:
        stack = getattr(of_rq, "_job_stack")  # noqa: B009 - mypy knows RQ 3 alone
        stack.push(job)
        try:
            yield
        finally:
            stack.pop()


def _ends_beyond_maximum() -> bool:
    """Whether a ``Retry`` beyond its maximum is the job's end: an older RQ takes it for an error that was raised."""
    from rq.results import Result

    return hasattr(Result, "create_max_retries_exceeded")


def _label(function: Callable[..., Any]) -> str:
    from jobtelemetry.rq.labels import of_callable

    return of_callable(function)


def _reason(error: BaseException | None) -> str:
    return reason_of(error) if isinstance(error, (Cancel, Discard)) else ""


def _first_line(error: BaseException | None) -> str:
    if error is None:
        return ""
    lines = text_of(error.detail if isinstance(error, (Cancel, Discard)) else error).strip().splitlines()
    return lines[0][:500] if lines else ""
