"""The Prometheus collector: what Redis holds, whenever a registry asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import redis
from prometheus_client import Metric

from jobtelemetry.config import Config
from jobtelemetry.exporter import families, own_families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.exporter.families import Scrape
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.exporter.reading import TIME_LIMIT, SnapshotReader
from jobtelemetry.exporter.reconciling import Reconciler
from jobtelemetry.exporter.sources import by_name, sources
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.snapshot import Progress, Snapshot

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """One Redis server of a collector.

    Args:
        name: Its name, where there are several.
        reader: What reads it.
        reconciler: The one of the same exporter, where it has one.
    """

    name: str
    reader: SnapshotReader
    reconciler: Reconciler | None = None


class Collector:
    """A prometheus_client collector of every family in the contract.

    It can be registered in any registry that an application already serves::

        REGISTRY.register(jobtelemetry.Collector(Redis.from_url("redis://localhost")))

    Several Redis servers go by name into one collector, since a registry takes no family twice. Whatever comes from one
    of them then has its name in the label ``redis``, and each has a ``jobtelemetry_up`` of its own::

        REGISTRY.register(jobtelemetry.Collector({"eu": Redis.from_url(eu), "us": Redis.from_url(us)}))

    Registering does no I/O. Collecting reads Redis once, and gives up when that has said nothing for two seconds, or
    after nine; if that fails, only ``jobtelemetry_up 0`` and the families about the scrape are yielded, and one line
    per outage is logged. It goes on working in processes that are forked, also while it reads.

    Args:
        connection: RQ's Redis, a synchronous ``redis.Redis``, or several by name. Reads go over connections of the
            collector's own with short time limits.
        config: The settings; read from the environment by default.
        read: What reads a snapshot, instead of reading it from the one ``connection``.
        time_limit: Seconds without a word from Redis after which a read counts as failed.
        reconciler: The one of the same exporter, where it has one; by name where there are several servers.

    Raises:
        ConfigError: It is not a connection that can be read from here, a name cannot be used, or the environment was
            read and a variable has no usable value.
    """

    def __init__(
        self,
        connection: redis.Redis | Mapping[str, redis.Redis],
        config: Config | None = None,
        *,
        read: Callable[[], Snapshot] | None = None,
        time_limit: float = TIME_LIMIT,
        reconciler: Reconciler | Mapping[str, Reconciler] | None = None,
    ) -> None:
        config = config or Config.from_env()
        for one in connection.values() if isinstance(connection, Mapping) else (connection,):
            with_time_limits(one)  # here, a URL would be a mistake
        found = sources(connection, config)
        reconcilers = by_name(reconciler, found, "reconciler")
        self.cardinality = Cardinality.of(config)
        self._said: set[tuple[str, ...]] = set()
        self.servers = tuple(
            Server(
                name,
                _reader(name, own, read, Keys(config.of_redis(name).key_prefix), time_limit),
                reconcilers.get(name),
            )
            for name, own, _ in found
        )

    def describe(self) -> Iterator[Metric]:
        """The families without samples; reads nothing."""
        return families.describe()

    def collect(self) -> Iterator[Metric]:
        """The families with the numbers of this moment."""
        return self.collect_within(None)

    def collect_within(self, seconds: float | None) -> Iterator[Metric]:
        """The same for who cannot wait longer than so many seconds."""
        yield from families.build(self.look(seconds), self.cardinality)

    def look(self, seconds: float | None) -> tuple[Scrape, ...]:
        """What each server has, as far as it could be read in so many seconds; all of them are asked at once."""
        asked = [(server, server.reader.ask(seconds)) for server in self.servers]
        found = [(server, answer()) for server, answer in asked]
        snapshots = self._agreed([(one.name, reading.snapshot) for one, reading in found])
        return tuple(
            Scrape(
                snapshots.get(server.name),
                reading.seconds,
                None if server.reconciler is None else server.reconciler.up,
                server.name,
                reading.progress,
                under_way=reading.under_way,
            )
            for server, reading in found
        )

    def _agreed(self, found: Iterable[tuple[str, Snapshot | None]]) -> dict[str, Snapshot]:
        """What was read by the servers' names, without users' own metrics that clash; each of them is said once."""
        servers = [(name, snapshot) for name, snapshot in found if snapshot is not None]
        snapshots, clashes = own_families.agreed(servers)
        for clash in clashes:
            if (what := (clash.redis, clash.family.name, clash.shown_of, clash.shown.name)) not in self._said:
                self._said.add(what)
                logger.warning(
                    "Metric %s of Redis %s, a %s, is not shown: Redis %s has %s, a %s. Give one of them another name",
                    *(clash.family.name, clash.redis, clash.family.kind.value),
                    *(clash.shown_of, clash.shown.name, clash.shown.kind.value),
                    extra={"redis": clash.redis, "metric": clash.family.name},
                )
        return dict(zip((name for name, _ in servers), snapshots, strict=True))


def _reader(
    name: str, connection: redis.Redis, read: Callable[[], Snapshot] | None, keys: Keys, time_limit: float
) -> SnapshotReader:
    if read is not None:
        return SnapshotReader(read, time_limit, name)
    own = _OwnReader(connection, keys)
    reader = SnapshotReader(own.read, time_limit, name, progress=own.progress)
    own.gets_on = reader.gets_on
    return reader


class _OwnReader:
    """One :class:`~jobtelemetry.store.read.Reader` for all reads of a process; a child of it begins anew."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._connection, self._keys = connection, keys
        self.gets_on: Callable[[], None] = lambda: None
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """What a reader remembers may be half written when a process is forked, and its lock held."""
        self._reader = Reader(self._connection, self._keys)

    def read(self) -> Snapshot:
        return self._reader.read(self.gets_on)

    def progress(self) -> Progress | None:
        return self._reader.progress
