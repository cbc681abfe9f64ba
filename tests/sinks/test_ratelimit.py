"""What is a rate limit: by type, by HTTP status, by the user's own check, by text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.message import Message
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import aiohttp
import httpx
import pytest
import requests

from jobtelemetry.ratelimit import (
    RateLimit,
    RateLimited,
    detect,
    register_rate_limit,
    unregister_rate_limit,
)


class Api(BaseHTTPRequestHandler):
    """Answers the status that the path asks for, and asks to come back in 17 seconds."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(int(self.path.strip("/")))
        self.send_header("Retry-After", "17")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """A real HTTP server; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def by_requests(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=10).raise_for_status()


def by_httpx(url: str) -> None:
    with httpx.Client(trust_env=False) as client:
        client.get(url).raise_for_status()


def by_urllib(url: str) -> None:
    urlopen(url, timeout=10)


def by_aiohttp(url: str) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            response.raise_for_status()

    asyncio.run(get())


def raised(call: Callable[[], object]) -> BaseException:
    """What a call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it did not raise")


@pytest.mark.parametrize("get", [by_requests, by_httpx, by_urllib, by_aiohttp])
@pytest.mark.parametrize(("status", "found"), [(429, RateLimit(17.0)), (503, None)])
def test_http_429_is_a_rate_limit_in_every_client(
    api: str, get: Callable[[str], None], status: int, found: RateLimit | None
) -> None:
    """The 429 of requests, httpx, urllib and aiohttp is one, with what Retry-After says; another status is none."""
    error = raised(lambda: get(f"{api}/{status}"))
    try:
        assert detect(error) == found
    finally:
        if isinstance(error, HTTPError):
            error.close()


def wrapped(error: BaseException, *, cause: bool, depth: int) -> BaseException:
    """An exception that was raised from another, or while it was handled, ``depth`` times."""
    for number in range(depth):
        outer: BaseException = ValueError(f"layer {number}")
        if cause:
            outer.__cause__ = error
        else:
            outer.__context__ = error
        error = outer
    return error


@pytest.mark.parametrize("cause", [True, False], ids=["cause", "context"])
@pytest.mark.parametrize("depth", [0, 1, 5])
def test_it_is_found_behind_other_exceptions(cause: bool, depth: int) -> None:
    """A rate limit is found however deep it is wrapped."""
    assert detect(wrapped(RateLimited(30), cause=cause, depth=depth)) == RateLimit(30.0)


def test_it_is_found_in_a_group() -> None:
    """A rate limit among the exceptions of a group is one."""

    class Group(Exception):
        exceptions = (ValueError("x"), RateLimited(3))

    assert detect(Group("several")) == RateLimit(3.0)


def test_type_goes_before_status_before_text() -> None:
    """The surest sign decides, wherever in the chain it is."""
    headers = Message()
    headers["Retry-After"] = "5"
    by_status = HTTPError("http://api", 429, "Too Many", headers, None)
    text = RuntimeError("rate limit")
    text.__context__ = by_status
    assert detect(text) == RateLimit(5.0)
    by_status.__context__ = RateLimited(9)
    assert detect(text) == RateLimit(9.0)
    by_status.close()


@pytest.mark.parametrize("text", ["Rate limit exceeded", "hit the rate-limit", "RATE LIMITED", "ratelimit"])
def test_the_text_counts_last(text: str) -> None:
    """A message that says so is a rate limit of unknown length."""
    assert detect(OSError(text)) == RateLimit(None)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyError("429"), SystemExit(429), OSError("corporate limits")])
def test_other_errors_are_none(error: BaseException) -> None:
    """An exception that merely has the number somewhere is no rate limit."""
    assert detect(error) is None
    assert detect(None) is None


def test_the_name_of_a_class_may_say_it() -> None:
    """A library's own RateLimitError without a message is a rate limit."""

    class SomeApiRateLimitError(Exception):
        pass

    assert detect(SomeApiRateLimitError()) == RateLimit()


def test_a_circle_of_exceptions_ends() -> None:
    """A chain that leads back to itself is searched once."""
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__cause__ = other, one
    assert detect(one) is None


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit])
def test_exceptions_that_raise_when_looked_at_harm_nothing(raised: type[BaseException]) -> None:
    """A broken exception is no rate limit and no accident; what would end a process does not."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise raised("no")

        @property
        def response(self) -> object:
            raise raised("no")

    assert detect(Broken()) is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (True, RateLimit(None)),
        (8, RateLimit(8.0)),
        (0, RateLimit(0.0)),
        (timedelta(minutes=1), RateLimit(60.0)),
        (False, None),
        (None, None),
    ],
)
def test_a_check_of_the_users_own(answer: object, found: RateLimit | None) -> None:
    """A registered check says yes, after how long, or no."""

    def check(error: BaseException) -> object:
        return answer

    register_rate_limit(check)
    try:
        assert detect(ValueError("busy")) == found
    finally:
        unregister_rate_limit(check)
    assert detect(ValueError("busy")) is None


def test_a_check_that_raises_says_no() -> None:
    """A broken check neither hides the others nor harms the job."""

    @register_rate_limit
    def broken(error: BaseException) -> bool:
        raise RuntimeError("no")

    try:
        assert detect(ValueError("rate limit")) == RateLimit()
    finally:
        unregister_rate_limit(broken)


def test_retry_after_may_be_a_date() -> None:
    """Retry-After as an HTTP date is turned into seconds from now."""
    headers = Message()
    headers["Retry-After"] = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    error = HTTPError("http://api", 429, "Too Many", headers, None)
    found = detect(error)
    error.close()
    assert found is not None
    assert found.retry_after == pytest.approx(90, abs=5)


@pytest.mark.parametrize(
    ("given", "seconds"), [(30, 30.0), (timedelta(minutes=2), 120.0), (None, None), (-1, None), ("soon", None)]
)
def test_rate_limited_keeps_seconds_or_nothing(given: object, seconds: float | None) -> None:
    """RateLimited never refuses what it is given: raising it must not raise something else."""
    assert RateLimited(given).retry_after == seconds  # type: ignore[arg-type]


def test_rate_limited_says_what_it_knows() -> None:
    """The text of RateLimited has the time and the detail."""
    assert str(RateLimited(2.5, "tmdb")) == "rate limited, retry after 2.5 s: tmdb"
    assert str(RateLimited()) == "rate limited"


@pytest.mark.parametrize("after", ["9" * 400, "1e400", "nan", "inf", "-5"])
def test_a_wait_without_end_is_no_wait(after: str) -> None:
    """What an HTTP header says is a stranger's: the rate limit stays one, and its wait is unknown."""
    error = HTTPError("http://x", 429, "slow down", Message(), None)
    error.headers["Retry-After"] = after
    found = detect(error)
    assert found is not None
    assert found.retry_after is None
