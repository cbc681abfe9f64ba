"""The jobs that the drills run. What they do is set from outside, by a key in Redis: ``drill:<function>``."""

from __future__ import annotations

import os
import signal
import time

from rq import get_current_job

from jobtelemetry import Cancel, RateLimited


def _mode(name: str) -> str:
    value = get_current_job().connection.get(f"drill:{name}")
    return value.decode() if value else ""


def show(number: int) -> int:
    """Completes, unless its deploy was a bad one."""
    if _mode("show") == "bad":
        raise ImportError("a bad deploy")
    return number


def match(number: int) -> int:
    """Finds three of four, unless the catalogue is empty."""
    if number % 4 == 0 or _mode("match") == "collapsed":
        raise Cancel("movie_not_matched")
    return number


def filter_out(number: int) -> int:
    """Has nothing to do but cancel, for the one reason or for the other."""
    raise Cancel(_mode("filter_out") or "filtered")


def cancel_with_id(number: int) -> None:
    """Puts what belongs into the detail into the reason."""
    raise Cancel(f"film_{number}")


def ask(number: int) -> None:
    """Is answered, unless the other side has had enough."""
    time.sleep(0.1)
    if _mode("ask") == "limited":
        raise RateLimited(retry_after=1)


def feed(number: int) -> None:
    """Is fast, unless it hangs."""
    while _mode("feed") == "hung":
        time.sleep(0.1)


def grow(number: int) -> None:
    """Is killed as the OOM killer would, at its first attempt."""
    if get_current_job().connection.incr(f"drill:grow:{number}") == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def hold(number: int) -> int:
    """Takes a little memory, or far more."""
    return len(bytearray(b"x") * (100_000_000 if _mode("hold") == "much" else 1_000_000))


def poison(number: int) -> None:
    """Fails however often it is tried."""
    raise ValueError(number)


def flaky(number: int) -> None:
    """Fails at its first attempt."""
    if get_current_job().connection.incr(f"drill:flaky:{number}") == 1:
        raise TimeoutError(number)


def think(number: int) -> None:
    """Takes a moment, or six times as long."""
    time.sleep(0.6 if _mode("think") == "slow" else 0.1)


def slow(number: int) -> None:
    """Takes its time."""
    time.sleep(0.6)
