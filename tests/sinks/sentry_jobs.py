"""The jobs of these tests: one for each way to end. Importable by spawned work-horses too."""

from __future__ import annotations

import os
import signal
import time
from email.message import Message
from urllib.error import HTTPError

from rq import Retry, get_current_job
from rq.worker import Worker

import jobtelemetry
from jobtelemetry import Cancel, Discard, RateLimited


class Wrapped(Exception):
    """What a library makes of another's exception."""


class Odd(Exception):
    """A rate limit that only its user knows."""


class Subclassed(Worker):
    """A user's own worker class."""


class OwnHandling(Worker):
    """A user's own worker class that does not want RQ's handling of exceptions."""

    def handle_exception(self, job: object, *exc_info: object) -> None:
        """Nothing."""


@jobtelemetry.register_rate_limit
def odd_means_later(error: BaseException) -> float | None:
    return 7.0 if isinstance(error, Odd) else None


def returns() -> int:
    return 1


def raises_cancel() -> None:
    raise Cancel("movie_not_matched", "no film of that name")


def returns_cancel() -> Cancel:
    return Cancel("movie_not_matched")


def discards() -> None:
    raise Discard("bad_payload", "no title")


def fails(secret: str = "") -> None:
    local = f"made of {secret}"
    raise ValueError("broken" + local[:0])


def fails_twice() -> None:
    if attempt() < 3:
        raise ValueError("not yet")


def fails_thrice() -> None:
    if attempt() < 4:
        raise ValueError("not yet")


def limited_by_type() -> None:
    try:
        raise RateLimited(retry_after=30)  # noqa: TRY301
    except RateLimited as error:
        raise Wrapped("the client gave up") from error


def limited_by_status() -> None:
    headers = Message()
    headers["Retry-After"] = "12"
    try:
        raise HTTPError("http://api", 429, "Too Many Requests", headers, None)  # noqa: TRY301
    except HTTPError:
        {}["while cleaning up"]


def limited_by_check() -> None:
    raise Odd("come back")


def limited_by_text() -> None:
    raise RuntimeError("API Rate Limit exceeded")


def snoozes() -> Retry | int:
    return Retry(max=2) if attempt() < 3 else 1


def snoozes_for_ever() -> Retry:
    return Retry(max=1)


def times_out() -> None:
    time.sleep(30)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exits() -> None:
    os._exit(0)


def takes_long() -> None:
    attempt()
    time.sleep(120)


@jobtelemetry.job(report="never")
def takes_long_in_silence() -> None:
    attempt()
    time.sleep(120)


def returns_when_told() -> None:
    attempt()
    connection = get_current_job().connection
    while not connection.exists("go"):
        time.sleep(0.01)


def long_at_first_then_fails() -> None:
    if attempt() == 1:
        time.sleep(120)
    raise ValueError("broken")


def captures_for_itself() -> None:
    import sentry_sdk

    try:
        raise KeyError("a film without a title")  # noqa: TRY301
    except KeyError as error:
        sentry_sdk.capture_exception(error)


@jobtelemetry.job(report="never")
def reported_never() -> None:
    raise ValueError("known")


@jobtelemetry.job(report="discard")
def reported_at_the_end() -> None:
    raise RateLimited


@jobtelemetry.job(report="always")
def reported_always() -> None:
    raise ValueError("precious")


@jobtelemetry.job(report="never")
def killed_in_silence() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@jobtelemetry.job(name="renamed", report="always")
def renamed_and_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def callback_that_raises(*_: object) -> None:
    raise LookupError("in the callback")


def attempt() -> int:
    """How often the current job has been started, by a count of its own."""
    job = get_current_job()
    return int(job.connection.hincrby(f"attempts:{job.id}", "n", 1))
