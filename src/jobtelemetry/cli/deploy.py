"""``jobtelemetry deploy``: when which version of the application began to run."""

from __future__ import annotations

import click

from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.cli.operator import Operator
from jobtelemetry.cli.parameters import json_option
from jobtelemetry.store.snapshot import Deploy


@click.group()
def deploy() -> None:
    """Mark deploys, so that page and dashboards show them and 'compare --deploy' compares before and after.

    An RQ worker that is told its application's version (--app-version, JOBTELEMETRY_APP_VERSION, OTEL_SERVICE_VERSION
    or SENTRY_RELEASE) marks a change of it by itself.
    """


@deploy.command(cls=Operator)
@click.argument("version")
@click.option("--by", metavar="WHO", default="", help="Who or what deploys; shown by 'deploy list'.")
@click.option("--again", is_flag=True, help="Mark it also if the newest mark is of this version.")
@redis_option
def mark(redis_url: str | None, version: str, by: str, again: bool) -> None:
    """Mark a deploy: VERSION runs from now on. The last step of a deployment, or what it is rolled back with.

    The newest 100 marks are kept. It writes to Redis: a user of the role worker, producer or exporter may.

    \b
    Examples:
      jobtelemetry deploy mark v1.2.3
      jobtelemetry deploy mark "$GIT_COMMIT" --by "$CI_JOB_URL"
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.store import deploys
    from jobtelemetry.text import terminal_text

    version = version.strip()
    if not version:
        raise click.BadParameter("the version is empty; give what tells it from others: v1.2.3", param_hint="VERSION")
    where = target(redis_url)
    shown = terminal_text(version)
    if deploys.mark(where.connection, where.keys, version, by=by, again=again):
        click.echo(f"Marked: {shown} runs from now on.")
    else:
        click.echo(f"{shown} is the newest mark already; --again marks it once more.")


@deploy.command(name="list", cls=Operator)
@json_option
@redis_option
def list_deploys(redis_url: str | None, as_json: bool) -> None:
    """List the marks, newest first."""
    from jobtelemetry.cli import terminal
    from jobtelemetry.cli.connecting import target
    from jobtelemetry.cli.formats import plain_moment
    from jobtelemetry.cli.terminal import NOTHING, Column
    from jobtelemetry.store.deploys import read

    where = target(redis_url)
    found = list(reversed(read(where.connection, where.keys)))
    if as_json:
        terminal.show_json({"version": one.version, "at": one.at, "by": one.by or None} for one in found)
        return
    seconds, _ = where.connection.time()
    columns: list[Column[Deploy]] = [
        Column("version", lambda one: one.version, wide=12),
        Column("since", lambda one: terminal.moment(one.at, seconds), lambda one: plain_moment(one.at)),
        Column("by", lambda one: one.by or NOTHING, lambda one: one.by, wide=12),
    ]
    out = terminal.console()
    if not out.is_terminal:
        terminal.show_lines(columns, found)
    elif found:
        terminal.show_table(out, columns, found)
    if not found:
        terminal.note("No deploy is marked: see 'jobtelemetry deploy mark --help'.")
