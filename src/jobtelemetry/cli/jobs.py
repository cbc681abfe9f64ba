"""``jobtelemetry jobs``: executions, newest first."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import filters, json_option, since_option


@click.command(cls=Operator)
@filters()
@since_option("Recorded no longer ago than this: 90s, 30m, 2h, 1d12h, 1w.")
@click.option(
    "--sort",
    type=click.Choice(["newest", "cpu", "memory", "run", "wait"]),
    default="newest",
    show_default=True,
    help="What comes first: the newest, or what took most.",
)
@click.option("--limit", "-n", type=click.IntRange(min=0), default=20, show_default=True, help="At most; 0 for all.")
@json_option
@redis_option
def jobs(redis_url: str | None, since: float | None, sort: str, limit: int, as_json: bool, **words: Any) -> None:
    """List executions from the execution log, newest first: how each ended, why, how long it waited and ran.

    With --sort those that took most processor time, memory, run time or wait come first, of all that are in the log.

    A job that was retried has an execution per attempt. On a terminal this is a table, in a pipe it is tab-separated
    lines with a head and nothing cut.

    \b
    Examples:
      jobtelemetry jobs --worker ShowtimeProcessJob --limit 20
      jobtelemetry jobs --state failure,discard --since 2h
      jobtelemetry jobs --sort memory --since 1d
      jobtelemetry jobs --attribute film_id=4124 --json | jq .reason
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import entry_lines, terminal
    from jobtelemetry.cli.choosing import misspelt, selection
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.progress import with_progress
    from jobtelemetry.cli.scope import incomplete, nothing_found
    from jobtelemetry.questions.log import extent, newest_first
    from jobtelemetry.questions.top import largest_first

    where = target(redis_url)
    wanted = selection(where, **words)
    reach = extent(where.connection, where.keys, where.config.log_size)
    begin = None if since is None else reach.now - since
    entries = with_progress(newest_first(where.connection, where.keys, begin), reach.length, "Reading the log")
    asked_for = wanted.of(entries)
    enough = limit + 1 if limit else None  # one more, to know whether there is
    found = list(islice(asked_for, enough)) if sort == "newest" else largest_first(asked_for, sort, enough)
    more = bool(limit) and len(found) > limit
    found = found[: limit or None]
    out = terminal.console()
    if as_json:
        terminal.show_json(entry.as_dict() for entry in found)
    elif not out.is_terminal:
        terminal.show_lines(entry_lines.COLUMNS, found)
    else:
        entry_lines.show(out, found)
    if not found:
        terminal.note(nothing_found(reach, begin, where.config.log_size) + misspelt(where, wanted))
    elif not as_json and (said := " ".join(filter(None, ("More with --limit 0." * more, incomplete(reach, begin))))):
        terminal.note(said)
