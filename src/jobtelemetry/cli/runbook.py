"""``jobtelemetry runbook``."""

from __future__ import annotations

import difflib

import click

from jobtelemetry.runbooks import names, text


@click.command()
@click.argument("name", required=False)
def runbook(name: str | None) -> None:
    """Print the runbook of an alert, or list all of them.

    A runbook says what its alert means, how bad it is, what to ask and what to do. It comes with the package, so it
    can be read where the alert is, without a network.

    \b
    Examples:
      jobtelemetry runbook
      jobtelemetry runbook QueueStalled
    """  # noqa: D301 - click wants the character, not the backslash
    if name is None:
        for one in names():
            click.echo(one)
        return
    found = {one.lower(): one for one in names()}.get(name.lower())
    if found is None:
        close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise click.BadParameter(f"there is no runbook {name!r}{hint} 'jobtelemetry runbook' lists them")
    click.echo(text(found), nl=False)
