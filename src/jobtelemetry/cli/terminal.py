"""What comes out: a table on a terminal, tab-separated lines in a pipe, or JSON; with ``NO_COLOR`` and ASCII."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobtelemetry.outcomes import State
from jobtelemetry.text import json_text
from jobtelemetry.text import terminal_text as printable

__all__ = [
    "NOTHING",
    "STYLES",
    "Column",
    "console",
    "moment",
    "note",
    "printable",
    "show_json",
    "show_lines",
    "show_table",
]

Row = TypeVar("Row")

#: Stands where there is nothing to show; ASCII, since not every terminal has more.
NOTHING = "-"
#: From this width on, columns have two spaces between them.
_ROOMY = 100
#: Characters that a column of words keeps where there is room for no more.
_SHORTEST = 12
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
    out.print(table_of(columns, shown, out.width, total, cut="ellipsis" if _is_unicode(out.encoding) else "crop"))


def table_of(
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    width: int,
    total: Row | None = None,
    cut: Literal["ellipsis", "crop"] = "ellipsis",
) -> Table:
    """The table that :func:`show_table` shows; of the rows, ``total`` is set apart."""
    gap = 2 if width >= _ROOMY else 1
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    kept = _fitting([(column, _width(column, rows)) for column in columns], width, gap, _saying_nothing(columns, rows))
    for column, wide in kept:
        grid.add_column(
            Text(printable(column.title)),
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow=cut,
            width=wide,
        )
    for row in rows:
        if row is total:
            grid.add_section()
        grid.add_row(*(_cell(column, row) for column, _ in kept), style="bold" if row is total else "")
    return grid


Sized = tuple[Column[Row], int]


def _width(column: Column[Row], rows: Sequence[Row]) -> int:
    """What a column would like to have."""
    return max([len(column.title), *(cell_len(printable(column.cell(row))) for row in rows)])


def _saying_nothing(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> frozenset[str]:
    """The titles of those in which no row has anything but nothing or zero."""
    return frozenset(column.title for column in columns if all(column.cell(row) in ("", "0", NOTHING) for row in rows))


def _fitting(
    columns: Sequence[Sized[Row]], room: int, gap: int, saying_nothing: frozenset[str] = frozenset()
) -> Sequence[Sized[Row]]:
    """The columns that there is room for, each with its width; those that say nothing are the first to go."""
    least = {column.title: min(width, column.wide or width) for column, width in columns}

    def excess(kept: Sequence[Sized[Row]]) -> int:
        return sum(least[column.title] + gap for column, _ in kept) - gap - room

    kept = list(columns)
    spared = (one for one in columns if one[0].spare)
    for spare in sorted(spared, key=lambda one: (one[0].title not in saying_nothing, one[0].spare)):
        if excess(kept) > 0:
            kept.remove(spare)
    if excess(kept) > 0:  # words lose their ends before a figure does
        least |= {column.title: min(width, _SHORTEST) for column, width in kept if not column.right}
    while excess(kept) > 0 and len(kept) > 2:  # and a figure is whole or not there
        words = [one for one in kept[1:] if not one[0].right]
        kept.remove(words[-1] if words else kept[-1])
    left = max(0, -excess(kept))
    fitting = []
    for column, width in kept:
        given = min(width, least[column.title] + left)
        left -= given - least[column.title]
        fitting.append((column, given))
    return fitting


def show_lines(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
    """Tab-separated lines with a head, nothing cut, for other programs."""
    click.echo("\t".join(printable(column.title) for column in columns))
    for row in rows:
        click.echo("\t".join(printable(column.in_full(row)) for column in columns))


def show_json(objects: Iterable[Any]) -> None:
    """One object a line; a time beyond the last bucket, which JSON has no number for, is ``null``."""
    ascii_only = not _is_unicode(sys.stdout.encoding)
    for one in objects:
        click.echo(json_text(one, ascii_only=ascii_only))


def note(text: str) -> None:
    """A remark for the user, which is no part of the answer."""
    err = console(stderr=True)
    err.print(Text(printable(text)), soft_wrap=not err.is_terminal)


def moment(when: float | None, now: float | None = None, *, zone: bool = False) -> str:
    """Local time: the time of today, or date and time; with its zone where no other words beside it have that."""
    if when is None:
        return NOTHING
    try:
        local, today = time.localtime(when), time.localtime(now)
    except (OverflowError, ValueError, OSError):  # no moment that a calendar has
        return NOTHING
    written = "%H:%M:%S" if local[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(f"{written} %Z" if zone else written, local).rstrip()


def _cell(column: Column[Row], row: Row) -> Text:
    return Text(printable(column.cell(row)), style=column.style(row) if column.style else "")


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "ascii").lower().replace("-", "").startswith("utf")
