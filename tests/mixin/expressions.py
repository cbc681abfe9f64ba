"""What an expression names: metrics, and the labels that are matched and grouped by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from jobtelemetry.contract import FAMILIES
from jobtelemetry.mixin.promql import labels_of, series_names

#: What Prometheus and the scrape add.
SCRAPE_LABELS = {"job", "instance", "le", "__name__"}
#: Series that are not ours: the scrape's, and the alerts.
FOREIGN = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "worker", "queue", "job"}}
FOREIGN["ALERTS_FOR_STATE"] = FOREIGN["ALERTS"] - {"alertstate"}
#: Every series that the contract makes, and its labels.
KNOWN = FOREIGN | {name: {*labels_of(family), *SCRAPE_LABELS} for family in FAMILIES for name in series_names(family)}

_VARIABLES = {
    "$__range_s": "3600",
    "$__rate_interval": "1m",
    "$__interval_ms": "60000",
    "$__interval": "1m",
    "$__range": "1h",
}


def parse(expr: str) -> Any:
    """The expression's tree, with Grafana's variables filled in.

    Raises:
        ValueError: It is not PromQL.
    """
    for variable, value in _VARIABLES.items():
        expr = expr.replace(variable, value)
    return promql_parser.parse(re.sub(r"\$\w+", "value", expr))


def selectors(tree: Any) -> Iterator[Any]:
    """Every vector selector of a tree."""
    if isinstance(tree, promql_parser.VectorSelector):
        yield tree
    elif isinstance(tree, promql_parser.MatrixSelector):
        yield tree.vector_selector
    for part in ("expr", "lhs", "rhs", "param"):
        child = getattr(tree, part, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(tree, "args", None) or ():
        yield from selectors(child)


def grouped(tree: Any) -> Iterator[str]:
    """Every label that something is grouped by or matched on."""
    modifier = getattr(tree, "modifier", None)
    if modifier is not None:
        labels = getattr(modifier, "labels", None)
        if labels is None and getattr(modifier, "matching", None) is not None:
            labels = modifier.matching.labels
        yield from labels or ()
    for part in ("expr", "lhs", "rhs", "param"):
        child = getattr(tree, part, None)
        if child is not None:
            yield from grouped(child)
    for child in getattr(tree, "args", None) or ():
        yield from grouped(child)
