"""Jobs for ``jobtelemetry.testing`` and for a worker alike; they leave no notes."""

from __future__ import annotations

import asyncio
from typing import Any

from rq import Retry, get_current_job

from jobtelemetry import Cancel, Discard, RateLimited


def complete() -> int:
    return 7


async def coroutine() -> None:
    await asyncio.sleep(0)
    raise LookupError("in a coroutine")


def cancel() -> None:
    raise Cancel("movie_not_matched", detail="none is similar")


def return_cancel() -> Any:
    return Cancel("returned")


def discard() -> None:
    raise Discard("bad_payload")


def fail() -> None:
    raise ValueError("always")


def fail_once() -> None:
    job = get_current_job()
    assert job is not None
    if job.retries_left:
        raise OSError("once")


def rate_limited() -> None:
    raise RateLimited(retry_after=30)


def leave() -> None:
    raise SystemExit(3)


def snooze() -> Retry:
    return Retry(max=2)


EVERY = (complete, coroutine, cancel, return_cancel, discard, fail, fail_once, rate_limited, leave, snooze)
