"""Single executions, from the JSON records of RQ workers in Loki: what failed, with which words, for which film.

The pipeline reads the keys that :func:`jobtelemetry.sinks.logs.facts` writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, logs, loki, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.loki import LokiQueryType

from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, theme
from jobtelemetry.mixin.dashboards.frame import board_url, frame, row, scoped
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.outcomes import State

LOGS = model.DataSourceRef(type_val="loki", uid="${logs}")

#: Facts of a record that every query chooses by; each query reads those that it shows besides, and no others.
_CHOSEN_BY = ("worker", "queue", "state")
_FAILED = "|".join(state for state in State if state.failed)
_MOST = 20


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "queue", "worker")
    about = (
        "Single executions from the log of the RQ workers (--log-json) in Loki: what failed, with which words, and "
        "which values of an attribute come most often."
    )
    dashboard = (
        frame(config, Board.EXECUTIONS, about, ("queue", "worker"))
        .with_variable(build.DatasourceVariable("logs").label("Logs").type("loki"))
        .with_variable(build.TextBoxVariable("attribute").label("Attribute").default_value(config.loki_attribute))
        .with_variable(build.TextBoxVariable("search").label("Search the failures").default_value(""))
    )
    for panel in (over_time(config), kinds_of_failures(q), newest(config)):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("What comes most often"))
    for panel in (messages(q), reasons(q), values(q)):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def records(config: MixinConfig, *further: str, facts: Mapping[str, str] | tuple[str, ...] = ()) -> str:
    """LogQL for the records of executions that ended, as the variables choose.

    Args:
        config: Says which streams.
        further: Stages behind it.
        facts: What is read of a record besides worker, queue and state: keys, or names and where each is.
    """
    where = facts if isinstance(facts, Mapping) else {key: key for key in facts}
    read = ", ".join(f'{name}="{path}"' for name, path in ({key: key for key in _CHOSEN_BY} | {**where}).items())
    stages = (
        '|= `"execution_id"`',
        f"| json {read}",
        "| __error__=``",
        "| state!=`` | worker=~`${worker:regex}` | queue=~`${queue:regex}`",
        *further,
    )
    return f"{{{config.loki_selector}}} {' '.join(stages)}"


def failures(config: MixinConfig, *further: str, facts: tuple[str, ...]) -> str:
    """Of those that failed."""
    return records(config, f"| state=~`{_FAILED}`", *further, facts=facts)


def counted(pipeline: str, by: str, window: str = "$__range") -> str:
    """How many, by these labels."""
    return f"sum by ({by}) (count_over_time({pipeline} [{window}]))"


def over_time(config: MixinConfig) -> timeseries.Panel:
    """How executions ended."""
    panel = panels.lines(
        "Executions by state",
        "Records of executions that ended, in the time of each bar. The exact counts are on the other dashboards; a "
        "record can get lost on its way into Loki.",
        [],
        width=14,
        colors=theme.STATE_COLORS,
        stacked=True,
        bars=True,
        interval="1m",
    ).datasource(LOGS)
    query = _query(counted(records(config), "state", "$__interval")).legend_format("{{state}}")
    return panel.with_target(query.query_type(LokiQueryType.RANGE))


def kinds_of_failures(q: PromQL) -> table.Panel:
    """Which workers failed of what."""
    return _ranking(
        q,
        "Failures by worker and error",
        "Records of executions that ended as failure or discard, in the time range.",
        failures(q.config, facts=("error_type",)),
        {"worker": "Worker", "error_type": "Error"},
        width=10,
        height=8,
    )


def newest(config: MixinConfig) -> logs.Panel:
    """The failures themselves."""
    line = (
        "{{.worker}} {{.error_type}}{{if .signal}} (signal {{.signal}}){{end}}: {{.detail}} [{{.state}}, "
        "attempt {{.attempt}}, job {{.job_id}}{{if .trace_id}}, trace {{.trace_id}}{{end}}]"
    )
    facts = ("error_type", "signal", "detail", "attempt", "job_id", "trace_id")
    lines = failures(config, "|~ `(?i)${search:regex}`", f"| line_format `{line}`", facts=facts)
    return (
        logs.Panel()
        .title("Newest failures")
        .description(
            "What failed last, newest first. Search looks for a text in the whole record, traceback included. A click "
            "on a line shows all its facts; jobtelemetry show JOB tells the story of its job."
        )
        .datasource(LOGS)
        .span(24)
        .height(12)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(kinds.LogsSortOrder.DESCENDING)
        .with_target(_query(lines).max_lines(200))
    )


def messages(q: PromQL) -> table.Panel:
    """With which words."""
    return _ranking(
        q,
        "Top messages",
        "Of executions that failed: the messages that come most often. jobtelemetry failures joins those that differ "
        "in a number alone.",
        failures(q.config, facts=("error_type", "detail")),
        {"worker": "Worker", "error_type": "Error", "detail": "Message"},
        width=24,
    )


def reasons(q: PromQL) -> table.Panel:
    """Why jobs were cancelled."""
    return _ranking(
        q,
        "Cancelled: top reasons and details",
        "What cancelled executions gave as reason and detail.",
        records(q.config, f"| state=`{State.CANCELLED}`", facts=("reason", "detail")),
        {"worker": "Worker", "reason": "Reason", "detail": "Detail"},
        width=12,
    )


def values(q: PromQL) -> table.Panel:
    """For which film."""
    value = {"value": 'attributes[\\"${attribute}\\"]'}
    pipeline = records(q.config, "| value!=``", facts=value)
    return _ranking(
        q,
        "Top values of the attribute",
        "Of all executions: the values of the attribute that is named above (set_attribute), and how they ended.",
        pipeline,
        {"worker": "Worker", "state": "State", "value": "Value"},
        width=12,
    )


def _ranking(
    q: PromQL,
    title: str,
    description: str,
    pipeline: str,
    keys: Mapping[str, str],
    *,
    width: int,
    height: int = 10,
) -> table.Panel:
    names = {**keys, "Value #A": "Executions"}
    query = _query(f"topk({_MOST}, {counted(pipeline, ', '.join(keys))})").query_type(LokiQueryType.INSTANT)
    worker = board_url(Board.WORKER, q, label="worker", value="${__value.raw}")
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(LOGS)
        .span(width)
        .height(height)
        .no_value("Nothing in the log")
        .cell_height(kinds.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name("Executions").desc(True)])
        .with_target(query)
        .with_transformation(
            model.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: index for index, name in enumerate(names)},
                    "renameByName": names,
                },
            )
        )
        .override_by_name("Executions", [theme.prop("custom.width", 110), theme.prop("unit", theme.COUNT)])
    )
    wrapped = theme.prop("custom.cellOptions", {"type": "auto", "wrapText": True})
    for heading in keys.values():
        panel = panel.override_by_name(heading, [theme.prop("noValue", "-"), wrapped])
    # Wide enough for a name of the usual length.
    link = theme.prop("links", [{"title": "Open this worker", "url": worker}])
    return panel.override_by_name("Worker", [link, theme.prop("custom.width", 310)])


def _query(expr: str) -> loki.Dataquery:
    return loki.Dataquery().expr(expr).ref_id("A").datasource(LOGS)
