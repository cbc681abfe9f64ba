"""``jobtelemetry failures``: what is broken."""

from __future__ import annotations

from typing import Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import filters, json_option, since_option


@click.command(cls=Operator)
@filters("worker", "queue", "error_type", "source", "attributes", "rq_worker", "message")
@since_option("Recorded no longer ago than this: 90s, 30m, 2h, 1d12h, 1w.")
@click.option(
    "--sort",
    type=click.Choice(["newest", "count"]),
    default="newest",
    show_default=True,
    help="What failed last comes first, or what failed most often.",
)
@click.option("--limit", "-n", type=click.IntRange(min=0), default=20, show_default=True, help="At most; 0 for all.")
@json_option
@redis_option
def failures(redis_url: str | None, since: float | None, sort: str, limit: int, as_json: bool, **words: Any) -> None:
    """Say what is broken: failed executions grouped by worker, error type and message.

    Messages that differ in numbers and ids alone are one group, shown with # for these. Of each group: how many failed,
    how many of them for good (discard: the job is lost), first and last seen, and the newest job as an example, for
    'jobtelemetry show'.

    \b
    Examples:
      jobtelemetry failures
      jobtelemetry failures --since 1h --sort count
      jobtelemetry failures --worker ShowtimeProcessJob --json | jq .example.job
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.choosing import misspelt, selection
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.progress import with_progress
    from jobtelemetry.cli.scope import nothing_found, scope
    from jobtelemetry.outcomes import State
    from jobtelemetry.questions.failures import group_failures
    from jobtelemetry.questions.log import extent, newest_first

    where = target(redis_url)
    wanted = selection(where, state=frozenset(state for state in State if state.failed), **words)
    reach = extent(where.connection, where.keys, where.config.log_size)
    begin = None if since is None else reach.now - since
    entries = with_progress(newest_first(where.connection, where.keys, begin), reach.length, "Reading the log")
    groups = group_failures(wanted.of(entries))
    if sort == "count":
        groups = tuple(sorted(groups, key=lambda group: (-group.count, -group.last)))
    shown = groups[: limit or None]
    out = terminal.console()
    if as_json:
        terminal.show_json(group.as_dict() for group in shown)
    elif not out.is_terminal:
        terminal.show_lines(_columns(), shown)
    elif shown:
        terminal.show_table(out, _columns(), shown)
    if as_json:
        return
    if not groups:
        terminal.note(f"No failure. {nothing_found(reach, begin, where.config.log_size)}{misspelt(where, wanted)}")
        return
    left = f" {len(groups) - len(shown):,} more with --limit 0." if len(groups) > len(shown) else ""
    terminal.note(scope(reach, begin, sum(group.count for group in groups)) + left)


def _columns() -> list[Any]:
    from jobtelemetry.cli import formats
    from jobtelemetry.cli.terminal import NOTHING, STYLES, Column, moment
    from jobtelemetry.outcomes import State
    from jobtelemetry.questions.failures import FailureGroup

    columns: list[Column[FailureGroup]] = [
        Column("worker", lambda group: formats.short(group.worker), lambda group: group.worker, wide=10),
        Column("error", lambda group: group.error_type or NOTHING, lambda group: group.error_type, wide=10),
        Column("message", lambda group: group.message or NOTHING, lambda group: group.message, wide=20),
        Column(
            "failed",
            lambda group: f"{group.count:,}",
            lambda group: str(group.count),
            right=True,
            style=lambda group: STYLES[State.FAILURE],
        ),
        Column(
            "for good",
            lambda group: f"{group.discards:,}",
            lambda group: str(group.discards),
            right=True,
            style=lambda group: STYLES[State.DISCARD] if group.discards else "dim",
        ),
        Column("first seen", lambda g: moment(g.first), lambda g: formats.plain_moment(g.first), spare=1),
        Column("last seen", lambda g: moment(g.last), lambda g: formats.plain_moment(g.last), spare=2),
        Column("example job", lambda group: group.example.job if group.example else NOTHING, spare=3),
    ]
    return columns
