"""The pages of users' own metrics: all of them, and one with its series."""

from __future__ import annotations

from collections.abc import Sequence

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.exporter.pages import tables
from jobtelemetry.exporter.pages.frame import SLOW_REFRESH, Look, document, problem
from jobtelemetry.questions.own_metrics import OwnLine, OwnMetric, own_metrics
from jobtelemetry.store.snapshot import Snapshot

#: Series of one metric on its page; the JSON has them all.
MOST_SERIES = 1000
_COLUMNS = ("Metric", "type", "series", "value", "mean", "p50", "p95", "help")
_COUNTED = ("Labels", "value")
_OBSERVED = ("Labels", "observations", "sum", "mean", "p50", "p95")


def listed(look: Look, metrics: Sequence[OwnMetric], most: int | None = None) -> Markup:
    """What each metric is and has, as a table."""
    shown = metrics[:most]
    of = f" ({len(shown)} of {len(metrics)})" if len(shown) < len(metrics) else ""
    rows = [_row(look, metric) for metric in shown]
    return tables.table(f"Metrics of your own{of}", _COLUMNS, rows)


def all_metrics(look: Look) -> str:
    """The page of all of them."""
    snapshot = look.snapshot
    metrics = own_metrics(snapshot.own) if snapshot else ()
    body = [listed(look, metrics), *_losses(snapshot)] if snapshot and metrics else [_none()]
    return _page(look, "Metrics of your own", "own-metrics", element("h1", "Metrics of your own"), *body)


def one_metric(look: Look, name: str) -> str | None:
    """The page of one; ``None`` where there is none of that name."""
    if look.snapshot is None:
        return _page(look, name, "metric", element("h1", formats.cut(name)))
    metric = next((one for one in own_metrics(look.snapshot.own) if one.name == name), None)
    if metric is None:
        return None
    lines = metric.lines[:MOST_SERIES]
    observed = metric.total is not None and metric.total.count is not None
    of = f" ({len(lines):,} of {len(metric.lines):,})" if len(lines) < len(metric.lines) else ""
    foot = [_cells(look, metric, metric.total, "Total")] if metric.total and len(metric.lines) > 1 else []
    rows = [_cells(look, metric, line, line.named or "no labels") for line in lines]
    body = [
        element("h1", formats.cut(metric.name)),
        element("p", formats.cut(metric.help, 1000), class_="path"),
        *_said(metric),
        tables.table(f"Series{of}, the largest first", _OBSERVED if observed else _COUNTED, rows, foot)
        if rows
        else element("p", "It is defined, and nothing has been measured yet."),
    ]
    if observed and metric.total and metric.total.count:
        body.append(tables.shares("Observations by upper bound", "Up to", _held(metric), "observed", "observations"))
    return _page(look, metric.name, "metric", *body)


def missing(look: Look, name: str) -> str:
    """The answer where there is no such metric."""
    said = element(
        "p",
        f"No metric of your own is called “{formats.cut(name)}” here. ",
        element("a", "All of them", href=f"{look.root}own-metrics"),
    )
    return _page(look, "Unknown metric", "metric", element("h1", "Unknown metric"), said)


def _row(look: Look, metric: OwnMetric) -> Sequence[Markup]:
    only = metric.only
    name = look.metric_link(metric.name)
    if metric.definitions > 1:
        name = join(name, element("span", f"defined in {metric.definitions} ways", class_="sub"))
    return (
        name,
        element("span", metric.kind.value),
        element("span", formats.number(len(metric.lines))),
        *_figures(look, metric, only),
        element("span", formats.cut(metric.help, 300) or formats.NOTHING, class_="said-by"),
    )


def _figures(look: Look, metric: OwnMetric, line: OwnLine | None) -> tuple[Markup, ...]:
    """Value, mean, p50 and p95; in place of a value a histogram has how many observations it is made of."""
    if line is None:
        return tuple(element("span", formats.NOTHING) for _ in range(4))
    if line.count is None:
        return (_quantity(look, metric, line.value), *(element("span", formats.NOTHING) for _ in range(3)))
    figures = (_quantity(look, metric, value) for value in (line.mean, line.p50, line.p95))
    observed = f"{formats.number(line.count)} observation{'' if line.count == 1 else 's'}"
    return (element("span", observed), *figures)


def _cells(look: Look, metric: OwnMetric, line: OwnLine, name: str) -> Sequence[Markup]:
    label = element("span", formats.cut(name, 500), class_="name")
    if line.count is None:
        return label, _quantity(look, metric, line.value)
    figures = (_quantity(look, metric, value) for value in (line.sum, line.mean, line.p50, line.p95))
    return (label, element("span", formats.number(line.count)), *figures)


def _quantity(look: Look, metric: OwnMetric, value: float | None) -> Markup:
    if metric.measures == "timestamp":
        return tables.moment(value or None, look.now)
    if value == float("inf") and metric.bound is not None:
        return element("span", f"> {formats.quantity(metric.bound, metric.measures)}")
    exact = {} if value is None else {"title": repr(value)}
    return element("span", formats.quantity(value, metric.measures), **exact)


def _held(metric: OwnMetric) -> list[tuple[str, int]]:
    """The buckets from the first to the last that holds anything."""
    rows = list(metric.total.buckets.items()) if metric.total else []
    named = [
        ("more" if bound == "+Inf" else formats.quantity(float(bound), metric.measures), count) for bound, count in rows
    ]
    held = [i for i, (_, count) in enumerate(named) if count]
    return named[held[0] : held[-1] + 1]


def _said(metric: OwnMetric) -> list[Markup]:
    said = [f"A {metric.kind.value}{f' in {metric.unit}' if metric.unit else ''}."]
    if metric.definitions > 1:
        said.append(f"It has been defined in {metric.definitions} ways; the newest is shown.")
    if metric.unserved:
        said.append(f"{formats.number(metric.unserved)} series of another type are kept and not shown.")
    return [element("p", formats.cut(" ".join(said), 500), class_="path")]


def _losses(snapshot: Snapshot) -> list[Markup]:
    """What is not in these numbers."""
    said = []
    if snapshot.own_unwritten:
        said.append(f"{formats.number(snapshot.own_unwritten)} executions died before what they measured was written.")
    if snapshot.own_left_out:
        said.append(
            f"{formats.number(snapshot.own_left_out)} observations were left out: no room, or no finite number."
        )
    return [element("p", " ".join(said), class_="aside")] if said else []


def _none() -> Markup:
    return element(
        "section",
        element("p", "No metric of your own is known here. A job makes one with jobtelemetry's Counter:"),
        element("pre", element("code", "from jobtelemetry import Counter, Gauge, Histogram")),
        class_="empty",
    )


def _page(look: Look, title: str, place: str, first: Markup, *body: str) -> str:
    return document(look, title, place, first, *problem(look), *body, refresh=SLOW_REFRESH)
