"""Users' own metrics for people: each with its series, the largest first, and what all of them are together. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from jobtelemetry.contract import OTHER, Kind
from jobtelemetry.figures import fold, quantile
from jobtelemetry.store.snapshot import OwnFamily, OwnSeries


@dataclass(frozen=True)
class OwnLine:
    """One series, or all of them together.

    Args:
        labels: Names and values.
        value: What a counter or a gauge has; ``None`` for a histogram.
        count: How many observations a histogram has; ``None`` for the others, and so are the following.
        sum: Of these.
        mean: ``sum / count``.
        p50: Estimated from the buckets; infinite where it lies beyond the last bound, ``None`` where they begin below
            zero.
        p95: Likewise.
        buckets: Observations per upper bound, not cumulative, in order.
    """

    labels: tuple[tuple[str, str], ...] = ()
    value: float | None = None
    count: int | None = None
    sum: float | None = None
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    buckets: Mapping[str, int] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """``film=Dune, screen=3``; what its metric had no room for is ``film=all others``."""
        return ", ".join(f"{name}={'all others' if value == OTHER else value}" for name, value in self.labels)

    @property
    def amount(self) -> float:
        """What decides which is larger."""
        amount = self.value if self.value is not None else float(self.count or 0)
        return amount if amount == amount else -inf  # noqa: PLR0124 - what is no number is not equal to itself


@dataclass(frozen=True)
class OwnMetric:
    """One metric.

    Args:
        name: The full name; a counter's with ``_total``.
        kind: Its type.
        help: What it says of itself.
        unit: Its unit, or nothing.
        lines: Its series, the largest first.
        total: All of them together; ``None`` for a gauge, whose values have no sum.
        definitions: In how many ways it has been defined.
        unserved: Series of another type, which are kept and not shown.
    """

    name: str
    kind: Kind
    help: str = ""
    unit: str = ""
    lines: tuple[OwnLine, ...] = ()
    total: OwnLine | None = None
    definitions: int = 1
    unserved: int = 0

    @property
    def measures(self) -> str:
        """``timestamp``, ``seconds``, ``bytes``, or nothing that is known: by its name, as Prometheus wants them."""
        base = self.name.removesuffix("_total")
        if base.endswith("_timestamp_seconds"):
            return "timestamp"
        return next((unit for unit in ("seconds", "bytes") if base.endswith(f"_{unit}")), "")

    @property
    def bound(self) -> float | None:
        """A histogram's last finite bound; ``None`` where there is none."""
        finite = [bound for bound in map(float, self.total.buckets if self.total else ()) if isfinite(bound)]
        return finite[-1] if finite else None

    @property
    def only(self) -> OwnLine | None:
        """What stands for the metric in one line: all together, or the only series of a gauge."""
        return self.total or (self.lines[0] if len(self.lines) == 1 else None)

    def as_dict(self, most: int | None = None) -> dict[str, Any]:
        """For JSON; what is no finite number is ``null``.

        Args:
            most: How many series it has at most; all by default.
        """
        return {
            "name": self.name,
            "type": self.kind.value,
            "help": self.help or None,
            "unit": self.unit or None,
            "definitions": self.definitions,
            "series_count": len(self.lines),
            "total": None if self.total is None else _numbers(self.total),
            "series": [{"labels": dict(line.labels), **_numbers(line)} for line in self.lines[:most]],
        }


def own_metrics(families: Iterable[OwnFamily]) -> tuple[OwnMetric, ...]:
    """The metrics, by name."""
    return tuple(_metric(family) for family in sorted(families, key=lambda family: family.name))


def _metric(family: OwnFamily) -> OwnMetric:
    bounds = tuple(bound for bound in map(float, family.buckets) if isfinite(bound))
    lines = [_line(family.kind, one.labels, (one,), bounds) for one in family.series]
    return OwnMetric(
        family.name,
        family.kind,
        family.help,
        family.unit,
        tuple(sorted(lines, key=lambda line: (-line.amount, line.labels))),
        None if family.kind is Kind.GAUGE else _line(family.kind, (), family.series, bounds),
        family.definitions,
        family.unserved,
    )


def _line(
    kind: Kind, labels: tuple[tuple[str, str], ...], series: Iterable[OwnSeries], bounds: tuple[float, ...]
) -> OwnLine:
    if kind is not Kind.HISTOGRAM:
        return OwnLine(labels, value=sum(one.value for one in series))
    counts: Tally[str] = Tally()
    amount = 0.0
    for one in series:
        counts.update(one.counts)
        amount += one.sum
    count = sum(counts.values())
    positive = bool(bounds) and bounds[0] > 0

    def at(q: float) -> float | None:
        if not positive or not count:
            return None
        beyond = fold(counts, bounds)["+Inf"]
        return inf if q * count > count - beyond else quantile(q, counts, bounds)

    return OwnLine(
        labels, None, count, amount, amount / count if count else None, at(0.5), at(0.95), fold(counts, bounds)
    )


def _numbers(line: OwnLine) -> dict[str, Any]:
    if line.count is None:
        return {"value": line.value}
    return {
        "count": line.count,
        "sum": line.sum,
        "mean": line.mean,
        "p50": line.p50,
        "p95": line.p95,
        "buckets": dict(line.buckets),
    }
