"""Tables: a row per label set, a column per query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from jobtelemetry.mixin.dashboards import theme
from jobtelemetry.mixin.dashboards.frame import DATA
from jobtelemetry.mixin.dashboards.panels import instant_query


@dataclass(frozen=True)
class Column:
    """One column of a table: an instant query with a row per label set.

    Args:
        name: The heading.
        expr: PromQL.
        unit: Grafana's unit.
        color: A colour for values above 0; empty leaves the text's own.
        thresholds: Colours from a value on, instead.
        decimals: Digits behind the point; ``None`` leaves it to the unit.
        width: In pixels; 0 shares what is left.
        hidden: Whether the query only brings the rows.
        leads_to: Title and address of where a number can be understood.
        properties: Further properties of the column.
    """

    name: str
    expr: str
    unit: str = theme.COUNT
    color: str = ""
    thresholds: tuple[tuple[float | None, str], ...] = ()
    decimals: int | None = 0
    width: int = 0
    hidden: bool = False
    leads_to: tuple[str, str] | None = None
    properties: tuple[tuple[str, object], ...] = ()


def listing(
    title: str,
    description: str,
    keys: Mapping[str, str],
    columns: Sequence[Column],
    *,
    sort: str,
    descending: bool = True,
    then: Sequence[tuple[str, bool]] = (),
    width: int = 24,
    height: int = 9,
    links: Mapping[str, tuple[str, str]] | None = None,
    widths: Mapping[str, int] | None = None,
    wrapped: Sequence[str] = (),
    no_value: str = "-",
) -> table.Panel:
    """A table with a row per label set and a column per query.

    Args:
        keys: Label -> heading of the columns that name the row.
        columns: The others, in order.
        sort: Heading of the column to sort by.
        then: Further headings, and whether the highest comes first there.
        widths: Heading -> width in pixels.
        wrapped: Headings of keys whose values go on in a second line, where there is no room.
        links: Heading of a key -> title and address of what a click on a value leads to.
    """
    letters = [chr(ord("A") + index) for index in range(len(columns))]
    # A single query's field is called Value, several are called Value #A and so on.
    fields = {
        (f"Value #{letter}" if len(columns) > 1 else "Value"): column
        for letter, column in zip(letters, columns, strict=True)
    }
    names = {**keys, **{field: column.name for field, column in fields.items() if not column.hidden}}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATA)
        .span(width)
        .height(height)
        .no_value(no_value)
        .align(kinds.FieldTextAlignment.AUTO)
        .cell_height(kinds.TableCellHeight.SM)
        .sort_by(
            [common.TableSortByFieldState().display_name(by).desc(desc) for by, desc in ((sort, descending), *then)]
        )
    )
    for letter, column in zip(letters, columns, strict=True):
        panel = panel.with_target(instant_query(column.expr, letter))
    panel = panel.with_transformation(model.DataTransformerConfig("merge", options={})).with_transformation(
        model.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": dict.fromkeys(
                    ("Time", *(field for field, column in fields.items() if column.hidden)), True
                ),
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": names,
            },
        )
    )
    for column in columns:
        if column.hidden:
            continue
        panel = panel.override_by_name(column.name, _column(column))
    for heading in keys.values():
        properties = [theme.prop("noValue", "-")]
        if widths and heading in widths:
            properties.append(theme.prop("custom.width", widths[heading]))
        if heading in wrapped:
            properties.append(theme.prop("custom.cellOptions", {"type": "auto", "wrapText": True}))
        if links and heading in links:
            title, url = links[heading]
            properties.append(theme.prop("links", [{"title": title, "url": url}]))
        panel = panel.override_by_name(heading, properties)
    return panel


def _column(column: Column) -> list[model.DynamicConfigValue]:
    properties = [theme.prop("unit", column.unit)]
    if column.decimals is not None:
        properties.append(theme.prop("decimals", column.decimals))
    if column.width:
        properties.append(theme.prop("custom.width", column.width))
    steps = column.thresholds or (((None, theme.NEUTRAL), (1e-9, column.color)) if column.color else ())
    if steps:
        listed = [{"value": value, "color": color} for value, color in steps]
        properties.append(theme.prop("thresholds", {"mode": "absolute", "steps": listed}))
        properties.append(theme.prop("color", {"mode": "thresholds"}))
        properties.append(theme.prop("custom.cellOptions", {"type": "color-text"}))
        if not any(name == "mappings" for name, _ in column.properties):
            nothing = {"match": "null+nan", "result": {"text": "-", "color": theme.NEUTRAL, "index": 0}}
            properties.append(theme.prop("mappings", [{"type": "special", "options": nothing}]))
    if column.leads_to is not None:
        properties.append(theme.prop("links", [{"title": column.leads_to[0], "url": column.leads_to[1]}]))
    return properties + [theme.prop(name, value) for name, value in column.properties]
