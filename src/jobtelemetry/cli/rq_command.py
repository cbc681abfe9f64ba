"""RQ's own commands with all of RQ's own options, instrumented, and with ``--metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from jobtelemetry.config import parse_listen
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.beside import serving_beside


def instrumented(rq_command: str, *, name: str, help: str) -> click.Command:  # noqa: A002 - click's word
    """RQ's command as a command of ours.

    Args:
        rq_command: The command's name in RQ's CLI.
        name: The name here.
        help: The text of ``--help``.
    """
    from rq.cli import main as rq_main

    original = rq_main.commands[rq_command]
    metrics = click.Option(
        ["--metrics"],
        metavar="[HOST:]PORT",
        help="Serve /metrics from here as well; port 0 takes a free one. Without it, run 'jobtelemetry exporter'.",
    )
    return click.Command(
        name,
        params=[*original.params, metrics],
        callback=_instrumenting(original),
        help=help,
        short_help=original.short_help,
    )


def _instrumenting(original: click.Command) -> Callable[..., Any]:
    def run(metrics: str | None, **options: Any) -> Any:
        from jobtelemetry.rq import instrument

        context = click.get_current_context()
        address = None
        try:
            if metrics is not None:
                address = parse_listen(metrics, option="--metrics")
            instrument()
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        if address is None:
            return context.invoke(original, **options)
        with serving_beside(lambda: _connection(options), *address) as url:
            click.echo(f"Serving metrics on {url}/metrics", err=True)
            return context.invoke(original, **options)

    return run


def _connection(options: dict[str, Any]) -> Any:
    """The connection that RQ makes of its options."""
    from rq.cli.helpers import CliConfig

    return CliConfig(**options).connection
