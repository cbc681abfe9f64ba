"""How users' own metrics look in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from jobtelemetry.cli import formats, terminal
from jobtelemetry.cli.terminal import NOTHING, Column, Row
from jobtelemetry.contract import Kind
from jobtelemetry.questions.own_metrics import OwnLine, OwnMetric


def show(out: Console, metrics: Sequence[OwnMetric]) -> None:
    """Each in one line."""
    columns: list[Column[OwnMetric]] = [
        Column("metric", lambda metric: metric.name),
        Column("type", lambda metric: metric.kind.value, spare=3),
        Column("series", lambda metric: f"{len(metric.lines):,}", lambda metric: str(len(metric.lines)), right=True),
        Column("value", lambda m: _total(m, m.only), lambda m: _plain_total(m.only), right=True),
        *(
            Column(
                title,
                lambda m, of=of: _quantity(m, of(m.only)),  # type: ignore[misc]
                lambda m, of=of: _plain(of(m.only)),  # type: ignore[misc]
                right=True,
                spare=spare,
            )
            for title, of, spare in _FIGURES
        ),
        Column("help", lambda metric: metric.help, wide=12, spare=4),
    ]
    _show(out, columns, metrics)


def show_series(out: Console, metric: OwnMetric, lines: Sequence[OwnLine]) -> None:
    """The series of one, and below them the total."""
    total = metric.total if len(metric.lines) > 1 else None
    columns: list[Column[OwnLine]] = [
        Column("labels", lambda line: "Total" if line is total else line.named or NOTHING, wide=20)
    ]
    if metric.kind is Kind.HISTOGRAM:
        columns += [
            Column("observations", lambda line: f"{line.count:,}", lambda line: str(line.count), right=True),
            Column("sum", lambda line: _quantity(metric, line.sum), lambda line: _plain(line.sum), right=True, spare=1),
        ]
        columns += [
            Column(
                title,
                lambda line, of=of: _quantity(metric, of(line)),  # type: ignore[misc]
                lambda line, of=of: _plain(of(line)),  # type: ignore[misc]
                right=True,
                spare=0 if title == "p95" else spare,
            )
            for title, of, spare in _FIGURES
        ]
    else:
        columns.append(
            Column("value", lambda line: _quantity(metric, line.value), lambda line: _plain(line.value), right=True)
        )
    _show(out, columns, lines, total)


_FIGURES: tuple[tuple[str, Callable[[OwnLine | None], float | None], int], ...] = (
    ("mean", lambda line: line.mean if line else None, 1),
    ("p50", lambda line: line.p50 if line else None, 2),
    ("p95", lambda line: line.p95 if line else None, 2),
)


def _show(out: Console, columns: Sequence[Column[Row]], rows: Sequence[Row], total: Row | None = None) -> None:
    if not out.is_terminal:
        terminal.show_lines(columns, rows)
    elif rows:
        terminal.show_table(out, columns, rows, total)


def _total(metric: OwnMetric, line: OwnLine | None) -> str:
    if line is None:
        return NOTHING
    return _quantity(metric, line.value) if line.count is None else f"{line.count:,} observed"


def _plain_total(line: OwnLine | None) -> str:
    if line is None:
        return ""
    return _plain(line.value) if line.count is None else str(line.count)


def _quantity(metric: OwnMetric, value: float | None) -> str:
    if metric.measures == "timestamp":
        return terminal.moment(value or None)
    if value == float("inf") and metric.bound is not None:
        return f"> {formats.quantity(metric.bound, metric.measures)}"
    return formats.quantity(value, metric.measures)


def _plain(value: float | None) -> str:
    return "" if value is None else repr(value)
