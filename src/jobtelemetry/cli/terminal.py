"""What comes out: a table on a terminal, tab-separated lines in a pipe, or JSON; with ``NO_COLOR`` and ASCII."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobtelemetry.outcomes import State

Row = TypeVar("Row")

#: Stands where there is nothing to show; ASCII, since not every terminal has more.
NOTHING = "-"
#: From this width on, columns have two spaces between them.
_ROOMY = 100
STYLES = {state: state.row.hue.value.terminal for state in State}


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    Args:
        title: Its head.
        cell: What a row has in it, for people.
        plain: The same for a pipe, in full; what people get by default.
        right: Whether it is a number, set to the right.
        style: The colour of a cell.
        wide: The least width of a column that takes what the others leave, and is cut there; 0 for one never cut.
        spare: Where the terminal is too narrow it is left out, the lowest number first; 0 for never.
    """

    title: str
    cell: Callable[[Row], str]
    plain: Callable[[Row], str] | None = None
    right: bool = False
    style: Callable[[Row], str] | None = None
    wide: int = 0
    spare: int = 0

    def in_full(self, row: Row) -> str:
        """The cell for a pipe."""
        return (self.plain or self.cell)(row)


class _PipedConsole(Console):
    def on_broken_pipe(self) -> None:
        """Let the command decide."""
        raise  # noqa: PLE0704 - rich calls this where it has caught the error


def console(*, stderr: bool = False) -> Console:
    """A console that never fails on a letter the terminal lacks."""
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure") and not _is_unicode(stream.encoding):
        stream.reconfigure(errors="replace")
    return _PipedConsole(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)


def show_table(out: Console, columns: Sequence[Column[Row]], rows: Iterable[Row], total: Row | None = None) -> None:
    """A table for people; where the terminal is too narrow, columns that can be spared are left out."""
    shown = [*rows, *([] if total is None else [total])]
    gap = 2 if out.width >= _ROOMY else 1
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    kept = _fitting([(column, _width(column, shown)) for column in columns], out.width, gap)
    for column, width in kept:
        grid.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis" if _is_unicode(out.encoding) else "crop",
            width=width,
        )
    for row in shown:
        if row is total:
            grid.add_section()
        grid.add_row(*(_cell(column, row) for column, _ in kept), style="bold" if row is total else "")
    out.print(grid)


Sized = tuple[Column[Row], int]


def _width(column: Column[Row], rows: Sequence[Row]) -> int:
    """What a column would like to have."""
    return max([len(column.title), *(cell_len(printable(column.cell(row))) for row in rows)])


def _fitting(columns: Sequence[Sized[Row]], room: int, gap: int) -> Sequence[Sized[Row]]:
    """The columns that there is room for, each with its width."""

    def excess(kept: Sequence[Sized[Row]]) -> int:
        return sum(min(width, column.wide or width) + gap for column, width in kept) - gap - room

    kept = list(columns)
    for spare in sorted((one for one in columns if one[0].spare), key=lambda one: one[0].spare):
        if excess(kept) > 0:
            kept.remove(spare)
    left = max(0, -excess(kept))
    fitting = []
    for column, width in kept:
        given = min(width, column.wide + left) if column.wide else width
        left -= max(0, given - column.wide) if column.wide else 0
        fitting.append((column, given))
    return fitting


def show_lines(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
    """Tab-separated lines with a head, nothing cut, for other programs."""
    click.echo("\t".join(column.title for column in columns))
    for row in rows:
        click.echo("\t".join(printable(column.in_full(row)) for column in columns))


def show_json(objects: Iterable[Any]) -> None:
    """One object a line."""
    ascii_only = not _is_unicode(sys.stdout.encoding)
    for one in objects:
        click.echo(json.dumps(one, ensure_ascii=ascii_only))


def note(text: str) -> None:
    """A remark for the user, which is no part of the answer."""
    err = console(stderr=True)
    err.print(Text(printable(text)), soft_wrap=not err.is_terminal)


def printable(text: str) -> str:
    """Without tabs, line ends and control characters: a job's message must not command the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _visible(c) for c in text)


def moment(when: float | None, now: float | None = None) -> str:
    """Local time: the time of today, or date and time."""
    if when is None:
        return NOTHING
    local, today = time.localtime(when), time.localtime(now)
    return time.strftime("%H:%M:%S" if local[:3] == today[:3] else "%Y-%m-%d %H:%M", local)


def _cell(column: Column[Row], row: Row) -> Text:
    return Text(printable(column.cell(row)), style=column.style(row) if column.style else "")


def _visible(character: str) -> str:
    return " " if character in "\t\n\r" or character.isspace() else "?"


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "ascii").lower().replace("-", "").startswith("utf")
