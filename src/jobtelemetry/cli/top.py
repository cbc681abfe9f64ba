"""``jobtelemetry top``: what comes most often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import filters, json_option, since_option

if TYPE_CHECKING:
    from jobtelemetry.questions.top import Group, Ranking


@click.command(cls=Operator)
@click.option(
    "--by",
    required=True,
    metavar="KEY[,KEY]",
    help="Any attribute, or reason, error_type, message, worker, queue, state, source, attempt, rq_worker, job, "
    "execution, trace, wait, run (in the buckets of the metrics), hour (UTC).",
)
@click.option(
    "--sum",
    "summed",
    type=click.Choice(["cpu", "run", "wait"]),
    help="Add this up, and rank by it instead of by how many there are.",
)
@filters()
@since_option("Recorded no longer ago than this: 90s, 30m, 2h, 1d12h, 1w.")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=20, show_default=True, help="At most; 0 for all.")
@json_option
@redis_option
def top(
    redis_url: str | None, by: str, summed: str | None, since: float | None, limit: int, as_json: bool, **words: Any
) -> None:
    """Group executions of the execution log: how many, which share, first and last seen, and an example job.

    With --sum the share is that of the sum: which worker takes the processor time, at which hour.

    \b
    Examples:
      jobtelemetry top --by film_id --worker ShowtimeProcessJob --state cancelled
      jobtelemetry top --by film_id,title --state cancelled --since 24h
      jobtelemetry top --by error_type,message --state failure,discard
      jobtelemetry top --by worker --sum cpu --since 1d
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.choosing import misspelt, selection
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.progress import with_progress
    from jobtelemetry.cli.scope import nothing_found, scope
    from jobtelemetry.questions.log import extent, newest_first
    from jobtelemetry.questions.top import rank

    keys = [key for key in (part.strip() for part in by.split(",")) if key]
    if not keys:
        raise click.BadParameter("name an attribute, or reason, error_type, queue ...", param_hint="'--by'")
    where = target(redis_url)
    wanted = selection(where, **words)
    reach = extent(where.connection, where.keys, where.config.log_size)
    begin = None if since is None else reach.now - since
    entries = with_progress(newest_first(where.connection, where.keys, begin), reach.length, "Reading the log")
    ranking = rank(wanted.of(entries), keys, summed or "")
    _check_keys(keys, ranking.attributes, any_entry=bool(ranking.total))
    groups = ranking.groups[: limit or None]
    out, columns = terminal.console(), _columns(keys, ranking, summed)
    if as_json:
        terminal.show_json(_as_dict(keys, group, ranking, summed) for group in groups)
    elif not out.is_terminal:
        terminal.show_lines(columns, groups)
    elif groups:
        terminal.show_table(out, columns, groups)
    if not as_json:
        if not ranking.total:
            terminal.note(nothing_found(reach, begin, where.config.log_size) + misspelt(where, wanted))
            return
        left = len(ranking.groups) - len(groups)
        more = f" {left:,} more with --limit 0." if left else ""
        without = f" {ranking.without:,} have no {' or '.join(keys)}." if ranking.without else ""
        unknown = f" Of {ranking.unknown:,} the {summed} is not known." if ranking.unknown else ""
        terminal.note(scope(reach, begin, ranking.total) + more + without + unknown)


def _check_keys(keys: list[str], attributes: frozenset[str], *, any_entry: bool) -> None:
    from jobtelemetry.questions.names import UnknownNameError, near
    from jobtelemetry.questions.top import FACTS

    unknown = [key for key in keys if key not in FACTS and key not in attributes]
    if not unknown or not any_entry:
        return
    close = near(unknown[0], {*FACTS, *attributes})
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    there = f" Attributes: {', '.join(sorted(attributes))}." if attributes else " None of them has any attribute."
    raise UnknownNameError(f"none of these executions has {unknown[0]!r}{hint}{there}")


def _share(group: Group, ranking: Ranking, summed: str | None) -> float | None:
    """Of the sum where there is one, else of the number of executions."""
    part, whole = (group.amount, ranking.amount) if summed else (group.count, ranking.total)
    return part / whole if whole else None


def _columns(keys: list[str], ranking: Ranking, summed: str | None) -> list[Any]:
    from jobtelemetry.cli import formats, terminal

    def value(index: int, key: str) -> terminal.Column[Group]:
        return terminal.Column(
            key, lambda group: group.values[index] or terminal.NOTHING, lambda group: group.values[index],
            wide=20 if key in ("message", "title") else 0,
        )  # fmt: skip

    return [
        *(value(index, key) for index, key in enumerate(keys)),
        terminal.Column("count", lambda group: f"{group.count:,}", lambda group: str(group.count), right=True),
        *(
            (
                terminal.Column(
                    f"{summed} sum",
                    lambda group: formats.seconds(group.amount),
                    lambda group: formats.plain_seconds(group.amount),
                    right=True,
                ),
                terminal.Column(
                    f"{summed} most",
                    lambda group: formats.seconds(group.most),
                    lambda group: formats.plain_seconds(group.most),
                    right=True,
                ),
            )
            if summed
            else ()
        ),
        terminal.Column(
            "share",
            lambda group: formats.percent(_share(group, ranking, summed)),
            lambda group: formats.plain_ratio(_share(group, ranking, summed)),
            right=True,
        ),
        terminal.Column(
            "first seen", lambda g: terminal.moment(g.first), lambda g: formats.plain_moment(g.first), spare=1
        ),
        terminal.Column(
            "last seen", lambda g: terminal.moment(g.last), lambda g: formats.plain_moment(g.last), spare=2
        ),
        terminal.Column("example job", lambda group: group.example, spare=3),
    ]


def _as_dict(keys: list[str], group: Group, ranking: Ranking, summed: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {key: value or None for key, value in zip(keys, group.values, strict=True)}
    amounts = {"sum": group.amount, "most": group.most} if summed else {}
    return values | {
        "count": group.count,
        **amounts,
        "share": _share(group, ranking, summed),
        "first_seen": group.first,
        "last_seen": group.last,
        "example_job": group.example,
    }
