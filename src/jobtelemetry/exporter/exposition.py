"""What ``/metrics`` answers: only what changed since the last scrape is written anew."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from prometheus_client import Metric

from jobtelemetry.contract import Family
from jobtelemetry.exporter import own_families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.families import OF_LABEL_SET, READ, Row, rows
from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.exporter.lines import Lines, write
from jobtelemetry.exporter.packing import Piece, pack
from jobtelemetry.exporter.reference import EOF, written_by_prometheus_client
from jobtelemetry.store.snapshot import LabelSet, OwnFamily, OwnSeries, Snapshot


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

    def render(self, snapshot: Snapshot | None, about_scrape: Iterable[Metric], *, openmetrics: bool) -> bytes:
        """The answer to one scrape; may be called by several threads.

        Args:
            snapshot: What Redis has; ``None`` if it could not be read.
            about_scrape: The families about the scrape itself, which come last.
            openmetrics: Whether to write OpenMetrics, else the text format.
        """
        return b"".join(piece.content for piece in self._formats[openmetrics].pieces(snapshot, about_scrape))

    def render_packed(self, snapshot: Snapshot | None, about_scrape: Iterable[Metric], *, openmetrics: bool) -> bytes:
        """The same packed by gzip, of which only what changed is packed anew."""
        return pack(self._formats[openmetrics].pieces(snapshot, about_scrape))


class _Kept(NamedTuple):
    """A label set, which must live as long as its identity is asked for, and its lines by family."""

    label_set: LabelSet
    lines: tuple[Lines, ...]


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
        self._extra_labels: tuple[str, ...] = ()
        self._kept: dict[int, _Kept] = {}
        self._kept_own: dict[str, _KeptOwn] = {}

    def pieces(self, snapshot: Snapshot | None, about_scrape: Iterable[Metric]) -> list[Piece]:
        """The answer to one scrape, in pieces."""
        found: list[Piece] = []
        if snapshot is not None:
            with self._lock:
                found.extend(self._families(self._cardinality.of_snapshot(snapshot)))
                found.extend(self._own(snapshot))
        found.append(Piece(written_by_prometheus_client(about_scrape, self._openmetrics)))
        if self._openmetrics:
            found.append(Piece(EOF))
        return found

    def _families(self, snapshot: Snapshot) -> Iterator[Piece]:
        extra_labels = tuple(sorted(snapshot.extra_labels))
        if extra_labels != self._extra_labels:
            self._extra_labels, self._kept = extra_labels, {}
        of_sets = self._of_sets(snapshot)
        for family in READ:
            found = of_sets.get(family)
            if found is None:
                found = (self._write(family, rows(family, snapshot)),)
            head, head_of_created = _heads(family, self._openmetrics)
            yield Piece(head)
            yield from (lines.samples for lines in found)
            if not self._openmetrics and any(lines.created.content for lines in found):
                yield Piece(head_of_created)
                yield from (lines.created for lines in found)

    def _own(self, snapshot: Snapshot) -> Iterator[Piece]:
        """Users' own metrics. A family in which nothing changed is not written anew, nor a series in one that did."""
        before = self._kept_own
        self._kept_own = {}
        for family in snapshot.own:
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
        return write(self._cardinality.of_family(family), found, self._extra_labels, openmetrics=self._openmetrics)


@cache
def _heads(family: Family, openmetrics: bool) -> tuple[bytes, bytes]:
    """What stands above a family, and above the moments at which its series were first seen."""
    name = family.name.removesuffix("_total")
    return (
        written_by_prometheus_client([Metric(name, family.help, family.kind.value)], openmetrics),
        written_by_prometheus_client([Metric(f"{name}_created", family.help, "gauge")], openmetrics),
    )
