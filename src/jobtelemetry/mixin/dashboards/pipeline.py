"""One source: its workers as the stages of a pipeline, in the order in which they first ran."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from jobtelemetry import contract
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, queries, tables, theme
from jobtelemetry.mixin.dashboards.frame import board_url, frame, row, scoped
from jobtelemetry.mixin.dashboards.panels import instant_query, range_query
from jobtelemetry.mixin.dashboards.tables import Column
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.outcomes import MATCH, SUCCESS, State

_ORDER = "The stages are in the order in which they were first seen."
_FIRST_SEEN = "First seen"


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "source", "queue")
    about = (
        "One source's workers as the stages of a pipeline. Sources are told apart where jobs have meta['source'] and "
        "JOBTELEMETRY_EXTRA_LABELS=source is set; otherwise all workers are one pipeline."
    )
    dashboard = frame(config, Board.PIPELINE, about, ("source!", "queue"))
    dashboard = dashboard.with_panel(funnel(q)).with_panel(matches(q)).with_panel(stages(q))
    dashboard = dashboard.with_row(row("Over time"))
    for panel in over_time(q):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def funnel(q: PromQL) -> panels.PanelBuilder:
    """How many executions each stage had."""
    return panels.bars(
        "Stages",
        f"Executions of each stage in the time range, exactly. {_ORDER} Whole names are in the table.",
        [
            instant_query(panels.shortened(_first_seen(q), "worker"), "A"),
            instant_query(panels.shortened(queries.counted(q, contract.JOB_EXECUTIONS, "worker"), "worker"), "B"),
        ],
        width=12,
        height=8,
        color="blue",
        transformations=[
            model.DataTransformerConfig("merge", options={}),
            model.DataTransformerConfig("sortBy", options={"sort": [{"field": "Value #A", "desc": False}]}),
            model.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True, "worker": True, "Value #A": True},
                    "indexByName": {"short": 0, "Value #B": 1},
                },
            ),
        ],
        values=True,
    )


def matches(q: PromQL) -> panels.PanelBuilder:
    """How the match ratio of each stage moves."""
    return panels.lines(
        "Match ratio",
        "Completed of completed and cancelled, per stage.",
        [range_query(queries.ratio_over_time(q, "worker", MATCH), "{{worker}}")],
        unit=theme.PERCENT,
        highest=1,
        interval="2m",
        connect=True,
        per=("worker", q),
    )


def stages(q: PromQL) -> panels.PanelBuilder:
    """Everything about each stage in a line."""
    counts = [
        Column(
            state.value.capitalize(),
            queries.counted(q, contract.JOB_EXECUTIONS, "worker", in_state(state)),
            color=theme.STATE_COLORS[state.value],
            width=95,
        )
        for state in State
        if state is not State.STOPPED  # by an operator: that says nothing of a stage, and the table is wide
    ]
    good = ((None, theme.BAD), (q.config.objective, theme.GOOD))
    return tables.listing(
        "Stages in figures",
        f"Whole numbers of the time range. {_ORDER} Success is completed of completed and discard, match is completed "
        "of completed and cancelled.",
        {"worker": "Stage"},
        [
            Column(_FIRST_SEEN, _first_seen(q), theme.FROM_NOW, decimals=None, width=135),
            Column("Executions", queries.counted(q, contract.JOB_EXECUTIONS, "worker"), width=100),
            *counts,
            Column(
                "Success",
                queries.ratio(q, "worker", SUCCESS),
                theme.PERCENT,
                thresholds=good,
                decimals=2,
                width=80,
            ),
            Column("Match", queries.ratio(q, "worker", MATCH), theme.PERCENT, decimals=1, width=80),
            Column(
                "p50",
                queries.quantile_in_range(q, 0.5, contract.JOB_DURATION, "worker"),
                theme.SECONDS,
                decimals=None,
                width=80,
            ),
            Column(
                "p95",
                queries.quantile_in_range(q, 0.95, contract.JOB_DURATION, "worker"),
                theme.SECONDS,
                decimals=None,
                width=80,
            ),
            Column("Last completed", queries.last_completed(q, "worker"), theme.FROM_NOW, decimals=None, width=135),
        ],
        sort=_FIRST_SEEN,
        descending=False,
        height=9,
        links={"Stage": ("Open this worker", board_url(Board.WORKER, q, label="worker", value="${__value.raw}"))},
    )


def over_time(q: PromQL) -> list[panels.PanelBuilder]:
    """Each stage's traffic, run time and wait."""
    return [
        panels.lines(
            "Executions",
            "Executions of each stage that ended, a minute, in whatever state.",
            [range_query(queries.per_minute(q, contract.JOB_EXECUTIONS, "worker"), "{{worker}}")],
            unit=theme.PER_MINUTE,
            width=8,
            per=("worker", q),
        ),
        panels.durations(
            "Run time, p95",
            "The run time that 95 % of each stage's executions did not exceed.",
            [(_p95(q, contract.JOB_DURATION), "{{worker}}")],
            width=8,
            per=("worker", q),
        ),
        panels.durations(
            "Wait, p95",
            "The wait that 95 % of each stage's executions did not exceed.",
            [(_p95(q, contract.JOB_WAIT), "{{worker}}")],
            width=8,
            per=("worker", q),
        ),
    ]


def _p95(q: PromQL, family: contract.Family) -> str:
    return f"histogram_quantile(0.95, sum by (worker, le) ({q.rate(family, queries.RATE, suffix='_bucket')}))"


def _first_seen(q: PromQL) -> str:
    return f"1000 * min by (worker) ({q.raw(contract.JOB_EXECUTIONS, suffix='_created')})"
