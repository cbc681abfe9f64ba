"""``jobtelemetry tail``: executions as they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import filters, json_option
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.text import terminal_text

if TYPE_CHECKING:
    from jobtelemetry.cli.connecting import Target

#: Seconds after which Redis is asked anew; also what a closed pipe may go unnoticed.
_BLOCK = 1.0


@click.command(cls=Operator)
@filters()
@click.option(
    "--lines", "-n", type=click.IntRange(min=0), default=10, show_default=True, help="Past ones to begin with."
)
@json_option
@redis_option
def tail(redis_url: str | None, lines: int, as_json: bool, **words: Any) -> None:
    """Show executions as they end, until Ctrl-C. A Redis that goes away is waited for.

    \b
    Examples:
      jobtelemetry tail
      jobtelemetry tail --state failure,discard --lines 0
      jobtelemetry tail --worker ShowtimeProcessJob --json
    """  # noqa: D301 - click wants the character, not the backslash
    import sys

    from jobtelemetry.cli.choosing import selection
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.questions.log import newest_first

    where = target(redis_url)
    wanted = selection(where, **words)
    write = _writer(as_json)
    newest = next(newest_first(where.connection, where.keys), None)
    past = islice(wanted.of(newest_first(where.connection, where.keys)), lines)
    for entry in reversed([entry for entry in past if newest and _order(entry) <= _order(newest)]):
        write(entry)
    for arrived in _arriving(where, newest.entry_id if newest else "0-0"):
        if arrived is not None and arrived in wanted:
            write(arrived)
        else:
            sys.stdout.flush()


def _arriving(where: Target, after: str) -> Iterator[LogEntry | None]:
    """Entries as they come; through an outage it says once that it waits, and goes on where it was."""
    from redis.exceptions import AuthenticationError
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError

    from jobtelemetry.questions.log import follow

    away = False
    while True:
        try:
            for arrived in follow(where.connection, where.keys, after, _BLOCK):
                if away:
                    click.echo("Redis answers again.", err=True)
                    away = False
                after = arrived.entry_id if arrived is not None else after
                yield arrived
        except AuthenticationError:
            raise
        except (RedisConnectionError, RedisTimeoutError) as error:
            if not away:
                said = terminal_text(" ".join(str(error).split()))
                click.echo(f"Redis does not answer, waiting for it: {said}", err=True)
                away = True
            time.sleep(_BLOCK)


def _writer(as_json: bool) -> Callable[[LogEntry], None]:
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.entry_lines import COLUMNS, show_one

    out = terminal.console()

    def write(entry: LogEntry) -> None:
        if as_json:
            terminal.show_json([entry.as_dict()])
        elif out.is_terminal:
            show_one(out, entry)
        else:
            click.echo("\t".join(terminal.printable(column.in_full(entry)) for column in COLUMNS))

    if not as_json and not out.is_terminal:
        click.echo("\t".join(column.title for column in COLUMNS))
    return write


def _order(entry: LogEntry) -> tuple[int, int]:
    """The place in the stream."""
    milliseconds, _, number = entry.entry_id.partition("-")
    return int(milliseconds), int(number)
