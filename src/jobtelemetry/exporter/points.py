"""The families of ``/metrics`` as OpenTelemetry has them: names, attributes, points. Needs the SDK; no I/O.

What OpenTelemetry's messaging conventions have a name for has that name and their attributes; the rest keeps ours, with
a dot after ``jobtelemetry`` and without the unit, which OpenTelemetry keeps apart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics import export
from prometheus_client import Metric
from prometheus_client.samples import Sample

from jobtelemetry import contract

try:
    from opentelemetry.sdk.metrics import Exemplar
except ImportError:  # before 1.28
    Exemplar = None  # type: ignore[assignment, misc]

_ID = re.compile("[0-9a-f]{16}|[0-9a-f]{32}")
_SYSTEM = {"messaging.system": "rq"}
_PROCESS = {**_SYSTEM, "messaging.operation.name": "process"}
#: The families that the conventions have a name for: name, unit, and what they want every point to carry.
CONVENTIONS: Mapping[contract.Family, tuple[str, str, Mapping[str, str]]] = {
    contract.JOB_DURATION: ("messaging.process.duration", "s", _PROCESS),
    contract.JOB_EXECUTIONS: ("messaging.client.consumed.messages", "{message}", _PROCESS),
    contract.JOBS_ENQUEUED: (
        "messaging.client.sent.messages",
        "{message}",
        {**_SYSTEM, "messaging.operation.name": "send"},
    ),
}
#: What our labels are called on spans, and so here.
ATTRIBUTES = {
    "worker": "rq.job.func",
    "queue": "messaging.destination.name",
    "state": "rq.job.state",
    "reason": "rq.job.cancel_reason",
    "error_type": "error.type",
}
_UNITS = {"_seconds": "s", "_bytes": "By"}
_BY_NAME = {family.name.removesuffix("_total"): family for family in contract.FAMILIES}


class _Name(NamedTuple):
    name: str
    unit: str
    attributes: Mapping[str, str]
    ours: bool


@dataclass(frozen=True)
class Point:
    """One series at one moment, cumulative.

    Args:
        attributes: Of the series.
        created: When it began, Unix time in seconds; 0 if nobody knows.
        value: Of a counter or gauge; the sum of a histogram.
        counts: Observations per bucket of a histogram, not cumulative.
        exemplars: Recent traces.
    """

    attributes: Mapping[str, str]
    created: float
    value: float
    counts: tuple[int, ...] = ()
    exemplars: tuple[Any, ...] = ()


def name_of(family: str) -> _Name:
    """What a family is called, by its name without ``_total``; one that is not ours keeps its own."""
    known = _BY_NAME.get(family)
    if known is None:
        return _Name(family, "", {}, ours=False)
    if known in CONVENTIONS:
        return _Name(*CONVENTIONS[known], ours=True)
    suffix = next((suffix for suffix in _UNITS if family.endswith(suffix)), "")
    name = family.removesuffix(suffix).replace("_", ".", 1)
    return _Name(name, _UNITS.get(suffix, ""), _SYSTEM if "queue" in known.labels else {}, ours=True)


@dataclass
class Converter:
    """Turns what a collector found into OpenTelemetry's points.

    With delta temporality a point says what came since the last export that arrived; of what was there before the
    first one it says nothing, for somebody may have sent it.

    Args:
        delta_sums: Whether counters are sent as deltas.
        delta_histograms: Whether histograms are.
    """

    delta_sums: bool = False
    delta_histograms: bool = False
    _arrived: dict[tuple[str, frozenset[tuple[str, str]]], Point] = field(default_factory=dict)
    _sent: dict[tuple[str, frozenset[tuple[str, str]]], Point] = field(default_factory=dict)
    _since: float = 0.0
    _sent_at: float = 0.0

    def convert(self, found: Iterable[Metric]) -> list[export.Metric]:
        """Every family that has points."""
        now = time.time()
        first, self._sent, self._sent_at = not self._since, {}, now
        converted = [made for metric in found if (made := self._one(metric, now, first=first)) is not None]
        if first:
            self.arrived()
        return converted

    def arrived(self) -> None:
        """What was converted last has arrived; the next deltas begin there."""
        self._arrived, self._since = self._sent, self._sent_at

    def _one(self, metric: Metric, now: float, *, first: bool) -> export.Metric | None:
        name, unit, constant, ours = name_of(metric.name)
        delta = self.delta_histograms if metric.type == "histogram" else self.delta_sums and metric.type == "counter"
        bounds = _bounds(metric)
        points = []
        for point in _points(metric, ATTRIBUTES if ours else {}, constant):
            key = (name, frozenset(point.attributes.items()))
            self._sent[key] = point
            if not delta:
                points.append((point, point.created))
            elif not first:
                points.append((_since(point, self._arrived.get(key)), self._since))
        if not points:
            return None
        how = export.AggregationTemporality.DELTA if delta else export.AggregationTemporality.CUMULATIVE
        data: Any
        if metric.type == "histogram":
            data = export.Histogram([_histogram(point, start, now, bounds) for point, start in points], how)
        else:
            numbers = [_number(point, start, now) for point, start in points]
            data = export.Sum(numbers, how, True) if metric.type == "counter" else export.Gauge(numbers)
        return export.Metric(name, metric.documentation, unit, data)


def _since(point: Point, before: Point | None) -> Point:
    """What came since; all of it where the counter has begun anew."""
    if before is None or point.value < before.value or point.created != before.created:
        return point
    if len(point.counts) != len(before.counts):  # a user's own histogram has got other buckets
        return point
    counts = tuple(now - then for now, then in zip(point.counts, before.counts, strict=True))
    return Point(point.attributes, point.created, point.value - before.value, counts, point.exemplars)


def _points(metric: Metric, names: Mapping[str, str], constant: Mapping[str, str]) -> Iterator[Point]:
    by_series: dict[tuple[tuple[str, str], ...], dict[str, list[Sample]]] = {}
    for sample in metric.samples:
        series = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        suffix = sample.name.removeprefix(metric.name)
        by_series.setdefault(series, {}).setdefault(suffix, []).append(sample)
    for series, found in by_series.items():
        attributes = {**constant, **{names.get(name, name): value for name, value in series}}
        created = found["_created"][0].value if "_created" in found else 0.0
        buckets = found.get("_bucket", [])
        if buckets:
            counts = [int(sample.value) for sample in buckets]
            parts = tuple(count - before for count, before in zip(counts, [0, *counts], strict=False))
            total = found["_sum"][0].value if "_sum" in found else 0.0
            yield Point(attributes, created, total, parts, _exemplars(buckets))
        for sample in found.get("_total", found.get("", [])):
            yield Point(attributes, created, sample.value, (), _exemplars([sample]))


def _bounds(metric: Metric) -> tuple[float, ...]:
    found = dict.fromkeys(float(sample.labels["le"]) for sample in metric.samples if "le" in sample.labels)
    return tuple(bound for bound in found if bound != float("inf"))


def _exemplars(samples: Iterable[Sample]) -> tuple[Any, ...]:
    found = (sample.exemplar for sample in samples if sample.exemplar is not None)
    return tuple(made for one in found if (made := _exemplar(one)) is not None)


def _exemplar(found: Any) -> Any:
    """An exemplar with a trace; a user's own may have other labels, and is left out."""
    trace_id, span_id = (found.labels.get(name, "") for name in ("trace_id", "span_id"))
    if Exemplar is None or not (_ID.fullmatch(trace_id) and _ID.fullmatch(span_id)):
        return None
    return Exemplar(
        filtered_attributes={},
        value=found.value,
        time_unix_nano=_nanos(float(found.timestamp or 0.0)),
        span_id=int(span_id, 16),
        trace_id=int(trace_id, 16),
    )


def _with_exemplars(point: Point) -> dict[str, Any]:
    return {"exemplars": point.exemplars} if point.exemplars else {}


def _number(point: Point, start: float, now: float) -> export.NumberDataPoint:
    value = int(point.value) if float(point.value).is_integer() else point.value
    return export.NumberDataPoint(
        attributes=dict(point.attributes),
        start_time_unix_nano=_nanos(start),
        time_unix_nano=_nanos(now),
        value=value,
        **_with_exemplars(point),
    )


def _histogram(point: Point, start: float, now: float, bounds: tuple[float, ...]) -> export.HistogramDataPoint:
    return export.HistogramDataPoint(
        attributes=dict(point.attributes),
        start_time_unix_nano=_nanos(start),
        time_unix_nano=_nanos(now),
        count=sum(point.counts),
        sum=point.value,
        bucket_counts=point.counts,
        explicit_bounds=bounds,
        min=None,  # type: ignore[arg-type]  # nobody knows, and OTLP has it optional
        max=None,  # type: ignore[arg-type]
        **_with_exemplars(point),
    )


def _nanos(seconds: float) -> int:
    return int(seconds * 1_000_000) * 1_000
