"""``jobtelemetry doctor``: is everything as it should be, and if not, what is to be done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from jobtelemetry.cli.connecting import Target, redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option

_NEWEST = 500
_LEVEL_WIDTH, _CHECK_WIDTH = len("not checked"), len("permissions")
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "not checked": "dim"}
#: Those of ``diagnosis/roles.py``, which is loaded when it is needed.
_ROLES = ("worker", "producer", "exporter", "exporter-reading", "reader")
_NOT_GIVEN = {
    "exporter": "Give its address to check it: --exporter http://localhost:10427",
    "prometheus": "Give its address to check targets and rules: --prometheus http://localhost:9090",
}


@click.command(cls=Operator)
@click.option("--exporter", metavar="URL", help="Check this exporter too: does it answer, and from this Redis?")
@click.option("--prometheus", metavar="URL", help="Check this Prometheus too: does it scrape, are the rules loaded?")
@click.option(
    "--as",
    "role",
    type=click.Choice(_ROLES),
    help="Check only whether this Redis user may do what that role does, by trying every command that it sends.",
)
@json_option
@redis_option
@click.pass_context
def doctor(
    ctx: click.Context,
    redis_url: str | None,
    exporter: str | None,
    prometheus: str | None,
    role: str | None,
    as_json: bool,
) -> None:
    """Check everything that makes figures wrong or lost, and say what to do about each finding.

    Looked at are Redis (permissions, version, persistence, eviction), the room for series, the execution log and its
    memory, the RQ workers, the audit (does RQ count what is recorded?), jobtelemetry's own errors, the clocks, and,
    where given, the exporter and Prometheus with its rules.

    \b
    Exit code: 0 all is well, 1 there is a warning, 2 there is a problem (Redis that does not answer is one).

    \b
    Examples:
      jobtelemetry doctor
      jobtelemetry doctor --as worker --redis-url redis://worker:PASSWORD@localhost:6379/0
      jobtelemetry doctor --exporter http://localhost:10427 --prometheus http://localhost:9090
      jobtelemetry doctor --json | jq 'select(.level == "problem")'
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.diagnosis.findings import Finding, exit_code

    found: list[Finding] = []
    out = terminal.console()
    where = target(redis_url)
    for finding in _may(ctx, where, role) if role else examine(ctx, where, exporter, prometheus):
        found.append(finding)
        if as_json:
            terminal.show_json([finding.as_dict()])
        elif out.is_terminal:
            _print(out, finding)
        else:
            said = (finding.summary, finding.advice)
            click.echo("\t".join((str(finding.level), finding.check, *map(terminal.printable, said))))
    ctx.exit(exit_code(found))


def examine(ctx: click.Context, where: Target, exporter: str | None, prometheus: str | None) -> Iterator[Any]:
    """All findings, one after the other, so that a slow check does not keep back the others."""
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import RedisError
    from redis.exceptions import TimeoutError as RedisTimeoutError

    from jobtelemetry.cli.connecting import described
    from jobtelemetry.diagnosis.coverage import check_coverage
    from jobtelemetry.diagnosis.endpoints import check_exporter, check_prometheus
    from jobtelemetry.diagnosis.findings import Finding, Level
    from jobtelemetry.diagnosis.server import check_server
    from jobtelemetry.redis_url import scrub
    from jobtelemetry.store.read import read_snapshot

    recorded, now = None, time.time()
    try:
        yield from check_server(where.connection, where.keys, where.config)
        snapshot = read_snapshot(where.connection, where.keys)
        recorded, now = sum(counter.value for counter in snapshot.executions.values()), snapshot.taken_at
        yield from check_coverage(snapshot)
        yield _clocks(where, snapshot.clocks)
        yield from _newest(where)
    except (RedisConnectionError, RedisTimeoutError) as error:
        advice = "Start it, or correct --redis-url; nothing that is kept there could be checked."
        yield Finding("redis", Level.PROBLEM, f"{described(ctx)} does not answer: {scrub(str(error))}", advice)
    except RedisError as error:
        advice = "Allow this user to read RQ's and jobtelemetry's keys, or use the workers' own --redis-url."
        yield Finding("redis", Level.PROBLEM, f"{described(ctx)} refuses to be read: {scrub(str(error))}", advice)
    if exporter:
        yield from check_exporter(exporter, recorded, now)
    else:
        yield Finding("exporter", Level.NOT_CHECKED, "no address given", _NOT_GIVEN["exporter"])
    if prometheus:
        yield from check_prometheus(prometheus, now, _alerts())
    else:
        yield Finding("prometheus", Level.NOT_CHECKED, "no address given", _NOT_GIVEN["prometheus"])


def _may(ctx: click.Context, where: Target, role: str) -> Iterator[Any]:
    """Whether this Redis user may do what a role does."""
    from redis.exceptions import RedisError

    from jobtelemetry.cli.connecting import described
    from jobtelemetry.diagnosis.findings import Finding, Level
    from jobtelemetry.diagnosis.roles import ROLES, check_role
    from jobtelemetry.redis_url import scrub

    try:
        yield check_role(where.connection, where.keys, ROLES[role])
    except RedisError as error:
        advice = "Start it, or correct --redis-url and its user and password."
        yield Finding("redis", Level.PROBLEM, f"{described(ctx)} cannot be asked: {scrub(str(error))}", advice)


def _alerts() -> frozenset[str]:
    """The alerts that belong to this version."""
    from jobtelemetry.mixin.alerts import every
    from jobtelemetry.mixin.config import MixinConfig

    return frozenset(alert.name for alert in every(MixinConfig()))


def _clocks(where: Target, wrong: Any) -> Any:
    """Whether the clocks agree."""
    from jobtelemetry.diagnosis.coverage import check_clocks

    before = time.time()
    seconds, micros = where.connection.time()
    after = time.time()
    return check_clocks(seconds + micros / 1_000_000, before, after, wrong)


def _newest(where: Target) -> Iterator[Any]:
    """Whether all of the newest entries of the log can be read."""
    from jobtelemetry.diagnosis.findings import Finding, Level, many
    from jobtelemetry.questions.log import newest_first

    unreadable: list[str] = []
    for _ in islice(newest_first(where.connection, where.keys, unreadable=unreadable), _NEWEST):
        pass
    if unreadable:
        summary = (
            f"{many(len(unreadable), 'entry').replace('entrys', 'entries')} of the log passed over: {unreadable[0]}"
        )
        advice = "Another program writes into jobtelemetry's stream, or a version that is not this one."
        yield Finding("log", Level.WARNING, summary, advice)


def _print(out: Any, finding: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from jobtelemetry.cli.terminal import printable

    level = str(finding.level)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=_LEVEL_WIDTH)
    grid.add_column(width=_CHECK_WIDTH)
    grid.add_column(overflow="fold")
    grid.add_row(Text(level, _STYLES[level]), finding.check, Text(printable(finding.summary)))
    if finding.advice:
        grid.add_row("", "", Text(f"-> {printable(finding.advice)}", "dim" if level == "not checked" else ""))
    out.print(grid)
