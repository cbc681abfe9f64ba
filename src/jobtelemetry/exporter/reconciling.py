"""The reconciler as the exporter's background work, and whether it can do what it is for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobtelemetry.config import Config
from jobtelemetry.errors import StoreError
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.exporter.reading import explain
from jobtelemetry.sinks import Sinks, reporting_sinks
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.probe import probe
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import reconcile, tidy
from jobtelemetry.store.record import Limits

logger = logging.getLogger(__name__)


class Reconciler:
    """Counts abandoned executions every ``config.reconcile_interval`` seconds, and knows whether it can.

    Whoever counts an ending tells of it, so the log and, where it is configured, Sentry hear of it from here. A sink
    that fails is logged once a run. Whether Redis lets this user write is tried at every run: most runs find nothing
    to count, and would not notice.

    Args:
        connection: RQ's Redis; a connection of its own with time limits is made from it.
        config: The settings.
        redis: The name of the Redis server, where there are several, for the log.
    """

    def __init__(self, connection: Any, config: Config, redis: str = "") -> None:
        config = config.of_redis(redis)
        self._name = f"reconciler of Redis {redis}" if redis else "reconciler"
        self._connection, self._keys = with_time_limits(connection), Keys(config.key_prefix)
        self._limits = Limits(config.max_label_sets, config.log_size, config.max_own_metrics)
        self._interval = config.reconcile_interval
        self._reader = Reader(self._connection, self._keys)
        self._logged: set[str] = set()
        self._sinks = Sinks(reporting_sinks(config), self._log_once)
        #: Why it could not write when it last tried; empty if it could; ``None`` before the first try. A Redis that is
        #: away says nothing about that, and others say that it is away.
        self.problem: str | None = None

    @property
    def up(self) -> bool | None:
        """Whether it can write; ``None`` before the first try."""
        return None if self.problem is None else not self.problem

    def __call__(self, stop: threading.Event) -> None:
        """Run again and again until told to stop."""
        every(self._interval, self.run, name=self._name)(stop)
        self._sinks.flush()

    def run(self) -> None:
        """Run once.

        Raises:
            StoreError: It cannot write.
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        self._logged.clear()
        try:
            self._count_and_tend()
        except (RedisConnectionError, RedisTimeoutError):
            raise
        except Exception as error:
            self.problem = explain(error)
            raise
        self.problem = ""

    def _count_and_tend(self) -> None:
        if problem := probe(self._connection, self._keys):
            raise StoreError(f"abandoned executions are not counted, for nothing can be written: {problem}")
        for event in reconcile(self._connection, self._keys, self._limits):
            self._sinks.tell(event)
        tidy(self._connection, self._keys)
        self._reader.check()
        self._reader.tend()

    def _log_once(self, hook: str, error: Exception) -> None:
        if hook not in self._logged:
            self._logged.add(hook)
            logger.error("Cannot tell of an ending", extra={"hook": hook}, exc_info=error)


def reconciler(connection: Any, config: Config, redis: str = "") -> Reconciler | None:
    """What counts abandoned executions; ``None`` if ``config.reconcile_interval`` is 0."""
    return Reconciler(connection, config, redis) if config.reconcile_interval else None


def reconcilers(connections: Mapping[str, Any], config: Config) -> dict[str, Reconciler]:
    """The same for several Redis servers by name; none if ``config.reconcile_interval`` is 0."""
    found = {name: reconciler(connection, config, name) for name, connection in connections.items()}
    return {name: one for name, one in found.items() if one is not None}
