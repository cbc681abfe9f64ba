"""What is measured outside of jobs: written by a thread, in batches, each once however often it is sent."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobtelemetry import executing
from jobtelemetry.clock import monotonic
from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.own_metrics.buffer import MOST_IN_EXECUTION, MOST_OUTSIDE, Buffer
from jobtelemetry.own_metrics.changes import say_redefined
from jobtelemetry.redis_url import scrub
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Measurements, measure_command, redefined
from jobtelemetry.store.record import text
from jobtelemetry.store.scripts import run

log = logging.getLogger("jobtelemetry")

#: Seconds: what is measured within them is one batch; between two tries, growing; for one reply; at a process's end.
_TOGETHER = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_REPLY = 2.0
_AT_END = 2.0
_LOG_INTERVAL = 60.0


class Writer:
    """The one of a process; a forked one begins anew.

    Args:
        connect: Makes the client, with short time limits, and says under which keys and with which bounds.
    """

    def __init__(self, connect: Callable[[], tuple[Redis, Config]]) -> None:
        self._connect = connect
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing is waiting: what another process has measured is that one's to write."""
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._wake, self._idle = threading.Event(), threading.Event()
        self._buffer = Buffer(MOST_OUTSIDE)
        self._batches: list[Measurements] = []
        self._thread: threading.Thread | None = None
        self._target: tuple[Redis, Config] | None = None
        self._name, self._number = uuid4().hex, 1
        self._logged_at = -_LOG_INTERVAL
        self._exits = False
        executing.leftover = None

    def measure(self, add: Callable[[Buffer], bool]) -> None:
        """Keep something, to be written soon. Never waits, never raises."""
        while not add(self._buffer):
            pass  # it was taken just now, and there is a new one
        executing.leftover = self.flush
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="jobtelemetry-metrics", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no thread any more while the interpreter ends: flush() writes it
                self._thread = None
            if not self._exits:
                self._exits = True
                of_children = sys.modules.get("multiprocessing.util")
                if of_children is not None:  # its processes end without atexit
                    of_children.Finalize(None, self.flush, exitpriority=10)

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            self._wake.wait()
            self._idle.wait(_TOGETHER)
            self._wake.clear()
            if self._write():
                pause = _FIRST_PAUSE
            else:
                self._idle.wait(pause)  # nobody sets it: a pause
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._wake.set()

    def flush(self, seconds: float = _AT_END) -> bool:
        """Write what is waiting, in so many seconds at most. Returns whether nothing is left."""
        until = monotonic() + seconds
        if not self._sending.acquire(timeout=seconds):
            return False
        try:
            return self._send_all(until)
        finally:
            self._sending.release()

    def close(self) -> None:
        """The process ends."""
        if self._buffer or self._batches:
            self.flush()

    def connect_anew(self) -> None:
        """What is written from now on may have to go elsewhere."""
        self._target = None

    def _write(self) -> bool:
        with self._sending:
            return self._send_all(None)

    def _send_all(self, until: float | None) -> bool:
        with self._lock:
            if self._buffer and not self._batches:
                before, self._buffer = self._buffer, Buffer(MOST_OUTSIDE)
                self._batches = _divided(before.taken())
        try:
            while self._batches:
                self._send(self._batches[0])
                self._number += 1
                del self._batches[0]
                if until is not None and monotonic() > until:
                    break
        except (RedisError, OSError, ConfigError, ValueError) as error:
            self._say(error)
            return False
        if not self._batches and self._buffer:
            return self._send_all(until) if until is None or monotonic() < until else False
        return not self._batches

    def _send(self, batch: Measurements) -> None:
        if self._target is None:
            self._target = self._connect()
        client, config = self._target
        bounds = {"families": config.max_own_metrics, "series": config.max_label_sets}
        command = measure_command(Keys(config.key_prefix), batch, writer=self._name, batch=self._number, **bounds)
        *said, changed = run(client, command)
        answer, fault = map(text, said)
        say_redefined(redefined(changed))
        if fault:
            self._say(fault)
        if not answer:
            raise RedisError(fault)

    def _say(self, error: object) -> None:
        now = monotonic()
        if now - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = now
            log.warning(
                "what is measured outside of jobs cannot be written, and waits: %s",
                scrub(str(error)),
                extra={"error_type": type(error).__name__},
            )


def _divided(measured: Measurements) -> list[Measurements]:
    """In parts of which none holds Redis for long."""
    changes = measured.changes
    parts = [
        Measurements(changes[first : first + MOST_IN_EXECUTION]) for first in range(0, len(changes), MOST_IN_EXECUTION)
    ]
    first = parts[0] if parts else Measurements()
    return [Measurements(first.changes, measured.left_out), *parts[1:]]


_given: Any = None


def send_metrics_to(connection: Redis | None) -> None:
    """Say where metrics go that are measured outside of jobs, as in a web process.

    By default that is the connection of the job that was run here last, or else ``JOBTELEMETRY_REDIS_URL``,
    ``RQ_REDIS_URL`` or ``REDIS_URL``. What a job measures always goes where its job is.

    Args:
        connection: RQ's Redis, a synchronous client; ``None`` for the default.

    Raises:
        ConfigError: It is not a connection that can be written to from here.
    """
    global _given
    if connection is not None and not hasattr(getattr(connection, "connection_pool", None), "connection_class"):
        raise ConfigError(
            "expected a connection, such as redis.Redis.from_url('redis://localhost:6379/0'), got "
            f"{type(connection).__name__}"
        )
    _given = connection
    writer.connect_anew()


def _connect() -> tuple[Redis, Config]:
    config = executing.config_here() or Config.from_env()
    limits: dict[str, Any] = {
        "socket_connect_timeout": _REPLY,
        "socket_timeout": _REPLY,
        "retry": Retry(NoBackoff(), 0),
    }
    found = _given if _given is not None else executing.connection_here()
    if found is None:
        return Redis.from_url(config.redis_url, **limits), config
    pool = found.connection_pool
    if type(pool) is not ConnectionPool:  # Sentinel, a fake
        return found, config
    return Redis(connection_pool=ConnectionPool(pool.connection_class, **{**pool.connection_kwargs, **limits})), config


#: The one of this process.
writer = Writer(_connect)
atexit.register(writer.close)
os.register_at_fork(after_in_child=writer.begin_anew)
