"""The Prometheus collector: what Redis holds, whenever a registry asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis
from prometheus_client import Metric

from jobtelemetry.config import Config
from jobtelemetry.exporter import families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.exporter.reading import TIME_LIMIT, SnapshotReader
from jobtelemetry.exporter.reconciling import Reconciler
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
        reconciler: The one of the same exporter, where it has one.

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
        reconciler: Reconciler | None = None,
    ) -> None:
        config = config or Config.from_env()
        own, keys = with_time_limits(connection), Keys(config.key_prefix)
        self.cardinality = Cardinality.of(config)
        self.reader = SnapshotReader(read or _OwnReader(own, keys).read, time_limit)
        self.reconciler = reconciler

    def describe(self) -> Iterator[Metric]:
        """The families without samples; reads nothing."""
        return families.describe()

    def collect(self) -> Iterator[Metric]:
        """The families with the numbers of this moment."""
        return self.collect_within(None)

    def collect_within(self, seconds: float | None) -> Iterator[Metric]:
        """The same for who cannot wait longer than so many seconds."""
        snapshot, about_scrape = self.look(seconds)
        if snapshot is not None:
            yield from families.build(snapshot, self.cardinality)
        yield from about_scrape

    def look(self, seconds: float | None) -> tuple[Snapshot | None, Iterator[Metric]]:
        """What Redis has, ``None`` if it could not be read in so many seconds, and the families about the look."""
        reading = self.reader.read(seconds)
        reconciles = None if self.reconciler is None else self.reconciler.up
        up = reading.snapshot is not None
        return reading.snapshot, families.about_scrape(up=up, seconds=reading.seconds, reconciler=reconciles)


class _OwnReader:
    """One :class:`~jobtelemetry.store.read.Reader` for all reads of a process; a child of it begins anew."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._connection, self._keys = connection, keys
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """What a reader remembers may be half written when a process is forked, and its lock held."""
        self._reader = Reader(self._connection, self._keys)

    def read(self) -> Snapshot:
        return self._reader.read()
