"""Users' own metrics as people see them."""

from __future__ import annotations

import json
import math

from jobtelemetry.contract import OTHER, Kind
from jobtelemetry.questions.own_metrics import own_metrics
from jobtelemetry.store.snapshot import OwnFamily, OwnSeries
from jobtelemetry.text import json_text


def test_totals_are_those_of_the_type() -> None:
    """A counter is added up, a histogram's observations are, and gauges are not: their sum means nothing."""
    tickets = OwnFamily(
        "tickets_total",
        Kind.COUNTER,
        series=(OwnSeries((("film", "a"),), 3.0), OwnSeries((("film", OTHER),), 9.5)),
    )
    stock = OwnFamily(
        "stock", Kind.GAUGE, series=(OwnSeries((("house", "a"),), 3.0), OwnSeries((("house", "b"),), 4.0))
    )
    rows = OwnFamily(
        "rows",
        Kind.HISTOGRAM,
        buckets=("10.0", "100.0", "+Inf"),
        series=(
            OwnSeries((("as", "csv"),), counts={"10.0": 2, "50.0": 2}, sum=70.0),
            OwnSeries((("as", "xml"),), counts={"+Inf": 6}, sum=930.0),
        ),
    )
    observed, set_, counted = own_metrics((tickets, stock, rows))
    assert [(line.named, line.value) for line in counted.lines] == [("film=all others", 9.5), ("film=a", 3.0)]
    assert counted.total
    assert counted.total.value == 12.5
    assert set_.total is None
    assert observed.total
    assert (observed.total.count, observed.total.mean, observed.total.p50) == (10, 100.0, math.inf)
    assert observed.total.buckets == {"10.0": 2, "100.0": 2, "+Inf": 6}  # an older definition had a bound of 50
    csv = next(line for line in observed.lines if line.named == "as=csv")
    assert (csv.p50, csv.count) == (10.0, 4)
    told = json.loads(json_text(observed.as_dict(1)))
    assert (told["series_count"], len(told["series"]), told["total"]["p95"]) == (2, 1, None)


def test_what_is_no_number_takes_nothing_down() -> None:
    """A gauge that is not a number, buckets below zero, a histogram of which nothing was observed yet."""
    gauge = OwnFamily("a", Kind.GAUGE, series=(OwnSeries((), math.nan), OwnSeries((("x", "1"),), 2.0)))
    cold = OwnFamily("b", Kind.HISTOGRAM, buckets=("-5.0", "5.0", "+Inf"), series=(OwnSeries((), counts={"-5.0": 1}),))
    empty = OwnFamily("c", Kind.HISTOGRAM, buckets=("1.0", "+Inf"))
    first, second, third = own_metrics((gauge, cold, empty))
    assert first.lines[0].value == 2.0
    assert json.loads(json_text(first.as_dict()))["series"][1]["value"] is None
    assert second.total
    assert (second.total.count, second.total.p50) == (1, None)
    assert third.total
    assert (third.total.count, third.total.mean, third.total.p95) == (0, None, None)


def test_units_are_read_from_the_name() -> None:
    """Seconds, bytes and moments are shown as such."""
    names = ("a_seconds", "b_seconds_total", "c_timestamp_seconds", "d_bytes", "e")
    assert [metric.measures for metric in own_metrics(OwnFamily(name, Kind.GAUGE) for name in names)] == [
        "seconds", "seconds", "timestamp", "bytes", "",
    ]  # fmt: skip
