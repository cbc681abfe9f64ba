"""Users' own metrics as prometheus_client's families, and as it writes them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.samples import Exemplar

from jobtelemetry.contract import REDIS, Kind
from jobtelemetry.exporter.reference import written_by_prometheus_client
from jobtelemetry.store.own import Definition
from jobtelemetry.store.snapshot import OwnExemplar, OwnFamily, OwnSeries, Snapshot


def metric(family: OwnFamily) -> Metric:
    """A family with its samples."""
    found = _empty(family)
    bounds = tuple((float(bound), bound) for bound in family.buckets)
    for one in family.series:
        _add(found, family, one, bounds)
    return found


def named(redis: str, one: OwnSeries) -> OwnSeries:
    """A series with the name of its Redis server; a label of that name is called as Prometheus would call it."""
    labels = tuple((f"exported_{name}" if name == REDIS else name, value) for name, value in one.labels)
    return replace(one, labels=((REDIS, redis), *labels))


class Clash(NamedTuple):
    """A metric of one Redis server that cannot be shown beside that of another one.

    Args:
        redis: The server whose metric is not shown.
        family: The metric.
        shown_of: The server whose metric is shown.
        shown: That metric.
    """

    redis: str
    family: OwnFamily
    shown_of: str
    shown: OwnFamily


def agreed(servers: Sequence[tuple[str, Snapshot]]) -> tuple[tuple[Snapshot, ...], tuple[Clash, ...]]:
    """The snapshots of all Redis servers with the metrics that can stand in one answer, and those that cannot.

    A name has one type. Of two, that of the server before is shown; what the other has is counted.

    Args:
        servers: The name of each and its snapshot.
    """
    taken: dict[str, tuple[str, OwnFamily]] = {}
    found, clashes = [], []
    for redis, snapshot in servers:
        here = []
        for family in snapshot.own:
            names = Definition(family.name, family.kind).names
            before = next((taken[name] for name in names if name in taken), None)
            if before is None or (before[1].name, before[1].kind) == (family.name, family.kind):
                here.append(family)
                taken |= {name: (redis, family) for name in names if name not in taken}
            else:
                clashes.append(Clash(redis, family, *before))
        number = sum(len(family.series) for family in snapshot.own) - sum(len(family.series) for family in here)
        kept = len(here) == len(snapshot.own)
        found.append(snapshot if kept else replace(snapshot, own=tuple(here), own_clashing=number))
    return tuple(found), tuple(clashes)


def of_servers(
    servers: Sequence[tuple[str, Sequence[OwnFamily]]], named: Callable[[str, OwnSeries], OwnSeries] = named
) -> tuple[OwnFamily, ...]:
    """The families of all Redis servers, each once and as the first one has it; they are :func:`agreed`.

    Args:
        servers: The name of each, empty where there is one without a name, and its families.
        named: Gives a series the name of its server.
    """
    merged: dict[str, OwnFamily] = {}
    for redis, families in servers:
        for family in families:
            own = replace(family, series=tuple(named(redis, one) for one in family.series)) if redis else family
            first = merged.setdefault(own.name, own)
            if first is not own and first.kind is own.kind:
                merged[own.name] = replace(first, series=(*first.series, *own.series))
    return tuple(merged.values())


def write(family: OwnFamily, one: OwnSeries, *, openmetrics: bool) -> tuple[bytes, bytes]:
    """The lines of one series, and those of when it began where they stand elsewhere: in the text format."""
    with_samples = metric(replace(family, series=(one,)))
    if openmetrics:
        return _lines(with_samples, _empty(family), openmetrics=True), b""
    began = Metric(f"{family.family}_created", family.help, "gauge")
    without = Metric(began.name, family.help, "gauge")
    began.samples = [sample for sample in with_samples.samples if sample.name == began.name]
    with_samples.samples = [sample for sample in with_samples.samples if sample.name != began.name]
    return _lines(with_samples, _empty(family), openmetrics=False), _lines(began, without, openmetrics=False)


def heads(family: OwnFamily, *, openmetrics: bool) -> tuple[bytes, bytes]:
    """What stands above a family, and above the moments at which its series began."""
    created = Metric(f"{family.family}_created", family.help, "gauge")
    return (
        written_by_prometheus_client([_empty(family)], openmetrics),
        written_by_prometheus_client([created], openmetrics),
    )


def _lines(with_samples: Metric, without: Metric, *, openmetrics: bool) -> bytes:
    head = written_by_prometheus_client([without], openmetrics)
    return written_by_prometheus_client([with_samples], openmetrics)[len(head) :]


def _empty(family: OwnFamily) -> Metric:
    return Metric(family.family, family.help, family.kind.value, family.unit)


def _add(found: Metric, family: OwnFamily, one: OwnSeries, bounds: tuple[tuple[float, str], ...]) -> None:
    labels = dict(one.labels)
    name = family.family
    if family.kind is Kind.GAUGE:
        found.add_sample(name, labels, one.value)
        return
    if family.kind is Kind.COUNTER:
        found.add_sample(f"{name}_total", labels, one.value, exemplar=_exemplar(one.exemplars.get("")))
    else:
        below = 0
        exemplars = _folded(one, bounds)
        for bound, count in _counts(one.counts, bounds):
            below += count
            exemplar = _exemplar(exemplars.get(bound))
            found.add_sample(f"{name}_bucket", {**labels, "le": bound}, float(below), exemplar=exemplar)
        found.add_sample(f"{name}_count", labels, float(below))
        if bounds and bounds[0][0] >= 0:  # a sum of negative observations is no counter
            found.add_sample(f"{name}_sum", labels, one.sum)
    if one.created:
        found.add_sample(f"{name}_created", labels, one.created)


def _counts(counts: Mapping[str, int], bounds: tuple[tuple[float, str], ...]) -> Iterator[tuple[str, int]]:
    """For exactly these buckets; what was counted under another bound goes to the next larger one."""
    left = sorted((float(bound), count) for bound, count in counts.items())
    at = 0
    for value, bound in bounds:
        number = 0
        while at < len(left) and left[at][0] <= value:
            number += left[at][1]
            at += 1
        yield bound, number


def _folded(one: OwnSeries, bounds: tuple[tuple[float, str], ...]) -> dict[str, OwnExemplar]:
    """The newest exemplar of each of these buckets."""
    found: dict[str, OwnExemplar] = {}
    for bound, exemplar in sorted(one.exemplars.items(), key=lambda item: item[1].timestamp):
        if (place := next((text for value, text in bounds if float(bound) <= value), None)) is not None:
            found[place] = exemplar
    return found


def _exemplar(found: OwnExemplar | None) -> Exemplar | None:
    return None if found is None else Exemplar(dict(found.labels), found.value, found.timestamp or None)
