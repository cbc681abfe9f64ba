"""RQ's own commands with all of RQ's own options, instrumented, and with some of ours."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click
from click.core import ParameterSource

from jobtelemetry import otel, redis_url
from jobtelemetry.cli import metrics_process
from jobtelemetry.cli.metrics_process import CONNECTION_OPTIONS
from jobtelemetry.config import Config, parse_listen
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.beside import serving_beside
from jobtelemetry.logformat import chosen, keep_settings, log_to_stderr
from jobtelemetry.settings import otherwise
from jobtelemetry.sinks import sentry

#: Before RQ's own variable and its settings file; ``--url`` is before all of them.
_URL_VARIABLE = "JOBTELEMETRY_REDIS_URL"
_VERSION_VARIABLE = "JOBTELEMETRY_APP_VERSION"


def instrumented(rq_command: str, *, name: str, help: str, runs_jobs: bool = True) -> click.Command:
    """RQ's command as a command of ours.

    Args:
        rq_command: The command's name in RQ's CLI.
        name: The name here.
        help: The text of ``--help``.
        runs_jobs: Whether it has ``--metrics``, ``--app-version`` and ``--preload``.
    """
    import rq.cli.workers  # noqa: F401 - registers the commands
    from rq.cli.cli import main as rq_main

    original = rq_main.commands.get(rq_command)
    if original is None:
        raise click.UsageError(f"the installed RQ has no command {rq_command!r}; upgrade it: pip install -U rq")
    ours = [
        click.Option(
            ["--log-json"], is_flag=True, help="Write the log, RQ's own included, as one line of JSON per record."
        )
    ]
    if runs_jobs:
        metrics = click.Option(
            ["--metrics"],
            metavar="[HOST:]PORT|unix:/PATH",
            help="Serve /metrics from here as well; port 0 takes a free one. Without it, run 'jobtelemetry exporter'.",
        )
        version = click.Option(
            ["--app-version"],
            metavar="VERSION",
            help="Which version of your application runs; a new one is marked as a deploy. "
            f"{otherwise(Config, 'app_version').replace(', or .', '; or none.')}",
        )
        preload = click.Option(
            ["--preload"],
            multiple=True,
            metavar="MODULE",
            help="Import this module before work-horses are forked, so that not each of them imports it anew. Give the "
            "dotted name, app.jobs; more than once for several.",
        )
        ours[:0] = [metrics, version, preload]
    return click.Command(
        name,
        params=[*original.params, *ours],
        callback=_instrumenting(original, runs_jobs=runs_jobs),
        help=help,
        short_help=original.short_help,
    )


def _instrumenting(original: click.Command, *, runs_jobs: bool) -> Callable[..., Any]:
    def run(
        log_json: bool,
        metrics: str | None = None,
        app_version: str | None = None,
        preload: Sequence[str] = (),
        **options: Any,
    ) -> Any:
        from jobtelemetry.rq.entry import instrument

        context = click.get_current_context()
        address = None
        try:
            if metrics is not None:
                address = parse_listen(metrics, option="--metrics")
            _set_up_log(context, options, log_json)
            _choose_redis(context, options)
            if app_version:  # the pool's workers and spawned work-horses read it as well
                os.environ[_VERSION_VARIABLE] = app_version
            config = Config.from_env()
            sentry.start_from_environment()
            otel.configure(exit_timeout=config.flush_timeout)
            instrument(config)
            if url := _url(options):
                redis_url.check(url)  # redis-py's own error would have a piece of the password in it
            _import_before_the_fork(preload, options.get("path"))
            if runs_jobs:
                _share_with_work_horses()
        except ConfigError as error:
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


def _set_up_log(context: click.Context, options: dict[str, Any], log_json: bool) -> None:
    """RQ's options about its log hold for our records too, and so does ``DICT_CONFIG`` of its settings file."""
    level = _level(options)
    if options.get("config") and _from_settings(options, log_json):
        if level is not None:
            logging.getLogger("jobtelemetry").setLevel(level)
        return
    log_format, date_format = (
        options.get(name) if _given(context, name) else None for name in ("log_format", "date_format")
    )
    if log_json:  # RQ gives its cron scheduler a level only together with a handler of its own
        logging.getLogger("rq.cron").setLevel(level or logging.INFO)
    try:
        log_to_stderr("json" if log_json else "text", level or logging.INFO, log_format, date_format)
    except ValueError as error:
        raise ConfigError(f"--log-format must be a format of Python's logging, got {log_format!r}: {error}") from error


def _from_settings(options: dict[str, Any], log_json: bool) -> bool:
    from rq.cli.helpers import CliConfig

    CliConfig(path=options.get("path"))  # makes what --path names importable
    try:
        return keep_settings(options["config"], as_json=log_json)
    except ImportError as error:
        raise ConfigError(
            f"--config must be a Python module with RQ's settings, got {options['config']!r}: {error}"
        ) from error


def _level(options: dict[str, Any]) -> int | None:
    """The level that RQ's options ask for, as RQ reads them; ``None`` where they say nothing."""
    if options.get("verbose"):
        return logging.DEBUG
    if options.get("quiet"):
        return logging.WARNING
    said = options.get("logging_level")
    if said is None:
        return None
    level = logging.getLevelName(said.upper())
    if not isinstance(level, int):
        known = "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        raise ConfigError(f"the logging level must be {known}, got {said!r}")
    return level


def _import_before_the_fork(modules: Sequence[str], path: Any) -> None:
    """Import what jobs need, once; after everything is set up, as a work-horse would."""
    from rq.cli.helpers import CliConfig

    if modules:
        CliConfig(path=path)  # makes what --path names importable
    for name in modules:
        try:
            import_module(name)
        except (Exception, SystemExit) as error:  # a module may do anything when it is imported
            problem = f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"--preload must be the dotted name of a module that can be imported, app.jobs; {name!r} cannot: "
                f"{problem}. Modules are looked for in Python's path and in --path, the working directory by default"
            ) from error


def _share_with_work_horses() -> None:
    """Keep garbage collections in work-horses off what is there now: each would copy its pages (see ``gc.freeze``)."""
    gc.collect()
    gc.freeze()


def _choose_redis(context: click.Context, options: dict[str, Any]) -> None:
    """``--url``, then our variable, then RQ's own ways in RQ's own order."""
    if context.get_parameter_source("url") is not ParameterSource.COMMANDLINE and os.environ.get(_URL_VARIABLE):
        options["url"] = Config.from_env().redis_url


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def _url(options: dict[str, Any]) -> Any:
    """The URL that RQ makes its connection of, where it is one."""
    from rq.cli.helpers import read_config_file

    if options.get("url"):
        return options["url"]
    if not options.get("config"):
        return Config.from_env().redis_url
    settings: dict[str, Any] = read_config_file(options["config"])  # type: ignore[no-untyped-call]
    return settings.get("REDIS_URL")
