"""What every hook shares: the settings, the fence around our own errors, what is known of the numbers."""

from __future__ import annotations

import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from rq.exceptions import ShutDownImminentException, StopRequested
from rq.timeouts import BaseTimeoutException

from jobtelemetry.clock import monotonic
from jobtelemetry.config import Config
from jobtelemetry.rq.consumer import ConsumerSpans
from jobtelemetry.rq.probe import remedy
from jobtelemetry.sinks import Sink, Sinks
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Known, Limits

log = logging.getLogger("jobtelemetry")

#: Raised into whatever code happens to run (by a signal handler or an alarm) and meant for RQ, not for us.
PASSING_THROUGH = (BaseTimeoutException, StopRequested, ShutDownImminentException)

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


class Fence:
    """Runs a part of a hook so that an error in it is counted, logged once a minute, and forgotten.

    Args:
        runtime: Where errors are noted.
        hook: What they are counted under.
    """

    __slots__ = ("_hook", "_runtime")

    def __init__(self, runtime: Runtime, hook: str) -> None:
        self._runtime, self._hook = runtime, hook

    def __enter__(self) -> None:
        """Nothing: a fence has no state, so one can be entered again while it is open."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, PASSING_THROUGH) or not isinstance(error, Exception):
            return False
        self._runtime.note_error(self._hook, error)
        return True


class Runtime:
    """One per process (and per :func:`jobtelemetry.instrument`), inherited by forked work-horses.

    Args:
        config: The settings.
        sinks: Who is told of every ending.
    """

    def __init__(self, config: Config, sinks: Iterable[Sink] = ()) -> None:
        self.config = config
        self.keys = Keys(config.key_prefix)
        self.limits = Limits(config.max_label_sets, config.log_size, config.max_own_metrics)
        self.sinks = Sinks(sinks, self._sink_failed)
        self.spans = ConsumerSpans(config)
        #: What this process knows of the numbers, so that Redis notices if something of them is lost.
        self.known = Known()
        #: Why nothing is counted in this process, whatever Redis says: RQ lacks what we hook.
        self.off = ""
        #: What an RQ worker's mark says of its RQ beyond the versions: hooks that it lacks, and that it is not tested.
        self.remarks: dict[str, str] = {}
        #: The process that has found out that it is a work-horse.
        self.horse_of = 0
        #: ``fence(hook)`` is a fence around a part of a hook; each is made once.
        self.fence: Callable[[str], Fence] = functools.cache(functools.partial(Fence, self))
        self._lock = threading.Lock()
        _live.add(self)
        self._own_errors: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._logged_here: set[str] = set()
        self._refused, self._suspended_until = False, 0.0
        self._said_no_scripts = False

    def saw(self, known: Known) -> None:
        """Redis has said how far the numbers are."""
        if known.generation != self.known.generation or known.total > self.known.total:
            self.known = known

    # our own errors

    def note_error(self, hook: str, error: BaseException | str, number: int = 1) -> None:
        """Count an error of a hook and log it, at most once a minute per hook."""
        try:
            with self._lock:
                self._own_errors[hook] = self._own_errors.get(hook, 0) + number
                now = monotonic()
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

    def say_redefined(self, found: Mapping[str, str]) -> None:
        """Log that metrics of the user's own were defined in another way before."""
        from jobtelemetry.own_metrics.changes import say_redefined  # a process that measures nothing does without

        say_redefined(found)

    def first(self, matter: str) -> bool:
        """Whether something that is to be said once has not been, neither here nor in a work-horse before."""
        with self._lock:
            if matter in self._logged_at:
                return False
            self._logged_at[matter] = monotonic()
            self._logged_here.add(matter)
            return True

    def logged_here(self) -> list[str]:
        """What this work-horse has logged, for its parent to keep silent about: the hooks of errors for a minute."""
        return sorted(self._logged_here)

    def note_logged(self, hooks: Iterable[str]) -> None:
        """In the parent: a work-horse has just logged errors of these hooks."""
        with self._lock:
            self._logged_at.update(dict.fromkeys(hooks, monotonic()))

    @property
    def own_errors(self) -> dict[str, int]:
        """The errors not yet written to Redis, by hook; who has written them says so with :meth:`written`."""
        if not self._own_errors:
            return {}
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

    def give_back(self, errors: Mapping[str, int]) -> None:
        """Keep errors that could not be written for the next occasion."""
        with self._lock:
            for hook, number in errors.items():
                self._own_errors[hook] = self._own_errors.get(hook, 0) + number

    # whether Redis takes what we write

    def suspend(self, error: BaseException | str | None = None) -> None:
        """Stop recording for a minute, and until a probe succeeds: Redis refuses our commands, and RQ's go first."""
        self._refused, self._suspended_until = True, monotonic() + SUSPENSION
        if error is not None:
            self.note_error("redis", error)

    def without_scripts(self, problem: str) -> None:
        """This server runs no scripts, as a stand-in for tests: nothing is recorded, and it is said once."""
        self._refused, self._suspended_until = True, monotonic() + SUSPENSION
        if not self._said_no_scripts:
            self._said_no_scripts = True
            log.warning("jobtelemetry is off in this process: %s", remedy(problem, self.keys))

    def resume(self) -> None:
        """A probe has succeeded."""
        self._refused = False

    @property
    def suspended(self) -> bool:
        """Whether recording is suspended."""
        return bool(self.off) or (self._refused and monotonic() < self._suspended_until)

    @property
    def refused(self) -> bool:
        """Whether Redis refused us the last time; if not suspended, it is time for another probe."""
        return self._refused

    # who is told

    def _sink_failed(self, hook: str, error: Exception) -> None:
        if isinstance(error, PASSING_THROUGH):
            raise error
        self.note_error(hook, error)

    def enter_horse(self) -> None:
        """In a work-horse, before its job: nothing that is the parent's to do is done here again."""
        self._logged_here.clear()
        if self._own_errors:
            self.take_own_errors()  # the parent writes its own
        self.sinks.enter_horse()
