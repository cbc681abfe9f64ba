"""Entries of the execution log on a terminal: as a table where it is wide enough, else as lines."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from jobtelemetry.cli import formats
from jobtelemetry.cli.terminal import STYLES, Column, moment, printable, show_table
from jobtelemetry.questions.entries import LogEntry

#: Narrower than this, a table would have no room for the reasons.
ROOMY = 130
#: Seconds of waiting from which on a line has them.
_LONG = 5.0

COLUMNS: tuple[Column[LogEntry], ...] = (
    Column("ended", lambda entry: moment(entry.ended_at), lambda entry: formats.plain_moment(entry.ended_at)),
    Column("worker", lambda entry: formats.short(entry.worker), lambda entry: entry.worker),
    Column("queue", lambda entry: entry.queue, spare=2),
    Column("state", lambda entry: entry.state.value, style=lambda entry: STYLES[entry.state]),
    Column("attempt", lambda entry: str(entry.attempt or ""), right=True, spare=1),
    Column(
        "wait",
        lambda entry: formats.seconds(entry.wait),
        lambda entry: formats.plain_seconds(entry.wait),
        right=True,
    ),
    Column(
        "run",
        lambda entry: formats.seconds(entry.duration),
        lambda entry: formats.plain_seconds(entry.duration),
        right=True,
    ),
    Column(
        "cpu",
        lambda entry: formats.seconds(entry.cpu),
        lambda entry: formats.plain_seconds(entry.cpu),
        right=True,
        spare=3,
    ),
    Column(
        "memory",
        lambda entry: formats.size(entry.memory),
        lambda entry: "" if entry.memory is None else str(entry.memory),
        right=True,
        spare=4,
    ),
    Column("job", lambda entry: entry.job),
    Column("why", lambda entry: entry.why or formats.attributes(entry.attributes), lambda entry: entry.why, wide=30),
    Column("source", lambda entry: entry.source),
    Column("trace", lambda entry: entry.trace),
    Column("attributes", lambda entry: formats.attributes(entry.attributes)),
)
#: The last three are in full lines and JSON only.
_ON_SCREEN = COLUMNS[:-3]


def show(out: Console, entries: Sequence[LogEntry]) -> None:
    """Show entries in the given order."""
    if out.width >= ROOMY:
        show_table(out, _ON_SCREEN, entries)
        return
    for entry in entries:
        show_one(out, entry)


def _waited(entry: LogEntry) -> str:
    """Where it waited for longer than one would not ask about: how long, and on which queue."""
    if entry.wait is None or entry.wait < _LONG:
        return ""
    return f", waited {formats.seconds(entry.wait)} on {printable(entry.queue)}"


def show_one(out: Console, entry: LogEntry) -> None:
    """An entry as a line, and below it why and its attributes where it has any."""
    when = moment(entry.ended_at, time.time())
    attempt = f"attempt {entry.attempt} " if entry.attempt > 1 else ""
    out.print(
        Text.assemble(
            (f"{when} ", "dim"),
            (f"{entry.state.value:<9} ", STYLES[entry.state]),
            f"{printable(formats.short(entry.worker))} {attempt}",
            (f"{formats.seconds(entry.duration)}{_waited(entry)} ", "dim"),
            (printable(entry.job), "bold"),
        ),
        soft_wrap=True,
    )
    for said in filter(None, (entry.why, formats.attributes(entry.attributes))):
        out.print(Padding(Text(printable(said)), (0, 0, 0, len(when) + 1)))
