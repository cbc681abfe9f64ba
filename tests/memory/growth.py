"""Many executions on one worker, half of them cancelled, and what Redis holds after each part of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from redis import Redis
from rq import Queue, SimpleWorker

import jobtelemetry
from jobtelemetry import Cancel
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.keys import Keys

#: Entries that the execution log keeps here, so that it is full early.
LOG_SIZE = 500

_AT_ONCE = 250
_RESULT_TTL = 1


def matched() -> str:
    """A job that completes."""
    return "matched"


def not_matched() -> None:
    """A job that cancels itself."""
    raise Cancel("movie_not_matched", detail="no film is as similar as 0.60")


class _DeafWorker(SimpleWorker):
    """Takes no commands: RQ waits up to a second for the thread that would hear them."""

    def subscribe(self) -> None:
        """Hear nothing."""

    def unsubscribe(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Sizes:
    """What Redis holds when everything that expires has expired.

    Args:
        executions: How many there have been.
        memory: Redis's ``used_memory`` in bytes.
        entries: Entries by key, of every key that there is.
    """

    executions: int
    memory: int
    entries: dict[str, int]


def grow(executions: int, checkpoints: int, tell: Callable[[Sizes], object] = lambda _: None) -> list[Sizes]:
    """Run so many executions on a server of their own.

    Args:
        executions: How many; half of them are cancelled.
        checkpoints: How often, evenly spread, Redis is looked at.
        tell: Hears of every checkpoint as it is reached.
    """
    with EmbeddedServer(active_expire_effort="10") as server, _instrumented():
        connection = server.connection()
        found = []
        for number in range(1, checkpoints + 1):
            _run(connection, executions // checkpoints)
            _wait_for_expiry(connection)
            found.append(_sizes(connection, number * (executions // checkpoints)))
            tell(found[-1])
        return found


@contextmanager
def _instrumented() -> Any:
    with mock.patch.dict(os.environ, JOBTELEMETRY_LOG_SIZE=str(LOG_SIZE)):
        jobtelemetry.instrument()
    try:
        yield
    finally:
        jobtelemetry.uninstrument()


def _run(connection: Redis, executions: int) -> None:
    queue = Queue("showtimes", connection=connection)
    while executions > 0:
        number = min(_AT_ONCE, executions)
        jobs = [Queue.prepare_data((matched, not_matched)[n % 2], result_ttl=_RESULT_TTL) for n in range(number)]
        queue.enqueue_many(jobs)
        worker = _DeafWorker([queue], connection=connection, log_job_description=False)
        worker.work(burst=True, logging_level="CRITICAL")
        executions -= number


def _wait_for_expiry(connection: Redis) -> None:
    """Until RQ's job hashes, and the keys of the workers that ended, are gone; RQ's own maintenance runs as well."""
    for key in connection.scan_iter("rq:worker:*"):
        connection.pexpire(key, 1)
    deadline = time.monotonic() + 30
    while next(connection.scan_iter("rq:job:*", count=1000), None) is not None:
        if time.monotonic() > deadline:
            raise AssertionError("job hashes do not expire")
        time.sleep(0.02)
    _DeafWorker(["showtimes"], connection=connection).work(burst=True, logging_level="CRITICAL")
    for key in connection.scan_iter("rq:worker:*"):
        connection.delete(key)


def _sizes(connection: Any, executions: int) -> Sizes:
    count: dict[bytes, Callable[[bytes], int]] = {
        b"hash": connection.hlen,
        b"zset": connection.zcard,
        b"set": connection.scard,
        b"list": connection.llen,
        b"stream": connection.xlen,
        b"string": connection.strlen,
    }
    entries = {key.decode(): count[connection.type(key)](key) for key in connection.scan_iter("*", count=1000)}
    connection.execute_command("MEMORY", "PURGE")
    return Sizes(executions, int(connection.info("memory")["used_memory"]), entries)


def problems(sizes: list[Sizes], keys: Keys | None = None) -> list[str]:
    """What has grown between the first checkpoint and the last, and every bound that was not kept."""
    first, last, found = sizes[0], sizes[-1], []
    keys = keys or Keys()
    bounds = {
        keys.log: LOG_SIZE + 200,  # trimmed by whole nodes
        keys.meta: 30,
        **{key: 60 for key in last.entries if key.startswith(keys.label_set(""))},  # states, buckets and reasons
        keys.cancelled("showtimes"): 2 * _AT_ONCE,  # taken away a hundred at a time, by the cancellations that follow
        keys.registry("canceled", "showtimes"): 2 * _AT_ONCE,
    }
    if last.memory > first.memory * 1.05 + 100_000:
        found.append(f"{first.memory} bytes after {first.executions} executions, {last.memory} after {last.executions}")
    for key, entries in last.entries.items():
        bound = max(first.entries.get(key, 0), bounds.get(key, 0))
        if entries > bound:
            before = first.entries.get(key, 0)
            found.append(f"{key} has {entries} entries, and had {before} after {first.executions} executions")
    return found
