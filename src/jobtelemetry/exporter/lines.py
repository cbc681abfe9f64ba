"""Sample lines as prometheus_client writes them, in a tenth of the time. Pure.

prometheus_client stays the reference: the tests compare every byte with what it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from prometheus_client.openmetrics.exposition import escape_label_name
from prometheus_client.utils import floatToGoString

from jobtelemetry.contract import Family, Kind, le
from jobtelemetry.exporter.families import Row, exemplars_of, labels_of
from jobtelemetry.exporter.packing import Piece
from jobtelemetry.figures import fold
from jobtelemetry.store.snapshot import Amount, Counter, Exemplar, Histogram

_go_number: Callable[[float], str] = floatToGoString
_SHORT = 1_000_000  # from here on Go writes an exponent


class Lines(NamedTuple):
    """Some lines of one family.

    Args:
        samples: The samples.
        created: When they were first seen; in the text format that is a family of its own, in OpenMetrics it stands
            among the samples and this is empty.
    """

    samples: Piece
    created: Piece


#: No lines.
NOTHING = Piece(b"")


def write(
    family: Family, rows: Iterable[Row], extra_labels: tuple[str, ...], *, openmetrics: bool, redis: str = ""
) -> Lines:
    """The lines of these rows of a family.

    Args:
        family: The family.
        rows: The rows.
        extra_labels: The extra labels that any series carries.
        openmetrics: Whether it is OpenMetrics, else the text format.
        redis: The name of the Redis server, where there are several.

    Raises:
        TypeError: A value is not of the family's kind.
    """
    name = family.name.removesuffix("_total")
    samples: list[str] = []
    created = samples if openmetrics else []
    for values, value, *more in rows:
        extra = more[0] if more else ()
        if family.kind is Kind.GAUGE and isinstance(value, float):
            samples.append(_gauge(family, values, value, redis, extra, extra_labels))
            continue
        labels = labels_of(family.labels, values, extra, extra_labels, redis)
        text = _braces(_pairs(labels))
        if family.kind is Kind.COUNTER and isinstance(value, (Counter, Amount)):
            exemplar = _exemplar(value.exemplar) if openmetrics and family.exemplars else ""
            samples.append(f"{name}_total{text} {_number(value.value)}{exemplar}\n")
        elif family.kind is Kind.HISTOGRAM and isinstance(value, Histogram):
            samples += _buckets(family, name, labels, value, openmetrics=openmetrics)
            samples.append(f"{name}_count{text} {_number(value.count)}\n")
            samples.append(f"{name}_sum{text} {_number(value.sum)}\n")
        else:
            raise TypeError(f"{family.name} is a {family.kind.value} and cannot show a {type(value).__name__}")
        if value.created:
            created.append(f"{name}_created{text} {_number(value.created)}\n")
    return Lines(Piece("".join(samples).encode()), Piece(b"" if openmetrics else "".join(created).encode()))


def gauges(family: Family, rows: Iterable[tuple[tuple[str, ...], float]], redis: str = "") -> bytes:
    """The same of a family of gauges that has no extra labels; it is the same in both formats."""
    return "".join([_gauge(family, values, value, redis) for values, value in rows]).encode()


def _gauge(
    family: Family,
    values: tuple[str, ...],
    value: float,
    redis: str,
    extra: tuple[tuple[str, str], ...] = (),
    extra_labels: tuple[str, ...] = (),
) -> str:
    return f"{family.name}{_gauge_labels(family.labels, values, extra, extra_labels, redis)} {_number(value)}\n"


def _buckets(
    family: Family, name: str, labels: dict[str, str], histogram: Histogram, *, openmetrics: bool
) -> Iterable[str]:
    exemplars = exemplars_of(family, histogram) if openmetrics else {}
    pairs = _pairs({label: value for label, value in labels.items() if label < "le"})
    rest = "".join(f",{pair}" for pair in _pairs({label: value for label, value in labels.items() if label > "le"}))
    start = f"{name}_bucket{{" + "".join(f"{pair}," for pair in pairs) + 'le="'
    bounds, counts = _bounds(family.buckets), histogram.counts
    if not counts.keys() <= set(bounds):
        counts = fold(counts, family.buckets)
    below, total = 0, _number(0)
    for bound in bounds:
        if count := counts.get(bound):
            below += count
            total = _number(below)
        exemplar = _exemplar(exemplars.get(bound)) if exemplars else ""
        yield f'{start}{bound}"{rest}}} {total}{exemplar}\n'


@lru_cache
def _bounds(buckets: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(le(bound, buckets) for bound in (*buckets, float("inf")))


# What runs and what queues hold is written at every scrape, under the same labels; some 20 MB at most.
@lru_cache(maxsize=32_768)
def _gauge_labels(
    names: tuple[str, ...],
    values: tuple[str, ...],
    extra: tuple[tuple[str, str], ...],
    extra_labels: tuple[str, ...],
    redis: str,
) -> str:
    return _braces(_pairs(labels_of(names, values, extra, extra_labels, redis)))


def _pairs(labels: dict[str, str]) -> list[str]:
    return [f'{_label_name(name)}="{_escaped(value)}"' for name, value in sorted(labels.items())]


def _braces(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


# A bounded number: whoever may write to Redis may also name labels.
_label_name = lru_cache(maxsize=256)(escape_label_name)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if type(value) is int and 0 <= value < _SHORT:
        return f"{value}.0"
    return _go_number(value)


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    pairs = f'span_id="{_escaped(exemplar.span_id)}",trace_id="{_escaped(exemplar.trace_id)}"'
    when = f" {exemplar.timestamp}" if exemplar.timestamp else ""
    return f" # {{{pairs}}} {_number(exemplar.value)}{when}"
