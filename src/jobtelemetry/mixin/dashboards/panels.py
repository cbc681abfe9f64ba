"""The kinds of panels that the dashboards are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from jobtelemetry.mixin.dashboards import theme
from jobtelemetry.mixin.dashboards.frame import DATA, RANGE, STEP, board_url
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL

#: What a dashboard takes.
PanelBuilder: TypeAlias = Builder[model.Panel]

#: How far up an axis goes at least, so that 0 is a line at the bottom and not in the middle of nothing.
_LEAST_AXIS = {theme.COUNT: 4, theme.SECONDS: 1, theme.MINUTES: 1, theme.PER_MINUTE: 1, theme.PERCENT: 1}

#: A series that is 0 all the time needs no place in a legend.
_ALL_ZERO = model.MatcherConfig("byValue", options={"reducer": "allIsZero", "op": "gte", "value": 0})

_LAST = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def range_query(expr: str, legend: str, *, exemplar: bool = False) -> prom.Dataquery:
    """A query over the time range."""
    query = prom.Dataquery().expr(expr).legend_format(legend).range().datasource(DATA)
    return query.exemplar(True) if exemplar else query


def instant_query(expr: str, ref: str, *, legend: str = "") -> prom.Dataquery:
    """A query at the end of the time range, as a table unless it has a legend."""
    query = prom.Dataquery().expr(expr).instant().ref_id(ref).datasource(DATA)
    return query.legend_format(legend) if legend else query.format(PromQueryFormat.TABLE)


def figure(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = theme.COUNT,
    thresholds: build.ThresholdsConfig | None = None,
    color: str = "",
    width: int = 3,
    decimals: int | None = None,
    no_value: str = "-",
    mappings: Sequence[model.ValueMapping] = (),
    leads_to: tuple[str, str] | None = None,
) -> stat.Panel:
    """One figure at the end of the time range.

    Args:
        leads_to: Title and address of where it can be understood; a click on the figure goes there.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATA)
        .span(width)
        .height(4)
        .unit(unit)
        .no_value(no_value)
        .mappings(list(mappings))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(kinds.BigValueTextMode.VALUE)
        .justify_mode(kinds.BigValueJustifyMode.CENTER)
        .reduce_options(_LAST)
        .with_target(instant_query(expr, "A", legend="__auto"))
        .thresholds(thresholds if thresholds is not None else theme.steps(color or theme.NEUTRAL))
        .color_scheme(theme.by_threshold())
    )
    if leads_to is not None:
        link = {"title": leads_to[0], "url": leads_to[1]}
        panel = panel.override_by_field_type("number", [theme.prop("links", [link])])
    return panel.decimals(decimals) if decimals is not None else panel


def lines(
    title: str,
    description: str,
    queries: Sequence[prom.Dataquery],
    *,
    unit: str = theme.COUNT,
    width: int = 12,
    height: int = 8,
    colors: Mapping[str, str] | None = None,
    stacked: bool = False,
    highest: float | None = None,
    thresholds: build.ThresholdsConfig | None = None,
    decimals: int | None = None,
    interval: str = "30s",
    bars: bool = False,
    connect: bool = False,
    least_axis: float | None = None,
    with_legend: bool = True,
    no_value: str = "",
    per: tuple[str, PromQL] | None = None,
) -> timeseries.Panel:
    """Series over time: lines, a stack of areas, or a stack of bars.

    Args:
        interval: The least step, and so the least window of ``$__rate_interval``.
        connect: Whether a line goes on across a time without data. For figures that say what the last work was like;
            a wait does not shrink slowly while nothing waits.
        least_axis: How far up the axis goes at least; by default it depends on the unit.
        per: ``worker`` or ``queue`` where there is a line for each, and what the dashboard shows. The colour of a line
            comes from its name then, so it is the same on every panel; a long dotted name is short in the legend and
            whole at the foot of the tooltip; a click on the line leads to its dashboard.
    """
    legend = common.VizLegendOptions().show_legend(with_legend).placement(kinds.LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATA)
        .span(width)
        .height(height)
        .unit(unit)
        .min(0)
        .interval(interval)
        .axis_soft_max(_LEAST_AXIS.get(unit, 0) if least_axis is None else least_axis)
        .draw_style(kinds.GraphDrawStyle.BARS if bars else kinds.GraphDrawStyle.LINE)
        .line_width(0 if bars else 1 if stacked else 2)
        .fill_opacity(80 if bars else 45 if stacked else 8)
        .line_interpolation(kinds.LineInterpolation.LINEAR)
        .show_points(kinds.VisibilityMode.NEVER if bars or stacked else kinds.VisibilityMode.AUTO)
        .span_nulls(connect)
        .legend(legend.display_mode(kinds.LegendDisplayMode.LIST).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_named(query, per).ref_id(letter))
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [theme.color(color)])
    panel = panel.with_override(
        _ALL_ZERO, [theme.prop("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})]
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if highest is not None:
        panel = panel.max(highest)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if no_value:
        panel = panel.no_value(no_value)
    if thresholds is not None:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds).thresholds_style(style)
    return _per(*per, panel, colors or ()) if per else panel


_BOARDS = {"worker": Board.WORKER, "queue": Board.QUEUES}
#: Of a name longer than this before its last two parts, these two are shown.
_LONG_NAME, _SHORT_NAME = r".{12,}\.([^.]+\.[^.]+)", "…$1"


def shortened(expr: str, label: str) -> str:
    """With the label ``short``: the last two parts of a long dotted name.

    It has to be the query that shortens names. Where a transformation does, Grafana takes the colour of a line from the
    whole name and that of its place in the legend from the short one.
    """
    pattern = _LONG_NAME.replace("\\", "\\\\")
    whole = f'label_replace({expr}, "short", "$1", "{label}", "(.*)")'
    return f'label_replace({whole}, "short", "{_SHORT_NAME}", "{label}", "{pattern}")'


def _named(query: prom.Dataquery, per: tuple[str, PromQL] | None) -> prom.Dataquery:
    """The query of a line for each worker or queue, with short names."""
    asked = query.build()
    if per is None or asked.legend_format != f"{{{{{per[0]}}}}}":
        return query
    return query.expr(shortened(asked.expr, per[0])).legend_format("{{short}}")


def _per(label: str, q: PromQL, panel: timeseries.Panel, others: Iterable[str]) -> timeseries.Panel:
    # Grafana writes "Click to open " and the title at the foot of the tooltip of a line that has such a link.
    name = f"${{__field.labels.{label}}}"
    link = {"title": name, "url": board_url(_BOARDS[label], q, label=label, value=name), "oneClick": True}
    by_name = build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    panel = panel.color_scheme(by_name).override_by_field_type("number", [theme.prop("links", [link])])
    for other in others:
        panel = panel.override_by_name(other, [theme.prop("links", [])])
    return panel


#: From how many seconds on run times and waits are drawn in minutes.
_MINUTES_FROM = 120
#: Of these letters are the queries in minutes.
_IN_SECONDS, _IN_MINUTES = ascii_uppercase[:13], ascii_uppercase[13:]


def durations(
    title: str, description: str, series: Sequence[tuple[str, str]], *, longest: str = "", **options: Any
) -> timeseries.Panel:
    """Run times or waits over time: in seconds, or all of them in minutes where one takes two or more.

    The ticks of Grafana's axes are round numbers of what is drawn, whatever its unit, so an axis in seconds reads 1.67
    mins and 4.17 mins. Nothing in a panel can choose the unit by what there is to see, but a query can be empty.

    Args:
        series: Expression, in seconds, and legend.
        longest: The expression of those whose highest value in the time range decides; by default the last one.
        options: As :func:`lines` takes them.
    """
    peak = f"max(max_over_time((\n{longest or series[-1][0]}\n)[{RANGE}:{STEP}] @ end()) >= {_MINUTES_FROM})"
    panel, per = lines(title, description, [], unit=theme.SECONDS, **options), options.get("per")
    for letter, (expr, legend) in zip(_IN_SECONDS, series, strict=False):
        panel = panel.with_target(_named(range_query(f"({expr})\nunless on () {peak}", legend), per).ref_id(letter))
    for letter, (expr, legend) in zip(_IN_MINUTES, series, strict=False):
        panel = panel.with_target(_named(range_query(f"({expr}) / 60\nand on () {peak}", legend), per).ref_id(letter))
        panel = panel.override_by_query(letter, [theme.prop("unit", theme.MINUTES)])
    return panel


def density(
    title: str, description: str, expr: str, *, width: int = 12, scheme: str = "Blues", exemplars: bool = False
) -> heatmap.Panel:
    """A histogram over time, with exemplars if the family has them."""
    query = range_query(expr, "{{le}}", exemplar=exemplars).format(PromQueryFormat.HEATMAP).ref_id("A")
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATA)
        .span(width)
        .height(9)
        .with_target(query)
        .interval("30s")
        .calculate(False)
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(theme.SECONDS).axis_placement(kinds.AxisPlacement.LEFT))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heat.HeatmapColorMode.SCHEME)
            .scheme(scheme)
            .steps(64)
            .exponent(0.5)
            .fill("dark-blue")
            .reverse(False)
        )
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .exemplars_color("rgba(255, 120, 10, 0.9)")
        .show_legend()
        .mode(kinds.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
    )


def bars(
    title: str,
    description: str,
    queries: Sequence[prom.Dataquery],
    *,
    unit: str = theme.COUNT,
    width: int = 12,
    height: int = 8,
    thresholds: build.ThresholdsConfig | None = None,
    color: str = "",
    lowest: float = 0,
    highest: float | None = None,
    decimals: int | None = None,
    transformations: Sequence[model.DataTransformerConfig] = (),
    values: bool = False,
    no_value: str = "-",
) -> bargauge.Panel:
    """A bar per series, or per row of a table."""
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).values(values)
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(DATA)
        .span(width)
        .height(height)
        .unit(unit)
        .min(lowest)
        .no_value(no_value)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .name_placement(kinds.BarGaugeNamePlacement.LEFT)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .show_unfilled(True)
        .sizing(kinds.BarGaugeSizing.AUTO)
        .text(common.VizTextDisplayOptions().title_size(14).value_size(18))
        .reduce_options(reduce)
        .transformations(list(transformations))
        .thresholds(thresholds if thresholds is not None else theme.steps(color or "blue"))
        .color_scheme(theme.by_threshold())
    )
    for query in queries:
        panel = panel.with_target(query)
    if highest is not None:
        panel = panel.max(highest)
    return panel.decimals(decimals) if decimals is not None else panel
