"""Reading that never hangs and never raises: a scrape is answered in time, whatever Redis does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from redis.exceptions import RedisError

from jobtelemetry.errors import JobTelemetryError
from jobtelemetry.store.snapshot import Snapshot

#: Seconds after which a scrape gives up on Redis. Sockets give up earlier; this also ends a slow name server.
TIME_LIMIT = 1.8

T = TypeVar("T")

logger = logging.getLogger(__name__)


class TimeLimited(Generic[T]):
    """Calls a function that may hang, and waits for it no longer than a limit.

    At most one call runs at any time, in a daemon thread. Who asks meanwhile gets the *next* call's result, shared
    with all others who wait: never one that began before they asked, and never a pile of threads.

    Args:
        function: What to call.
        limit: Seconds that one caller waits.
    """

    def __init__(self, function: Callable[[], T], limit: float) -> None:
        self._function = function
        self._limit = limit
        self._lock = threading.Lock()
        self._next: Future[T] | None = None
        self._working = False

    def __call__(self) -> T:
        """The function's result.

        Raises:
            TimeoutError: It did not return in time; it may still be running.
            Exception: What the function raised.
        """
        with self._lock:
            if self._next is None:
                self._next = Future()
            future = self._next
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="jobtelemetry-read", daemon=True).start()
        if not wait([future], timeout=self._limit).done:
            raise TimeoutError(f"no answer within {self._limit:g} s")
        return future.result()

    def _work(self) -> None:
        while True:
            with self._lock:
                future, self._next = self._next, None
                if future is None:
                    self._working = False
                    return
            try:
                future.set_result(self._function())
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
                future.set_exception(error)


@dataclass(frozen=True)
class Reading:
    """One attempt to read.

    Args:
        snapshot: What was found; ``None`` if nothing could be read.
        error: Why not; empty if it worked.
        seconds: How long it took.
    """

    snapshot: Snapshot | None
    error: str
    seconds: float


class SnapshotReader:
    """Reads snapshots within a time limit and logs one line per outage.

    Args:
        read: What reads one snapshot; may hang and may raise.
        time_limit: Seconds after which a read counts as failed.
    """

    def __init__(self, read: Callable[[], Snapshot], time_limit: float = TIME_LIMIT) -> None:
        self._read = TimeLimited(read, time_limit)
        self._down_since: float | None = None
        self._lock = threading.Lock()
        #: The newest snapshot that was read; kept through an outage.
        self.last: Snapshot | None = None

    def read(self) -> Reading:
        """Try once."""
        begin = time.monotonic()
        try:
            snapshot = self._read()
        except Exception as error:  # noqa: BLE001 - whatever it was, the scrape must be answered
            self._note_failure(error)
            return Reading(None, explain(error), time.monotonic() - begin)
        self._note_success(snapshot)
        return Reading(snapshot, "", time.monotonic() - begin)

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            known, self._down_since = self._down_since is not None, self._down_since or time.monotonic()
        if not known:
            logger.warning(
                "Redis cannot be read, serving jobtelemetry_up 0 until it can: %s",
                explain(error),
                extra={"error_type": type(error).__name__},
                exc_info=None if _expected(error) else error,
            )

    def _note_success(self, snapshot: Snapshot) -> None:
        with self._lock:
            since, self._down_since = self._down_since, None
            self.last = snapshot
        if since is not None:
            seconds = time.monotonic() - since
            logger.warning("Redis can be read again after %.1f s", seconds, extra={"outage_seconds": seconds})


def explain(error: BaseException) -> str:
    """One line about an error, with its class where the message alone would not say enough."""
    text = " ".join(str(error).split())
    return text if text and _expected(error) else f"{type(error).__name__}: {text}".rstrip(": ")


def _expected(error: BaseException) -> bool:
    return isinstance(error, (RedisError, OSError, JobTelemetryError))
