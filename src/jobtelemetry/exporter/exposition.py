"""What ``/metrics`` answers: only what changed since the last scrape is written anew."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from typing import NamedTuple

from prometheus_client import Metric

from jobtelemetry.contract import QUEUE_JOBS, Family
from jobtelemetry.exporter import own_families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.families import OF_LABEL_SET, OF_RQ_WORKERS, READ, Row, Scrape, about, rows
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.exporter.lines import NOTHING, Lines, gauges, write
from jobtelemetry.exporter.packing import Piece, pack
from jobtelemetry.exporter.queue_families import OF_QUEUE, ShownQueue, rate_limited, shown_queues
from jobtelemetry.exporter.reference import EOF, written_by_prometheus_client
from jobtelemetry.store.snapshot import LabelSet, OwnFamily, OwnSeries, QueueState, RQWorkerState, Snapshot

#: Queues whose lines are put together, and packed together.
_QUEUES_IN_A_BLOCK = 50


class Exposition:
    """Writes snapshots, byte for byte as prometheus_client would, and keeps the text of every label set.

    A label set that is the same object as in the snapshot before has the same text, so a scrape costs what happened
    since the last one. What it keeps is about as much as one answer of each format that is asked for.

    Args:
        cardinality: What may be shown.
    """

    def __init__(self, cardinality: Cardinality | None = None) -> None:
        self._cardinality = cardinality or Cardinality()
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """Keep nothing; so does a forked process, which may have come to be while something was written."""
        self._formats = {
            openmetrics: _Format(self._cardinality, openmetrics=openmetrics) for openmetrics in (False, True)
        }

    def render(self, scrapes: Sequence[Scrape], *, openmetrics: bool) -> bytes:
        """The answer to one scrape; may be called by several threads.

        Args:
            scrapes: What each of the Redis servers said; mostly there is one.
            openmetrics: Whether to write OpenMetrics, else the text format.
        """
        return b"".join(piece.content for piece in self._formats[openmetrics].pieces(scrapes))

    def render_packed(self, scrapes: Sequence[Scrape], *, openmetrics: bool) -> bytes:
        """The same packed by gzip, of which only what changed is packed anew."""
        return pack(self._formats[openmetrics].pieces(scrapes))


class _KeptOwn(NamedTuple):
    """A user's own metric, the samples and the moments of each series by its identity, and all of them as written."""

    family: OwnFamily
    lines: dict[int, tuple[OwnSeries, tuple[bytes, bytes]]]
    pieces: tuple[Piece, ...]


class _Format:
    """One of the two formats."""

    def __init__(self, cardinality: Cardinality, *, openmetrics: bool) -> None:
        self._cardinality = cardinality
        self._openmetrics = openmetrics
        self._lock = threading.Lock()
        self._texts: dict[str, _Text] = {}
        self._named: dict[tuple[str, int], tuple[OwnSeries, OwnSeries]] = {}
        self._kept_own: dict[str, _KeptOwn] = {}

    def pieces(self, scrapes: Sequence[Scrape]) -> list[Piece]:
        """The answer to one scrape, in pieces."""
        read = [(one.redis, one.snapshot) for one in scrapes if one.snapshot is not None]
        with self._lock:
            found = list(self._families([self._lines(redis, snapshot) for redis, snapshot in read]))
            found.extend(self._own([(redis, snapshot.own) for redis, snapshot in read]))
        found.append(Piece(written_by_prometheus_client(about(scrapes), self._openmetrics)))
        if self._openmetrics:
            found.append(Piece(EOF))
        return found

    def _lines(self, redis: str, snapshot: Snapshot) -> Mapping[Family, tuple[Lines, ...]]:
        if redis not in self._texts:
            self._texts[redis] = _Text(self._cardinality, redis, openmetrics=self._openmetrics)
        return self._texts[redis].lines(snapshot)

    def _families(self, servers: Sequence[Mapping[Family, tuple[Lines, ...]]]) -> Iterator[Piece]:
        for family in READ if servers else ():
            found = [lines for of_family in servers for lines in of_family[family]]
            head, head_of_created = _heads(family, self._openmetrics)
            yield Piece(head)
            yield from (lines.samples for lines in found)
            if not self._openmetrics and any(lines.created.content for lines in found):
                yield Piece(head_of_created)
                yield from (lines.created for lines in found)

    def _own(self, servers: Sequence[tuple[str, Sequence[OwnFamily]]]) -> Iterator[Piece]:
        """Users' own metrics. A family in which nothing changed is not written anew, nor a series in one that did."""
        known, self._named = self._named, {}

        def named(redis: str, one: OwnSeries) -> OwnSeries:
            found = known.get((redis, id(one))) or (one, own_families.named(redis, one))
            self._named[redis, id(one)] = found
            return found[1]

        before = self._kept_own
        self._kept_own = {}
        for family in own_families.of_servers(servers, named):
            kept = before.get(family.name)
            if kept is None or kept.family is not family:
                kept = self._write_own(family, kept)
            self._kept_own[family.name] = kept
            yield from kept.pieces

    def _write_own(self, family: OwnFamily, before: _KeptOwn | None) -> _KeptOwn:
        of_same_kind = before is not None and replace(before.family, series=()) == replace(family, series=())
        known = before.lines if before is not None and of_same_kind else {}
        lines = {
            id(one): known.get(id(one)) or (one, own_families.write(family, one, openmetrics=self._openmetrics))
            for one in family.series
        }
        head, head_of_created = own_families.heads(family, openmetrics=self._openmetrics)
        pieces = [Piece(head), Piece(b"".join(samples for _, (samples, _) in lines.values()))]
        if created := b"".join(created for _, (_, created) in lines.values()):
            pieces.append(Piece(head_of_created + created))
        return _KeptOwn(family, lines, tuple(pieces))


class _Kept(NamedTuple):
    """A label set, which must live as long as its identity is asked for, and its lines by family."""

    label_set: LabelSet
    lines: tuple[Lines, ...]


class _KeptQueue(NamedTuple):
    """A queue, and its lines by family."""

    queue: ShownQueue
    lines: tuple[bytes, ...]


class _QueueTexts:
    """The lines of all queues. Those of one that is as before are not written anew, nor packed where others are too.

    Args:
        redis: The name of the Redis server.
    """

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._kept: dict[str, _KeptQueue] = {}
        self._blocks: list[tuple[list[_KeptQueue], tuple[Lines, ...]]] = []

    def lines(self, queues: Iterable[ShownQueue]) -> dict[Family, tuple[Lines, ...]]:
        """The lines of every family of queues, some queues at a time."""
        found = [self._keep(queue) for queue in queues]
        self._kept = {kept.queue.name: kept for kept in found}
        blocks = [found[first : first + _QUEUES_IN_A_BLOCK] for first in range(0, len(found), _QUEUES_IN_A_BLOCK)]
        self._blocks = [
            before if before is not None and before[0] == block else (block, _block(block))
            for block, before in zip_longest(blocks, self._blocks[: len(blocks)])
        ]
        return {family: tuple(lines[place] for _, lines in self._blocks) for place, family in enumerate(OF_QUEUE)}

    def _keep(self, queue: ShownQueue) -> _KeptQueue:
        before = self._kept.get(queue.name)
        if before is not None and before.queue == queue:
            return before
        return _KeptQueue(queue, tuple(gauges(family, found(queue), self._redis) for family, found in OF_QUEUE.items()))


def _block(block: Sequence[_KeptQueue]) -> tuple[Lines, ...]:
    return tuple(
        Lines(Piece(b"".join(of_family)), NOTHING) for of_family in zip(*(kept.lines for kept in block), strict=True)
    )


class _Text:
    """What one Redis server has, in one of the formats."""

    def __init__(self, cardinality: Cardinality, redis: str, *, openmetrics: bool) -> None:
        self._cardinality = cardinality
        self._redis = redis
        self._openmetrics = openmetrics
        self._extra_labels: tuple[str, ...] = ()
        self._kept: dict[int, _Kept] = {}
        self._queues = _QueueTexts(redis)
        self._observed: tuple[tuple[QueueState, ...], tuple[RQWorkerState, ...]] | None = None
        self._of_rq: dict[Family, tuple[Lines, ...]] = {}

    def lines(self, snapshot: Snapshot) -> Mapping[Family, tuple[Lines, ...]]:
        """The lines of every family that comes from Redis."""
        extra_labels = tuple(sorted(snapshot.extra_labels))
        if extra_labels != self._extra_labels:
            self._extra_labels, self._kept = extra_labels, {}
        found = self._of_sets(snapshot)
        found |= self._of_queues_and_rq_workers(snapshot)
        found |= {family: (self._write(family, rows(family, snapshot)),) for family in READ if family not in found}
        held_back = self._write(QUEUE_JOBS, [rate_limited(snapshot)])
        found[QUEUE_JOBS] = (*found[QUEUE_JOBS], held_back)
        return found

    def _of_queues_and_rq_workers(self, snapshot: Snapshot) -> dict[Family, tuple[Lines, ...]]:
        before = self._observed
        if before is None or before[0] is not snapshot.queues or before[1] is not snapshot.rq_workers:
            shown = self._cardinality.of_snapshot(snapshot)
            self._of_rq = self._queues.lines(shown_queues(shown))
            self._of_rq |= {family: (self._write(family, rows(family, shown)),) for family in OF_RQ_WORKERS}
            self._observed = snapshot.queues, snapshot.rq_workers
        return self._of_rq

    def _of_sets(self, snapshot: Snapshot) -> dict[Family, tuple[Lines, ...]]:
        """The lines of the families that are nothing but label sets."""
        # Two keys in Redis can say the same labels, if a stranger wrote them; then only the merged rows are right, and
        # so they are where a snapshot was put together without label sets.
        if len(snapshot.seen) != len(snapshot.sets):
            self._kept = {}
            return {}
        before = self._kept
        self._kept = {id(one): before.get(id(one)) or self._keep(one) for one in snapshot.sets}
        if not self._kept:
            return {}
        return dict(zip(OF_LABEL_SET, zip(*(kept.lines for kept in self._kept.values()), strict=True), strict=True))

    def _keep(self, one: LabelSet) -> _Kept:
        return _Kept(one, tuple(self._write(family, found(one)) for family, found in OF_LABEL_SET.items()))

    def _write(self, family: Family, found: Iterable[Row]) -> Lines:
        shown, kept = self._cardinality.of_family(family), self._cardinality.of_rows(family, found)
        return write(shown, kept, self._extra_labels, openmetrics=self._openmetrics, redis=self._redis)


@cache
def _heads(family: Family, openmetrics: bool) -> tuple[bytes, bytes]:
    """What stands above a family, and above the moments at which its series were first seen."""
    name = family.name.removesuffix("_total")
    return (
        written_by_prometheus_client([Metric(name, family.help, family.kind.value)], openmetrics),
        written_by_prometheus_client([Metric(f"{name}_created", family.help, "gauge")], openmetrics),
    )
