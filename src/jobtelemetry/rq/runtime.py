"""What every hook shares: the settings, the fence around our own errors, and whether recording is possible."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rq.exceptions import ShutDownImminentException, StopRequested
from rq.timeouts import BaseTimeoutException

from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.rq.consumer import ConsumerSpans
from jobtelemetry.sinks import Sink
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Limits

log = logging.getLogger("jobtelemetry")

#: Raised into whatever code happens to run (by a signal handler or an alarm) and meant for RQ, not for us.
_PASSING_THROUGH = (BaseTimeoutException, StopRequested, ShutDownImminentException)

#: Seconds between two log lines about the same hook.
LOG_INTERVAL = 60.0

#: Seconds without recording after Redis refused our commands.
SUSPENSION = 60.0

#: Attribute of an RQ worker: why nothing can be recorded for it.
OFF = "_jobtelemetry_off"


#: Every runtime, so that a lock held by another thread at a fork is not held for ever in the child.
_live: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _renew_locks() -> None:
    for runtime in _live:
        runtime._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


class Runtime:
    """One per process (and per :func:`jobtelemetry.instrument`), inherited by forked work-horses.

    Args:
        config: The settings.
        sinks: Who is told of every ending.
    """

    def __init__(self, config: Config, sinks: tuple[Sink, ...] = ()) -> None:
        self.config = config
        self.keys = Keys(config.key_prefix)
        self.limits = Limits(config.max_label_sets, config.log_size)
        self.sinks = sinks
        self.spans = ConsumerSpans(config)
        self._lock = threading.Lock()
        _live.add(self)
        self._own_errors: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._logged_here: set[str] = set()
        self._refused, self._suspended_until = False, 0.0

    @contextmanager
    def fence(self, hook: str) -> Iterator[None]:
        """Run a part of a hook so that an error in it is counted, logged once a minute, and forgotten."""
        try:
            yield
        except _PASSING_THROUGH:
            raise
        except Exception as error:
            self.note_error(hook, error)

    def note_error(self, hook: str, error: BaseException | str, number: int = 1) -> None:
        """Count an error of a hook and log it, at most once a minute per hook."""
        try:
            with self._lock:
                self._own_errors[hook] = self._own_errors.get(hook, 0) + number
                now = time.monotonic()
                if now - self._logged_at.get(hook, -LOG_INTERVAL) < LOG_INTERVAL:
                    return
                self._logged_at[hook] = now
                self._logged_here.add(hook)
            log.error(
                "jobtelemetry hook failed; the job is not affected",
                extra={"hook": hook, "error": str(error)},
                exc_info=error if isinstance(error, BaseException) else None,
            )
        except Exception:  # noqa: S110 - a log handler of the user's that raises must not reach the job
            pass

    def logged_here(self) -> list[str]:
        """The hooks whose errors this work-horse has logged, for its parent to keep silent about for a minute."""
        return sorted(self._logged_here)

    def note_logged(self, hooks: Iterable[str]) -> None:
        """In the parent: a work-horse has just logged errors of these hooks."""
        with self._lock:
            self._logged_at.update(dict.fromkeys(hooks, time.monotonic()))

    @property
    def own_errors(self) -> dict[str, int]:
        """The errors not yet written to Redis, by hook; who has written them says so with :meth:`written`."""
        with self._lock:
            return dict(self._own_errors)

    def written(self, errors: Mapping[str, int]) -> None:
        """Redis has these errors."""
        with self._lock:
            left = {hook: number - errors.get(hook, 0) for hook, number in self._own_errors.items()}
            self._own_errors = {hook: number for hook, number in left.items() if number > 0}

    def take_own_errors(self) -> dict[str, int]:
        """The errors not yet written to Redis, for a work-horse to hand to its parent or give back."""
        with self._lock:
            errors, self._own_errors = self._own_errors, {}
            return errors

    def give_back(self, errors: dict[str, int]) -> None:
        """Keep errors that could not be written for the next occasion."""
        with self._lock:
            for hook, number in errors.items():
                self._own_errors[hook] = self._own_errors.get(hook, 0) + number

    def suspend(self, error: BaseException | str | None = None) -> None:
        """Stop recording for a minute, and until a probe succeeds: Redis refuses our commands, and RQ's go first."""
        self._refused, self._suspended_until = True, time.monotonic() + SUSPENSION
        if error is not None:
            self.note_error("redis", error)

    def resume(self) -> None:
        """A probe has succeeded."""
        self._refused = False

    @property
    def suspended(self) -> bool:
        """Whether recording is suspended."""
        return self._refused and time.monotonic() < self._suspended_until

    @property
    def refused(self) -> bool:
        """Whether Redis refused us the last time; if not suspended, it is time for another probe."""
        return self._refused

    def tell(self, event: ExecutionEvent) -> None:
        """Hand an ending to every sink; none can harm the others or the job."""
        for sink in self.sinks:
            with self.fence(_hook(sink)):
                sink(event)

    def needs_parent(self, event: ExecutionEvent) -> bool:
        """Whether a sink in this work-horse has nowhere to send the event that its parent may have."""
        return any(sink.needs_parent(event) for sink in self.sinks if hasattr(sink, "needs_parent"))

    def tell_for_horse(self, event: ExecutionEvent) -> None:
        """In the parent: hand an ending that its work-horse has told to the sinks that could not send it there."""
        for sink in self.sinks:
            if hasattr(sink, "needs_parent"):
                with self.fence(_hook(sink)):
                    sink(event)

    def enter_horse(self) -> None:
        """In a work-horse, before its job: nothing that is the parent's to do is done here again."""
        self._logged_here.clear()
        self.take_own_errors()  # the parent writes its own
        self._each("enter_horse")

    def flush(self) -> None:
        """Where a process ends: wait, as long as each sink sees fit, for what is still being sent."""
        self._each("flush")

    def _each(self, method: str) -> None:
        for sink in self.sinks:
            if hasattr(sink, method):
                with self.fence(_hook(sink)):
                    getattr(sink, method)()


def _hook(sink: Sink) -> str:
    return f"sink_{type(sink).__name__.lower()}"
