"""The jobs of the soak. Each writes into the ledger when it starts and how it is about to end."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rq import Retry, get_current_job

import jobtelemetry
from jobtelemetry import Cancel, Counter, Discard

from .ledger import note

F = TypeVar("F", bound=Callable[..., Any])

#: RQ's id of the execution that this process is running, set by the soak's workers. Up to RQ 2 a spawned horse is a
#: plain worker, but RQ tells it the id in its environment.
current_execution = os.environ.get("RQ_EXECUTION_ID", "")


#: Raised by every job, in the execution that it is: the verdict compares it with the ledger.
MEASURED = Counter("soak_measured", "Jobs that began.", ["execution"])


def _witnessed(function: F) -> F:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        job = get_current_job()
        assert job is not None
        facts = {"job": job.id, "execution": current_execution}
        retries = {"retries_left": job.retries_left or 0, "number_of_retries": job.number_of_retries or 0}
        note("start", **facts, **retries, kind=function.__name__, parent=os.getppid())
        if jobtelemetry.is_instrumented():
            MEASURED.labels(current_execution).inc()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            note("end", **facts, how="raised", what=type(error).__name__, reason=getattr(error, "reason", ""))
            raise
        reason = getattr(result, "reason", "")
        note("end", **facts, how="returned", what=type(result).__name__, reason=reason, most=getattr(result, "max", 0))
        return result

    return run  # type: ignore[return-value]


class ShowtimeNotFound(LookupError):
    """An error of the application's own."""


@_witnessed
def complete(seconds: float = 0.0) -> str:
    """Return."""
    time.sleep(seconds)
    return "done"


@_witnessed
def cancel(seconds: float = 0.0, returned: bool = False) -> Any:
    """End as cancelled."""
    time.sleep(seconds)
    verdict = Cancel("movie_not_matched", detail="no film is as similar as 0.60")
    if returned:
        return verdict
    raise verdict


@_witnessed
def discard(seconds: float = 0.0) -> None:
    """Fail for good."""
    time.sleep(seconds)
    raise Discard("bad_payload")


@_witnessed
def fail(seconds: float = 0.0) -> None:
    """Raise."""
    time.sleep(seconds)
    raise ShowtimeNotFound("as told")


@_witnessed
def sometimes(seconds: float = 0.0, attempts: int = 2) -> str:
    """Raise in the attempts before the last."""
    job = get_current_job()
    time.sleep(seconds)
    assert job is not None
    if (job.retries_left or 0) > 0 and attempts > 1:
        raise ShowtimeNotFound("not yet")
    return "done"


@_witnessed
def come_again(most: int = 2, interval: int = 0) -> Retry:
    """Return a ``Retry`` until there are too many."""
    return Retry(max=most, interval=interval)


@_witnessed
def overrun() -> None:
    """Run into the timeout."""
    while True:
        time.sleep(0.01)


@_witnessed
def die(how: str) -> None:
    """Die: by a signal, or with exit code 0."""
    job = get_current_job()
    assert job is not None
    note("dying", job=job.id, execution=current_execution, how=how)
    if how == "exit":
        os._exit(0)
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(60)


@_witnessed
def unpicklable() -> Any:
    """Return what no serializer can save."""
    return lambda: None


def failing_callback(*_: Any) -> None:
    """A success callback that raises."""
    raise ShowtimeNotFound("in the callback")
