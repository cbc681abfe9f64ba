"""``jobtelemetry compare``: did a ratio change?"""

from __future__ import annotations

from typing import Any

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import Duration, filters, json_option

#: Seconds of the newer stretch, where nothing says otherwise.
_AFTER = 3600.0


@click.command(cls=Operator)
@click.option(
    "--after",
    type=Duration(),
    default=None,
    show_default="1h",
    metavar="DURATION",
    help="The newer stretch: up to now.",
)
@click.option(
    "--before",
    type=Duration(),
    default="24h",
    show_default=True,
    metavar="DURATION",
    help="The older stretch: up to where the newer one begins.",
)
@click.option(
    "--deploy",
    "version",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[VERSION]",
    help="Divide at a marked deploy, the newest or the last of VERSION: the newer stretch is as long as it ran, "
    "--after at most where that is given.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(50, 99.99),
    default=95,
    show_default=True,
    metavar="PERCENT",
    help="Of the interval.",
)
@filters("worker", "queue", "source", "attributes")
@json_option
@redis_option
def compare(
    redis_url: str | None,
    before: float,
    after: float | None,
    version: str | None,
    confidence: float,
    as_json: bool,
    **words: Any,
) -> None:
    """Compare the success and the match ratio of two stretches of time, with an interval for the difference.

    The interval is Newcombe's for two independent proportions, made of Wilson's for each (Statistics in Medicine 17,
    1998, method 10). A change is reported only where the interval leaves 0 out. It comes from the execution log: where
    that does not reach back so far, the older stretch is shorter, and a line says so.

    \b
    Examples:
      jobtelemetry compare --before 24h --after 1h
      jobtelemetry compare --before 7d --after 1d --worker ShowtimeProcessJob
      jobtelemetry compare --deploy
      jobtelemetry compare --deploy v1.2.3 --before 6h
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.choosing import selection
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.progress import with_progress
    from jobtelemetry.cli.scope import nothing_found, scope
    from jobtelemetry.questions import compare as comparing
    from jobtelemetry.questions.log import extent, newest_first
    from jobtelemetry.store.deploys import read

    where = target(redis_url)
    wanted = selection(where, **words)
    reach = extent(where.connection, where.keys, where.config.log_size)
    if version is None:
        stretches = comparing.up_to_now(reach.now, before, _AFTER if after is None else after)
    else:
        stretches = comparing.around_deploy(read(where.connection, where.keys), version, before, after)
    begin, split = stretches.begin, stretches.split
    entries = with_progress(newest_first(where.connection, where.keys, begin), reach.length, "Reading the log")
    chosen = [entry for entry in wanted.of(entries) if entry.recorded_at < stretches.end]
    found = comparing.compare(chosen, split, confidence / 100)
    out = terminal.console()
    if as_json:
        terminal.show_json(_as_dict(one, confidence) for one in found)
        return
    if not out.is_terminal:
        terminal.show_lines(_columns(confidence), found)
    elif found:
        terminal.show_table(out, _columns(confidence), found)
    terminal.note(
        f"{scope(reach, begin, len(chosen))} {_divided(stretches, reach.now)}"
        if chosen
        else nothing_found(reach, begin, where.config.log_size)
    )


def _divided(stretches: Any, now: float) -> str:
    from jobtelemetry.cli import terminal
    from jobtelemetry.text import terminal_text

    at = terminal.moment(stretches.split, now, zone=True)
    if stretches.deploy is None:
        return f"Before and after are divided at {at}."
    until = f", up to {terminal.moment(stretches.end, now, zone=True)}" if stretches.end < now else ""
    said = f"Before and after are divided at the deploy of {terminal_text(stretches.deploy.version)}, {at}{until}."
    others = ", ".join(terminal_text(one.version) for one in stretches.earlier)
    return f"{said} Before has other deploys in it: {others}." if others else said


def _columns(confidence: float) -> list[Any]:
    from jobtelemetry.cli import formats
    from jobtelemetry.cli.terminal import NOTHING, Column
    from jobtelemetry.questions.compare import Comparison
    from jobtelemetry.questions.proportions import Proportion

    def proportion(one: Proportion) -> str:
        return f"{formats.percent(one.ratio)} of {one.n:,}" if one.n else NOTHING

    def points(one: Comparison) -> str:
        return f"{one.difference.value * 100:+.1f}" if one.difference else NOTHING

    def interval(one: Comparison) -> str:
        found = one.difference
        return f"{found.low * 100:+.1f} to {found.high * 100:+.1f}" if found else NOTHING

    return [
        Column("worker", lambda one: formats.short(one.worker), lambda one: one.worker, wide=12),
        Column("ratio", lambda one: one.ratio),
        Column("before", lambda one: proportion(one.before), right=True),
        Column("after", lambda one: proportion(one.after), right=True),
        Column("points", points, right=True, spare=1),
        Column(f"{confidence:g} % interval", interval, right=True),
        Column("verdict", lambda one: one.verdict, style=lambda one: "bold" * (one.verdict in ("higher", "lower"))),
    ]


def _as_dict(one: Any, confidence: float) -> dict[str, Any]:
    found = one.difference
    return {
        "worker": one.worker,
        "ratio": one.ratio,
        "before": {"hits": one.before.hits, "n": one.before.n, "ratio": one.before.ratio},
        "after": {"hits": one.after.hits, "n": one.after.n, "ratio": one.after.ratio},
        "difference": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "confidence": confidence / 100,
        "verdict": one.verdict,
    }
