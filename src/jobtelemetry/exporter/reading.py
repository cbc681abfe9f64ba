"""Reading that never hangs and never raises: a scrape is answered in time, whatever Redis does."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from redis.exceptions import RedisError

from jobtelemetry.errors import JobTelemetryError
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.redis_url import scrub
from jobtelemetry.store.snapshot import Progress, Snapshot

#: Seconds without a word from Redis after which a scrape gives up on it. Sockets give up earlier; this also ends a slow
#: name server.
TIME_LIMIT = 1.8
#: How many times the limit a call may take that gets on: one that reads much, or on a machine that has much to do.
_MOST = 5

T = TypeVar("T")

logger = logging.getLogger(__name__)


class HurriedError(TimeoutError):
    """Who asked had less time than the limit, which says nothing about what was called."""


class SlowError(TimeoutError):
    """What was called goes on, and has taken all the time that there is."""


class TimeLimited(Generic[T]):
    """Calls a function that may hang, and waits for it no longer than a limit.

    At most one call runs at any time, in a daemon thread. Who asks meanwhile gets the *next* call's result, shared
    with all others who wait: never one that began before they asked, and never a pile of threads. Their time counts
    from when that call begins, so three who ask at once are all answered while a call takes no longer than the limit.

    A call that takes long may say that it gets on (:meth:`gets_on`); then its time begins anew, up to five times.

    It works in a process that was forked while a call ran: the child begins anew.

    Args:
        function: What to call.
        limit: Seconds that one call may take without getting on.
    """

    def __init__(self, function: Callable[[], T], limit: float) -> None:
        self._function = function
        self._limit = limit
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """Forget calls that run or are waited for; in a child they are nobody's."""
        self._lock = threading.Lock()
        self._next: _Call[T] | None = None
        self._working = False
        self._got_on = 0.0

    def gets_on(self) -> None:
        """The call that runs is not stuck; called by it."""
        self._got_on = time.monotonic()

    @property
    def is_getting_on(self) -> bool:
        """Whether a call runs that was not stuck within the limit."""
        return self._working and time.monotonic() < self._got_on + self._limit

    def __call__(self, within: float | None = None) -> T:
        """The function's result: :meth:`ask`, and wait for the answer."""
        return self.ask(within)()

    def ask(self, within: float | None = None) -> Callable[[], T]:
        """Let it be called, and get what waits for the result, so that several can be asked at once.

        Args:
            within: Seconds from now after which nobody waits for it any more; without it only the limit counts.

        Returns:
            What gives the result, or raises what the function raised; :class:`HurriedError` if it may return in time,
            but not for this caller; :class:`TimeoutError` if it did not return in time, and may still be running,
            :class:`SlowError` if it was getting on.
        """
        asked = time.monotonic()
        given_up = math.inf if within is None else asked + within
        with self._lock:
            if self._next is None:
                self._next = _Call()
            call = self._next
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="jobtelemetry-read", daemon=True).start()
        return lambda: self._wait(call, asked, given_up, within)

    def _wait(self, call: _Call[T], asked: float, given_up: float, within: float | None) -> T:
        # The call before this one has its limit too: if that hangs, there is no hope for this one either.
        last = asked + _MOST * self._limit
        while True:
            ours = min(max(asked, self._got_on) + self._limit, last)
            if wait([call.answer], _until(min(ours, given_up))).done:
                return call.answer.result()
            now = time.monotonic()
            if now >= given_up and given_up < ours:
                raise HurriedError(f"no answer within {within:.3g} s")
            if now >= last:
                raise SlowError(f"not all of the answer within {_MOST * self._limit:g} s")
            if now >= max(asked, self._got_on) + self._limit:
                raise TimeoutError(f"no answer within {self._limit:g} s")

    def _work(self) -> None:
        while True:
            with self._lock:
                call, self._next = self._next, None
                if call is None:
                    self._working = False
                    return
            call.since = self._got_on = time.monotonic()
            try:
                call.answer.set_result(self._function())
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
                call.answer.set_exception(error)


class _Call(Generic[T]):
    """One call of the function, that several may wait for."""

    def __init__(self) -> None:
        self.since = 0.0
        self.answer: Future[T] = Future()


def _until(moment: float) -> float:
    return max(0.0, moment - time.monotonic())


@dataclass(frozen=True)
class Reading:
    """One attempt to read.

    Args:
        snapshot: What was found; ``None`` if nothing could be read.
        error: Why not; empty if it worked.
        seconds: How long it took.
        progress: How far the label sets are read; ``None`` if Redis does not answer.
        under_way: Whether nothing could be read because everything is still being read for the first time, and Redis
            answers.
    """

    snapshot: Snapshot | None
    error: str
    seconds: float
    progress: Progress | None = None
    under_way: bool = False


class SnapshotReader:
    """Reads snapshots within a time limit and logs one line per outage.

    Args:
        read: What reads one snapshot; may hang and may raise.
        time_limit: Seconds after which a read counts as failed.
        redis: The name of the Redis server, where there are several, for the log.
        progress: How far a read is that goes on, for one that reads page by page.
    """

    def __init__(
        self,
        read: Callable[[], Snapshot],
        time_limit: float = TIME_LIMIT,
        redis: str = "",
        *,
        progress: Callable[[], Progress | None] = lambda: None,
    ) -> None:
        self._function = read
        self._progress = progress
        self._who = f"Redis {redis}".rstrip()
        self._redis = {"redis": redis} if redis else {}
        self._read = TimeLimited(self._read_and_note, time_limit)
        self._down_since: float | None = None
        self.begin_anew()
        begin_anew_in_children(self)
        #: The newest snapshot that was read; kept through an outage.
        self.last: Snapshot | None = None

    def begin_anew(self) -> None:
        """Nobody has the lock in a child."""
        self._lock = threading.Lock()

    def gets_on(self) -> None:
        """Redis has answered a part of what it is asked; called while reading."""
        self._read.gets_on()

    def read(self, within: float | None = None) -> Reading:
        """Try once: :meth:`ask`, and wait for the answer."""
        return self.ask(within)()

    def ask(self, within: float | None = None) -> Callable[[], Reading]:
        """Begin to try once, and get what waits for the end.

        Args:
            within: Seconds that this reader can wait, where that may be less than the time limit.
        """
        begin, answer = time.monotonic(), self._read.ask(within)
        return lambda: self._reading(begin, answer)

    def _reading(self, begin: float, answer: Callable[[], tuple[Snapshot, float]]) -> Reading:
        try:
            snapshot, end = answer()
        except Exception as error:  # noqa: BLE001 - whatever it was, the scrape must be answered
            seconds, progress = time.monotonic() - begin, self._progress()
            goes_on = isinstance(error, (HurriedError, SlowError)) and self._read.is_getting_on
            if goes_on and progress is not None and progress.read < progress.of:
                why = f"everything is read for the first time: {progress.read} of {progress.of} label sets so far"
                return Reading(None, why, seconds, progress, under_way=True)
            if isinstance(error, TimeoutError) and not isinstance(error, HurriedError):
                self._note_failure(error)  # it has not ended, so nobody else does
            return Reading(None, explain(error), seconds)
        return Reading(snapshot, "", end - begin, self._progress())

    def _read_and_note(self) -> tuple[Snapshot, float]:
        """One read and when it ended, and what it says about Redis, whether or not anybody still waits for it."""
        try:
            snapshot = self._function()
        except Exception as error:
            self._note_failure(error)
            raise
        self._note_success(snapshot)
        return snapshot, time.monotonic()

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            known, self._down_since = self._down_since is not None, self._down_since or time.monotonic()
        if not known:
            logger.warning(
                "%s cannot be read, serving jobtelemetry_up 0 until it can: %s",
                self._who,
                explain(error),
                extra={"error_type": type(error).__name__, **self._redis},
                exc_info=None if _expected(error) else error,
            )

    def _note_success(self, snapshot: Snapshot) -> None:
        with self._lock:
            since, self._down_since = self._down_since, None
            self.last = snapshot
        if since is not None:
            seconds = time.monotonic() - since
            extra = {"outage_seconds": seconds, **self._redis}
            logger.warning("%s can be read again after %.1f s", self._who, seconds, extra=extra)


def explain(error: BaseException) -> str:
    """One line about an error, with its class where the message alone would not say enough, and without a password."""
    text = scrub(" ".join(str(error).split()))
    if text and isinstance(error, _EXPECTED):
        return text
    named = f"{type(error).__name__}: {text}".rstrip(": ")
    return f"what answers there does not speak Redis's protocol ({named})" if _of_garbage(error) else named


_EXPECTED = (RedisError, OSError, JobTelemetryError)


def _expected(error: BaseException) -> bool:
    return isinstance(error, _EXPECTED) or _of_garbage(error)


def _of_garbage(error: BaseException) -> bool:
    """Whether redis-py stumbled over an answer, as it does where it is no Redis that answers."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == "redis"
