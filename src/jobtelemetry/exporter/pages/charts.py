"""Small charts as SVG, drawn here: without script, in the colours of the style sheet, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element
from jobtelemetry.exporter.trends import BARS, Chart
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Deploy

#: From the bottom of a bar to its top: what went well below, what was lost on top, where it is seen.
STACK = sorted(State, key=lambda state: (state.failed, state.failed and state.terminal))
_HEIGHT = 100
_WIDTH = 10  # of a bar, in the chart's own units
_LINE = 1.5  # the width of a deploy's line
_MOST_DEPLOYS = 10
_YET = "The trend begins with the exporter's second reading, a minute after its start."


def ended(chart: Chart | None, title: str, deploys: Sequence[Deploy] = ()) -> Markup:
    """Executions that ended, by state, and when which version of the application began to run."""
    if chart is None:
        return _nothing_yet(title)
    sums = {state: sum(value or 0 for value in chart.bars[state.value]) for state in STACK}
    shown = [state for state in STACK if round(sums[state])]
    told = ", ".join(f"{formats.number(round(sums[state]))} {state}" for state in shown) or "nothing ended"
    layers = {state.value: chart.bars[state.value] for state in STACK if sums[state]}
    legend: list[str] = [
        element(
            "span", element("i", class_=f"{state.value} key"), f"{state.value} {formats.number(round(sums[state]))}"
        )
        for state in shown
    ]
    legend = legend or [element("span", "nothing ended")]
    return _figure(title, chart, layers, told, [*legend, *_deployed(chart, deploys)], deploys)


def waiting(chart: Chart | None, title: str, deploys: Sequence[Deploy] = ()) -> Markup:
    """Jobs that waited."""
    if chart is None:
        return _nothing_yet(title)
    known = [value for value in chart.bars["waiting"] if value is not None]
    told = (
        f"{formats.number(round(known[-1]))} now, {formats.number(round(max(known)))} at most" if known else "unknown"
    )
    return _figure(title, chart, {"waiting": chart.bars["waiting"]}, told, [element("span", told)], deploys)


def _figure(
    title: str,
    chart: Chart,
    layers: Mapping[str, Sequence[float | None]],
    told: str,
    legend: Sequence[str],
    deploys: Sequence[Deploy],
) -> Markup:
    columns = [[layer[i] or 0.0 for layer in layers.values()] for i in range(BARS)]
    top = max((sum(column) for column in columns), default=0.0)
    paths, floor = [_unknown(chart)], [0.0] * BARS
    for name, layer in layers.items():
        paths.append(element("path", class_=name, d=_bars(layer, floor, top)))
        floor = [below + (value or 0.0) for below, value in zip(floor, layer, strict=True)]
    paths.append(_markers(chart, deploys))
    if shown := _within(chart, deploys):
        told += "; deployed: " + ", ".join(f"{one.version} at {formats.iso(one.at)[11:16]}" for one in shown)
    span = formats.duration(chart.end - chart.begin)
    each = formats.duration((chart.end - chart.begin) / BARS)
    picture = element(
        "svg", *paths, viewBox=f"0 0 {BARS * _WIDTH} {_HEIGHT}", preserveAspectRatio="none", role="img",
        aria_label=f"{title}, the last {span}: {told}",
    )  # fmt: skip
    begin, end = formats.iso(chart.begin)[11:16], formats.iso(chart.end)[11:16]
    scale = f"{formats.short_number(top)} in {each}" if "waiting" not in layers else formats.short_number(top)
    axis = element("p", element("span", f"{begin} UTC"), element("span", f"top {scale}"), element("span", end),
                   class_="axis")  # fmt: skip
    return element("figure", element("figcaption", f"{title}, last {span}"), picture, axis,
                   element("p", *legend, class_="legend"), class_="chart")  # fmt: skip


def _bars(layer: Sequence[float | None], floor: Sequence[float], top: float) -> str:
    drawn = []
    for i, value in enumerate(layer):
        if value and top:
            height = max(value / top * _HEIGHT, 1.0)
            y = max(0.0, _HEIGHT - floor[i] / top * _HEIGHT - height)
            drawn.append(f"M{i * _WIDTH + 1} {y:.2f}h{_WIDTH - 2}v{height:.2f}h-{_WIDTH - 2}z")
    return "".join(drawn)


def _unknown(chart: Chart) -> Markup:
    """A shade over the time of which nothing is known."""
    lines = list(chart.bars.values())
    gone = [i for i in range(BARS) if all(line[i] is None for line in lines)]
    return element("path", class_="unknown", d="".join(f"M{i * _WIDTH} 0h{_WIDTH}v{_HEIGHT}h-{_WIDTH}z" for i in gone))


def _within(chart: Chart, deploys: Sequence[Deploy]) -> list[Deploy]:
    return [one for one in deploys if chart.begin <= one.at <= chart.end][-_MOST_DEPLOYS:]


def _markers(chart: Chart, deploys: Sequence[Deploy]) -> Markup:
    """A line where a version of the application began to run."""
    width = chart.end - chart.begin
    places = [(one.at - chart.begin) / width * BARS * _WIDTH for one in _within(chart, deploys)]
    return element("path", class_="deploy", d="".join(f"M{x:.1f} 0v{_HEIGHT}h{_LINE}v-{_HEIGHT}z" for x in places))


def _deployed(chart: Chart, deploys: Sequence[Deploy]) -> list[Markup]:
    return [
        element(
            "span",
            element("i", class_="deploy key"),
            f"{formats.cut(one.version, 40)} {formats.iso(one.at)[11:16]}",
            title=f"deployed {formats.iso(one.at)}",
        )
        for one in _within(chart, deploys)
    ]


def _nothing_yet(title: str) -> Markup:
    return element("figure", element("figcaption", title), element("p", _YET, class_="legend"), class_="chart")
