"""The settings, read once. The only module that reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from jobtelemetry.errors import ConfigError
from jobtelemetry.options import REPORTS

DEFAULT_PORT = 10427
_REDIS_URL_VARIABLES = ("JOBTELEMETRY_REDIS_URL", "RQ_REDIS_URL", "REDIS_URL")
_PREFIX = re.compile(r"[A-Za-z0-9_.:{}-]+")
_TRACE_URL = re.compile(r"https?://[^\s]*\{trace_id\}[^\s]*")
_RELATIONS = ("parent", "link")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True)
class Config:
    """Everything that can be set.

    Args:
        redis_url: Where RQ's Redis is. ``JOBTELEMETRY_REDIS_URL``, else ``RQ_REDIS_URL``, else ``REDIS_URL``.
        listen_host: Address that the exporter binds. ``JOBTELEMETRY_LISTEN=HOST:PORT``.
        listen_port: Port that the exporter binds; 0 takes a free one.
        key_prefix: RQ's key prefix, ``RQ_KEY_PREFIX``; RQ honours it from 3.0 on, and so does this.
        max_label_sets: Label sets that one family may have. ``JOBTELEMETRY_MAX_LABEL_SETS``.
        source_label: Whether ``job.meta["source"]`` becomes a label. ``JOBTELEMETRY_SOURCE_LABEL``.
        log_size: Entries that the execution log keeps; 0 switches it off. ``JOBTELEMETRY_LOG_SIZE``.
        reconcile_interval: Seconds between two runs of the exporter's reconciler; 0 switches it off.
            ``JOBTELEMETRY_RECONCILE_INTERVAL``.
        sentry_after_attempts: From which attempt on Sentry hears of a failure that RQ will retry.
            ``JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS``.
        sentry_reports: Pairs of worker label and ``never``, ``discard`` or ``always``: when Sentry hears of that
            job's failures instead. ``JOBTELEMETRY_SENTRY_REPORTS=shop.jobs.mail=never,shop.jobs.pay=always``.
        trace_relation: ``parent`` makes an execution's span a child of the span that enqueued the job; ``link``
            starts a trace of its own that links to it. ``JOBTELEMETRY_TRACE_RELATION``.
        trace_arguments: Whether spans carry the job's call with its arguments. ``JOBTELEMETRY_TRACE_ARGUMENTS``.
        trace_url: Where the page shows a trace, an ``http(s)://`` address with ``{trace_id}`` in it; empty for nowhere.
            ``JOBTELEMETRY_TRACE_URL``.
        flush_timeout: Seconds that a work-horse which made spans, or a worker that ends, waits for the exporter at
            most. ``JOBTELEMETRY_FLUSH_TIMEOUT``.
    """

    redis_url: str = "redis://localhost:6379/0"
    listen_host: str = "0.0.0.0"  # noqa: S104 - an exporter is there to be scraped
    listen_port: int = DEFAULT_PORT
    key_prefix: str = "rq"
    max_label_sets: int = 1000
    source_label: bool = False
    log_size: int = 10_000
    reconcile_interval: float = 5.0
    sentry_after_attempts: int = 3
    sentry_reports: tuple[tuple[str, str], ...] = ()

    trace_relation: str = "parent"
    trace_arguments: bool = False
    trace_url: str = ""
    flush_timeout: float = 2.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the settings from environment variables.

        Args:
            environ: The variables; the process's own by default.

        Raises:
            ConfigError: A variable has no usable value; the message names it.
        """
        env = os.environ if environ is None else environ
        config = cls(key_prefix=_key_prefix(env))
        for variable in _REDIS_URL_VARIABLES:
            if env.get(variable):
                config = replace(config, redis_url=env[variable])
                break
        if listen := env.get("JOBTELEMETRY_LISTEN"):
            host, port = parse_listen(listen, option="JOBTELEMETRY_LISTEN")
            config = replace(config, listen_host=host, listen_port=port)
        if text := env.get("JOBTELEMETRY_MAX_LABEL_SETS"):
            most = int(_number("JOBTELEMETRY_MAX_LABEL_SETS", text, whole=True, least=1))
            config = replace(config, max_label_sets=most)
        if text := env.get("JOBTELEMETRY_LOG_SIZE"):
            config = replace(config, log_size=int(_number("JOBTELEMETRY_LOG_SIZE", text, whole=True, least=0)))
        if text := env.get("JOBTELEMETRY_RECONCILE_INTERVAL"):
            config = replace(config, reconcile_interval=_number("JOBTELEMETRY_RECONCILE_INTERVAL", text, least=0))
        if text := env.get("JOBTELEMETRY_SOURCE_LABEL"):
            config = replace(config, source_label=_flag("JOBTELEMETRY_SOURCE_LABEL", text))
        return _with_tracing(_with_sentry(config, env), env)

    def with_overrides(self, **settings: object) -> Config:
        """The same settings with those that are not ``None`` replaced.

        Raises:
            ConfigError: There is no such setting.
        """
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(settings) - known):
            raise ConfigError(f"unknown setting {', '.join(unknown)}; expected one of {', '.join(sorted(known))}")
        return replace(self, **{name: value for name, value in settings.items() if value is not None})  # type: ignore[arg-type]


def parse_listen(text: str, *, option: str) -> tuple[str, int]:
    """Split ``[HOST:]PORT`` (``[::1]:10427`` for IPv6) into host and port.

    Args:
        text: What the user gave.
        option: The option or variable it came from, for the message.

    Raises:
        ConfigError: It is not of that form, or the port is not between 0 and 65535.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise ConfigError(f"{option} must be [HOST:]PORT with a port from 0 to 65535, got {text!r}")
    return host.strip("[]") or Config.listen_host, int(port)


def _key_prefix(env: Mapping[str, str]) -> str:
    prefix = env.get("RQ_KEY_PREFIX", "rq")
    if prefix == "rq" or _rq_major() < 3:
        return "rq"
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"RQ_KEY_PREFIX may only contain letters, digits, '_', '.', ':', '-', '{{' and '}}', got {prefix!r}"
        )
    return prefix


def _number(variable: str, text: str, *, least: float, whole: bool = False) -> float:
    try:
        value = float(int(text)) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"{variable} must be {kind} of at least {least:g}, got {text!r}")
    return value


def _with_tracing(config: Config, env: Mapping[str, str]) -> Config:
    if text := env.get("JOBTELEMETRY_TRACE_RELATION"):
        if text not in _RELATIONS:
            raise ConfigError(f"JOBTELEMETRY_TRACE_RELATION must be {' or '.join(_RELATIONS)}, got {text!r}")
        config = replace(config, trace_relation=text)
    if text := env.get("JOBTELEMETRY_TRACE_ARGUMENTS"):
        config = replace(config, trace_arguments=_flag("JOBTELEMETRY_TRACE_ARGUMENTS", text))
    if text := env.get("JOBTELEMETRY_TRACE_URL"):
        if not _TRACE_URL.fullmatch(text):
            raise ConfigError(
                "JOBTELEMETRY_TRACE_URL must be an http:// or https:// address with {trace_id} where the id belongs, "
                f"got {text!r}"
            )
        config = replace(config, trace_url=text)
    if text := env.get("JOBTELEMETRY_FLUSH_TIMEOUT"):
        config = replace(config, flush_timeout=_number("JOBTELEMETRY_FLUSH_TIMEOUT", text, least=0))
    return config


def _with_sentry(config: Config, env: Mapping[str, str]) -> Config:
    if text := env.get("JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS"):
        attempts = int(_number("JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS", text, whole=True, least=1))
        config = replace(config, sentry_after_attempts=attempts)
    if text := env.get("JOBTELEMETRY_SENTRY_REPORTS"):
        config = replace(config, sentry_reports=_reports("JOBTELEMETRY_SENTRY_REPORTS", text))
    return config


def _reports(variable: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        worker, _, report = (word.strip() for word in part.rpartition("="))
        if not worker or report not in REPORTS:
            raise ConfigError(
                f"{variable} must be worker=report pairs with commas between them, each report one of "
                f"{', '.join(REPORTS)}, got {part!r}"
            )
        pairs.append((worker, report))
    return tuple(pairs)


def _flag(variable: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigError(f"{variable} must be 1 or 0, got {text!r}")
    return word in _TRUE


def _rq_major() -> int:
    """RQ's major version, without importing RQ."""
    from importlib import metadata

    return int(metadata.version("rq").split(".")[0])
