"""Expressions that several dashboards show."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.mixin.dashboards.frame import RANGE, STEP
from jobtelemetry.mixin.exact import gained_on_show
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.outcomes import Ratio, State

#: Grafana's own: the range on show in seconds, and a window that fits the scrapes.
RANGE_SECONDS, RATE = "$__range_s", "$__rate_interval"
STEP_SECONDS = "$__interval_ms / 1000"


def counted(q: PromQL, family: Family, by: str, extra: str = "") -> str:
    """Exactly how many in the range on show, as a whole number."""
    return f"sum by ({by}) (\n{gained_on_show(q, family, RANGE, extra, step=STEP, span=RANGE_SECONDS)}\n)"


def total(q: PromQL, family: Family, extra: str = "") -> str:
    """Exactly how many in all."""
    return f"sum(\n{gained_on_show(q, family, RANGE, extra, step=STEP, span=RANGE_SECONDS)}\n)"


def per_interval(q: PromQL, family: Family, by: str, extra: str = "") -> str:
    """Exactly how many in each step of the graph: a first one shows, which ``rate()`` cannot see."""
    return f"sum by ({by}) (\n{gained_on_show(q, family, STEP, extra, span=STEP_SECONDS)}\n) > 0"


def by_rank(q: PromQL, family: Family, label: str, ranks: int) -> list[str]:
    """The same by one label, in several queries: of each rank in the range on show, and of all that come after.

    Each value of the label is in exactly one of them; of several that come as often, two may share a rank.
    """
    series, labels = q.raw(family), q.by(*q.labels(family))
    begun, ended = f"max by ({labels}) ({series} @ end() offset {RANGE})", f"max by ({labels}) ({series} @ end())"
    grown = f"sum by ({label}) ({ended} - ({begun} or {ended} * 0))"
    most = [f"topk({rank}, {grown})" for rank in range(1, ranks + 1)]
    every = f"({per_interval(q, family, label)})"
    found = []
    for rank, here in enumerate(most):
        above = "".join(f"\nunless on ({label}) {one}" for one in most[:rank])
        found.append(f"{every}\nand on ({label}) {here}{above}")
    return [*found, every + "".join(f"\nunless on ({label}) {one}" for one in most)]


def ratio(q: PromQL, by: str, which: Ratio) -> str:
    """A ratio, in the range on show."""
    good = counted(q, contract.JOB_EXECUTIONS, by, in_state(State.COMPLETED))
    return _where_it_means_something(
        q, by, which, f"{good}\n/ ({counted(q, contract.JOB_EXECUTIONS, by, in_state(*which.states))} > 0)"
    )


def ratio_over_time(q: PromQL, by: str, which: Ratio) -> str:
    """The same in each step of the graph."""
    both = gained_on_show(q, contract.JOB_EXECUTIONS, STEP, in_state(*which.states), span=STEP_SECONDS)
    good = gained_on_show(q, contract.JOB_EXECUTIONS, STEP, in_state(State.COMPLETED), span=STEP_SECONDS)
    return _where_it_means_something(q, by, which, f"sum by ({by}) (\n{good}\n)\n/ (sum by ({by}) (\n{both}\n) > 0)")


def _where_it_means_something(q: PromQL, by: str, which: Ratio, expr: str) -> str:
    """Who never cancels has no match ratio, here as on the page and in the commands."""
    if not which.only_beside:
        return expr
    ever = f"sum by ({by}) ({q.raw(contract.JOB_EXECUTIONS, in_state(State.CANCELLED))})"
    return f"({expr})\nand {ever} > 0"


def per_minute(q: PromQL, family: Family, by: str, extra: str = "") -> str:
    """How many a minute."""
    return f"60 * sum by ({by}) ({q.rate(family, RATE, extra)})"


def quantile_in_range(q: PromQL, level: float, family: Family, by: str) -> str:
    """A quantile of all observations in the range on show, also of those before the second scrape."""
    labels = q.by(*q.labels(family), "le")
    now = f"max by ({labels}) ({q.raw(family, suffix='_bucket')})"
    begin = f"max by ({labels}) ({q.raw(family, suffix='_bucket')} offset {RANGE})"
    return f"histogram_quantile({level:g}, sum by ({by}, le) (({now} - {begin} >= 0) or {now})) >= 0"


def last_completed(q: PromQL, by: str) -> str:
    """When it last completed, in milliseconds as Grafana wants it."""
    return f"1000 * max by ({by}) ({q.raw(contract.JOB_LAST_COMPLETED)})"
