"""What every hook shares: the settings, the fence around our own errors, and whether recording is possible."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rq.exceptions import ShutDownImminentException, StopRequested
from rq.timeouts import BaseTimeoutException

from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
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

Sink = Callable[[ExecutionEvent], None]


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
        self._lock = threading.Lock()
        self._own_errors: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._suspended_until = 0.0

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
            log.error(
                "jobtelemetry hook failed; the job is not affected",
                extra={"hook": hook, "error": str(error)},
                exc_info=error if isinstance(error, BaseException) else None,
            )
        except Exception:  # noqa: S110 - a log handler of the user's that raises must not reach the job
            pass

    def take_own_errors(self) -> dict[str, int]:
        """The errors not yet written to Redis; the caller writes them, or gives them back with an exception."""
        with self._lock:
            errors, self._own_errors = self._own_errors, {}
            return errors

    def give_back(self, errors: dict[str, int]) -> None:
        """Keep errors that could not be written for the next occasion."""
        with self._lock:
            for hook, number in errors.items():
                self._own_errors[hook] = self._own_errors.get(hook, 0) + number

    def suspend(self, error: BaseException | str) -> None:
        """Stop recording for a minute: Redis refuses our commands, and RQ's go first."""
        self._suspended_until = time.monotonic() + SUSPENSION
        self.note_error("redis", error)

    @property
    def suspended(self) -> bool:
        """Whether recording is suspended."""
        return time.monotonic() < self._suspended_until

    def tell(self, event: ExecutionEvent) -> None:
        """Hand an ending to every sink; none can harm the others or the job."""
        for sink in self.sinks:
            with self.fence(f"sink_{type(sink).__name__.lower()}"):
                sink(event)
