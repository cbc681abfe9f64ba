"""The Prometheus collector: what Redis holds, whenever a registry asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis
from prometheus_client import Metric

from jobtelemetry.config import Config
from jobtelemetry.exporter import families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.exporter.reading import TIME_LIMIT, SnapshotReader
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.snapshot import Snapshot


class Collector:
    """A prometheus_client collector of every family in the contract.

    It can be registered in any registry that an application already serves::

        REGISTRY.register(jobtelemetry.Collector(Redis.from_url("redis://localhost")))

    Registering does no I/O. Collecting reads Redis once, in at most two seconds, or four where another scrape is being
    answered; if that fails, only ``jobtelemetry_up 0`` and the families about the scrape are yielded, and one line per
    outage is logged. It goes on working in processes that are forked, also while it reads.

    Args:
        connection: RQ's Redis, a synchronous ``redis.Redis``. Reads go over connections of the collector's own with
            short time limits.
        config: The settings; read from the environment by default.
        read: What reads a snapshot, instead of reading it from ``connection``.
        time_limit: Seconds after which a read counts as failed.

    Raises:
        ConfigError: It is not a connection that can be read from here, or the environment was read and a variable has
            no usable value.
    """

    def __init__(
        self,
        connection: redis.Redis,
        config: Config | None = None,
        *,
        read: Callable[[], Snapshot] | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        config = config or Config.from_env()
        own, keys = with_time_limits(connection), Keys(config.key_prefix)
        self.cardinality = Cardinality.of(config)
        self.reader = SnapshotReader(read or Reader(own, keys).read, time_limit)

    def describe(self) -> Iterator[Metric]:
        """The families without samples; reads nothing."""
        return families.describe()

    def collect(self) -> Iterator[Metric]:
        """The families with the numbers of this moment."""
        return self.collect_within(None)

    def collect_within(self, seconds: float | None) -> Iterator[Metric]:
        """The same for who cannot wait longer than so many seconds."""
        reading = self.reader.read(seconds)
        if reading.snapshot is not None:
            yield from families.build(reading.snapshot, self.cardinality)
        yield from families.about_scrape(up=reading.snapshot is not None, seconds=reading.seconds)
