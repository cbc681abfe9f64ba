"""The settings, each in one row; the only module that reads them from the environment.

The variables of OpenTelemetry and of Sentry are read where their SDKs are set up, but for the version of the
application, which both know.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from jobtelemetry import settings
from jobtelemetry.errors import ConfigError
from jobtelemetry.options import REPORTS
from jobtelemetry.settings import Choices, Flag, Names, Number, OneOf, RefusedError, Text, TextOfEach, Whole, setting
from jobtelemetry.text import label_text

DEFAULT_PORT = 10427

#: Which histograms of run times a worker on a queue can have.
DURATION_STATES = ("each", "completed", "together")
log = logging.getLogger("jobtelemetry")


_DETAIL = "(?:full|coarse|off)"
_BUCKETS = rf"(?:{_DETAIL}|[0-9.]+(?:/[0-9.]+)*)"


_PREFIX = (r"[A-Za-z0-9_.:{}-]+", "letters, digits, '_', '.', ':', '-', '{' and '}'")


class _KeyPrefix(Text):
    """RQ's own variable, which RQ honours from 3.0 on; an empty one is an error there as well."""

    reads_empty = True

    def read(self, text: str) -> str:
        return "rq" if text == "rq" or _rq_major() < 3 else super().read(text)


class _Listen:
    """What a variable has for host and port together; each of the two takes its part."""

    written = "[HOST:]PORT with a port from 0 to 65535, or unix:/path"

    @staticmethod
    def parts(text: str) -> tuple[str, int]:
        if text.startswith("unix:/"):
            return text, 0
        host, _, port = text.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
            raise RefusedError(repr(text))
        return host.strip("[]") or Config.listen_host, int(port)


class _Host(_Listen, Text):
    def read(self, text: str) -> str:
        return self.parts(text)[0]


class _Port(_Listen, Whole):
    def read(self, text: str) -> int:
        return self.parts(text)[1]


class _Version(Text):
    """Whatever the variable of another program has, it stops no RQ worker: it is made fit for a label."""

    def take(self, value: object) -> str:
        return label_text(super().take(value).strip()) if value != "" else ""


class _RoutePrefix(Text):
    """``/telemetry/`` is ``/telemetry``, and ``/`` is nothing."""

    def take(self, value: object) -> str:
        return super().take(value).rstrip("/")


@dataclass(frozen=True)
class Config:
    """Everything that can be set, in the environment or in code."""

    # A setting is added here and nowhere else; docs/settings.md, the docstring and the checks are made from the rows.

    # No form is asked for: which URLs redis-py takes is redis-py's to say, and a worker never looks at this one.
    redis_url: str = setting(
        "redis://localhost:6379/0",
        Text(form="a URL such as redis://localhost:6379/0"),
        *("JOBTELEMETRY_REDIS_URL", "RQ_REDIS_URL", "REDIS_URL"),
        help="Where RQ's Redis is, for exporter and commands: redis://, rediss:// or unix://.",
    )
    redis_servers_file: str = setting(
        "",
        Text(r"[^\x00]*", "a path"),
        "JOBTELEMETRY_REDIS_SERVERS_FILE",
        help="File with a line NAME=URL for each of several Redis servers that one exporter reads, instead of the one; "
        "none by default.",
    )
    listen_host: str = setting(
        "0.0.0.0",  # noqa: S104 - an exporter is there to be scraped
        _Host(form="an address"),
        "JOBTELEMETRY_LISTEN",
        help="Address that the exporter binds, or unix:/path for a socket.",
    )
    listen_port: int = setting(
        DEFAULT_PORT,
        _Port(0, 65535, called="a port"),
        "JOBTELEMETRY_LISTEN",
        help="Port that the exporter binds; 0 takes a free one.",
    )
    web_config_file: str = setting(
        "",
        Text(r"[^\x00]*", "a path"),
        "JOBTELEMETRY_WEB_CONFIG_FILE",
        help="File with TLS and passwords for the exporter, in the format of Prometheus' exporter-toolkit; none by "
        "default.",
    )
    route_prefix: str = setting(
        "",
        _RoutePrefix(r"|/|(/[A-Za-z0-9._~-]+)+/?", "a path such as /telemetry"),
        "JOBTELEMETRY_ROUTE_PREFIX",
        help="What stands before every path that the exporter serves, behind a proxy that does not take it away.",
    )
    key_prefix: str = setting(
        "rq",
        _KeyPrefix(*_PREFIX),
        "RQ_KEY_PREFIX",
        help="RQ's key prefix; RQ honours the variable from 3.0 on, and so does this.",
    )
    key_prefixes: tuple[tuple[str, str], ...] = setting(
        (),
        TextOfEach("server", "prefix", Text(*_PREFIX)),
        "JOBTELEMETRY_KEY_PREFIXES",
        help="RQ's key prefix at each of these Redis servers, where one exporter reads several by name and it is not "
        "the same at all of them, such as `eu=shop,us={jobs}`.",
    )
    max_label_sets: int = setting(
        1000,
        Whole(least=1),
        "JOBTELEMETRY_MAX_LABEL_SETS",
        help="Label sets that one family may have; what goes beyond is counted under `__other__`.",
    )
    max_own_metrics: int = setting(
        100,
        Whole(least=0),
        "JOBTELEMETRY_MAX_OWN_METRICS",
        help="Metrics of your own (`jobtelemetry.Counter`, ...) that are kept; each may have as many series as a "
        "family may have label sets.",
    )
    max_queues: int = setting(
        1000,
        Whole(least=1),
        "JOBTELEMETRY_MAX_QUEUES",
        help="Queues that the exporter shows by name, the largest by the jobs that RQ keeps; the others are summed "
        "into `__other__`.",
    )
    histogram_detail: str = setting(
        "full",
        Text(
            rf"{_DETAIL}|(duration|wait)={_BUCKETS}(,(?!\1)(duration|wait)={_BUCKETS})?",
            "full, coarse or off, or for each of duration and wait one of these or the bounds to keep, such as "
            "duration=0.1/1/10/60,wait=off",
        ),
        "JOBTELEMETRY_HISTOGRAM_DETAIL",
        help="Buckets that the exporter shows of run times and waits: all, every third, or only `+Inf` with count and "
        "sum; or of each what is chosen, such as `duration=0.1/1/10/60,wait=off`.",
    )
    duration_states: str = setting(
        "each",
        OneOf(DURATION_STATES),
        "JOBTELEMETRY_DURATION_STATES",
        help="Of which endings the exporter shows run times: `each` state has a histogram, only `completed` has one, "
        "or all have one `together`, which then has no label `state`.",
    )
    extra_labels: tuple[str, ...] = setting(
        (),
        Names(
            most=8,
            taken=(
                *("worker", "queue", "state", "reason", "error_type", "redis"),
                *("le", "quantile", "job", "instance"),
            ),
        ),
        "JOBTELEMETRY_EXTRA_LABELS",
        help="Further labels, such as `source,tenant`; their values are taken from job.meta.",
    )
    log_size: int = setting(
        10_000,
        Whole(least=0),
        "JOBTELEMETRY_LOG_SIZE",
        help="Entries that the execution log keeps; 0 switches it off.",
    )
    retire_after: float = setting(
        90.0,
        Number(least=0, unit="days"),
        "JOBTELEMETRY_RETIRE_AFTER",
        help="After how long without a change a label set is folded into `__retired__`; 0 for never.",
    )
    reconcile_interval: float = setting(
        5.0,
        Number(least=0, unit="seconds"),
        "JOBTELEMETRY_RECONCILE_INTERVAL",
        help="Time between two runs of the exporter's reconciler; 0 switches it off.",
    )
    sentry_after_attempts: int = setting(
        3,
        Whole(least=1),
        "JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS",
        help="From which attempt on Sentry hears of a failure that RQ will retry.",
    )
    sentry_reports: tuple[tuple[str, str], ...] = setting(
        (),
        Choices("worker", "report", REPORTS),
        "JOBTELEMETRY_SENTRY_REPORTS",
        help="When Sentry hears of the failures of these workers (labels) instead.",
    )
    resources: bool = setting(
        True,
        Flag(),
        "JOBTELEMETRY_RESOURCES",
        help="Whether RQ workers measure the processor time and the peak of memory of each execution.",
    )
    memory_limit: int = setting(
        0,
        Whole(least=0),
        "JOBTELEMETRY_MEMORY_LIMIT",
        help="Bytes that an RQ worker and its job may take together, where no control group (version 2) says it; 0 "
        "where none does.",
    )
    trace_relation: str = setting(
        "parent",
        OneOf(("parent", "link")),
        "JOBTELEMETRY_TRACE_RELATION",
        help="parent makes an execution's span a child of the span that enqueued the job; link starts a trace of its "
        "own that links to it.",
    )
    trace_arguments: bool = setting(
        False,
        Flag(),
        "JOBTELEMETRY_TRACE_ARGUMENTS",
        help="Whether spans carry the job's call with its arguments.",
    )
    trace_url: str = setting(
        "",
        Text(
            r"(https?://\S*\{trace_id\}\S*)?",
            form="an http:// or https:// address with {trace_id} where the id belongs",
        ),
        "JOBTELEMETRY_TRACE_URL",
        help="Where traces are shown: with it the page links each failed execution to its trace.",
    )
    app_version: str = setting(
        "",
        _Version(),
        *("JOBTELEMETRY_APP_VERSION", "OTEL_SERVICE_VERSION", "SENTRY_RELEASE"),
        help="Which version of the application an RQ worker runs; one that is new is marked as a deploy. None by "
        "default.",
    )
    flush_timeout: float = setting(
        2.0,
        Number(least=0, unit="seconds"),
        "JOBTELEMETRY_FLUSH_TIMEOUT",
        help="How long a work-horse which made spans or told Sentry, or a worker that ends, waits for what is still "
        "being sent; 0 does not wait.",
    )

    strict_reasons: bool = setting(
        False,
        Flag(),
        "JOBTELEMETRY_STRICT_REASONS",
        help="Whether a Cancel or Discard without a usable reason raises, for tests; as jobtelemetry.strict_reasons().",
    )

    def __post_init__(self) -> None:
        for name, value in settings.check(self):
            object.__setattr__(self, name, value)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the settings from environment variables.

        Args:
            environ: The variables; the process's own by default.

        Raises:
            ConfigError: A variable has no usable value; the message names it.
        """
        if environ is None:
            _say_what_is_misspelt()
        return cls(**settings.read(cls, os.environ if environ is None else environ))

    def of_redis(self, name: str) -> Config:
        """The settings for one of several Redis servers: with its own key prefix, where it has one.

        Args:
            name: The server's name; empty for the only one.
        """
        prefix = dict(self.key_prefixes).get(name, self.key_prefix)
        return self if prefix == self.key_prefix else replace(self, key_prefix=prefix)

    def with_overrides(self, **given: object) -> Config:
        """The same settings with those that are not ``None`` replaced.

        Raises:
            ConfigError: There is no such setting, or it cannot be that.
        """
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(given) - known):
            raise ConfigError(f"unknown setting {', '.join(unknown)}; expected one of {', '.join(sorted(known))}")
        return replace(self, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


Config.__doc__ = settings.documented(Config)


_said: set[str] = set()


def _say_what_is_misspelt() -> None:
    """One line per process for each variable of its environment that nobody reads and that looks like a setting."""
    for name, meant in settings.misspelt(Config, os.environ).items():
        if name not in _said:
            _said.add(name)
            log.warning("%s is no setting; did you mean %s?", name, meant)


def strict_reasons_asked_for(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for strict reasons, for who never calls ``instrument()``: a test of a job."""
    env = os.environ if environ is None else environ
    try:
        return Flag().read(env.get("JOBTELEMETRY_STRICT_REASONS", ""))
    except RefusedError:
        return False  # instrument() says so


def parse_listen(text: str, *, option: str) -> tuple[str, int]:
    """Split ``[HOST:]PORT`` (``[::1]:10427`` for IPv6) into host and port; ``unix:/path`` stays and gets port 0.

    Args:
        text: What the user gave.
        option: The option or variable it came from, for the message.

    Raises:
        ConfigError: It is not of that form, or the port is not between 0 and 65535.
    """
    try:
        return _Listen.parts(text)
    except RefusedError as error:
        raise ConfigError(f"{option} must be {_Listen.written}, got {error}") from None


def _rq_major() -> int:
    """RQ's major version, without importing RQ."""
    from importlib import metadata

    return int(metadata.version("rq").split(".")[0])
