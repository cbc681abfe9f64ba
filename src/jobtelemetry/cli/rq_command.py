"""RQ's own commands with all of RQ's own options, instrumented, with ``--metrics`` and ``--log-json``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from jobtelemetry import otel, redis_url
from jobtelemetry.cli import metrics_process
from jobtelemetry.cli.metrics_process import CONNECTION_OPTIONS
from jobtelemetry.config import Config, parse_listen
from jobtelemetry.errors import ConfigError, MissingExtraError
from jobtelemetry.exporter.beside import serving_beside
from jobtelemetry.logformat import chosen, log_to_stderr
from jobtelemetry.sinks import sentry


def instrumented(rq_command: str, *, name: str, help: str) -> click.Command:
    """RQ's command as a command of ours.

    Args:
        rq_command: The command's name in RQ's CLI.
        name: The name here.
        help: The text of ``--help``.
    """
    import rq.cli.workers  # noqa: F401 - registers the commands
    from rq.cli.cli import main as rq_main

    original = rq_main.commands[rq_command]
    metrics = click.Option(
        ["--metrics"],
        metavar="[HOST:]PORT|unix:/PATH",
        help="Serve /metrics from here as well; port 0 takes a free one. Without it, run 'jobtelemetry exporter'.",
    )
    log_json = click.Option(
        ["--log-json"], is_flag=True, help="Write the log, RQ's own included, as one line of JSON per record."
    )
    return click.Command(
        name,
        params=[*original.params, metrics, log_json],
        callback=_instrumenting(original),
        help=help,
        short_help=original.short_help,
    )


def _instrumenting(original: click.Command) -> Callable[..., Any]:
    def run(metrics: str | None, log_json: bool, **options: Any) -> Any:
        from jobtelemetry.rq import instrument

        context = click.get_current_context()
        address = None
        try:
            if metrics is not None:
                address = parse_listen(metrics, option="--metrics")
            log_to_stderr("json" if log_json else "text", logging.WARNING if options.get("quiet") else logging.INFO)
            sentry.start_from_environment()
            otel.configure(exit_timeout=Config.from_env().flush_timeout)
            instrument()
            if url := _url(options):
                redis_url.check(url)  # redis-py's own error would have a piece of the password in it
        except (ConfigError, MissingExtraError) as error:
            raise click.UsageError(str(error)) from error
        if address is None:
            return context.invoke(original, **options)
        request = {"options": {name: options.get(name) for name in CONNECTION_OPTIONS}, "log": chosen()}
        try:
            with serving_beside([sys.executable, "-m", metrics_process.__name__], request, *address):
                return context.invoke(original, **options)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error

    return run


def _url(options: dict[str, Any]) -> Any:
    """The URL that RQ makes its connection of, where it is one."""
    from rq.cli.helpers import read_config_file

    if options.get("url"):
        return options["url"]
    if not options.get("config"):
        return Config.from_env().redis_url
    settings: dict[str, Any] = read_config_file(options["config"])  # type: ignore[no-untyped-call]
    return settings.get("REDIS_URL")
