"""Every selector, objective, threshold and window of the mixin, in one place.

A field is set on the command line as ``--set name=value``. Durations are written as Prometheus writes them (``5m``,
``1h30m``), and ratios as fractions unless the field says per cent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from jobtelemetry.contract import REDIS, WAIT_BUCKETS
from jobtelemetry.errors import ConfigError
from jobtelemetry.mixin.durations import normalised, seconds

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ATTRIBUTE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_MATCHER = re.compile(
    r"\s*(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<how>=~|!~|!=|=)\s*"
    r'"(?P<value>(?:[^"\\\n]|\\[abfnrtv\\"])*)"\s*(?:,\s*|$)',
    re.ASCII,
)
#: What stands in double quotes in PromQL without changing its meaning there.
_QUOTABLE = re.compile(r'(?:[^"\\\n]|\\[abfnrtv\\"])*')


@dataclass(frozen=True)
class BurnRate:
    """One burn-rate condition: the budget burns ``factor`` times too fast over both windows.

    Args:
        factor: How many times faster than the budget allows.
        long: The window that measures.
        short: The window that says whether it still goes on; the alert ends soon after the incident does.
        severity: ``page`` or ``ticket``, see :attr:`MixinConfig.severities`.
        hold: How long the condition must hold.
    """

    factor: float
    long: str
    short: str
    severity: str
    hold: str


def _burn_rates() -> tuple[BurnRate, ...]:
    # The pairs of Google's SRE workbook, chapter 5: 2 %, 5 %, 10 % and 10 % of a 30 day budget.
    return (
        BurnRate(14.4, "1h", "5m", "page", "2m"),
        BurnRate(6, "6h", "30m", "page", "15m"),
        BurnRate(3, "1d", "2h", "ticket", "1h"),
        BurnRate(1, "3d", "6h", "ticket", "3h"),
    )


@dataclass(frozen=True)
class MixinConfig:
    """What the bundle is made for. Every field has a default that the committed files are made with."""

    # --- Where the series are -------------------------------------------------------------------------------------
    #: Matchers that every expression carries: the scrape job of the exporter.
    selector: str = 'job="jobtelemetry"'
    #: Labels that tell installations apart (``cluster,job``; with ``redis``, where one exporter reads several Redis
    #: servers). They stay on every alert and recorded series, and dashboards have a variable for each that the selector
    #: leaves open. Whatever else the scrape adds (``instance``, ``pod``) tells replicas of an exporter apart: all of
    #: them show the same numbers, because these live in Redis, so the highest is taken and nothing is counted twice.
    installation_labels: tuple[str, ...] = ("job",)
    #: Labels that RQ workers add to those of every job family. Without one that they add, what differs only in it would
    #: be taken for what several exporters show of the same.
    extra_labels: tuple[str, ...] = ("source",)
    #: Worker labels that neither alerts nor dashboards look at, as a regular expression.
    ignored_workers: str = ""

    # --- Where people look ----------------------------------------------------------------------------------------
    #: Where your Grafana is (``https://grafana.example.org``): alerts get a ``dashboard_url`` that starts with it.
    #: Without it they only have ``dashboard``, the path below it.
    grafana_url: str = ""
    #: Where you publish the runbooks (``docs/runbooks``): alerts get a ``runbook_url``, which is this, the alert's name
    #: and ``.md``, and dashboards link to it. Without it they only have ``runbook``, the command that prints theirs.
    runbook_url: str = ""
    #: First words of every dashboard's title.
    title_prefix: str = "Jobs"
    #: What a dashboard shows when it is opened, and how often it looks again.
    dashboard_range: str = "6h"
    dashboard_refresh: str = "30s"
    #: Values of the label ``severity``: what wakes somebody, what waits for the morning, and the watchdog's.
    severity_page: str = "page"
    severity_ticket: str = "ticket"
    severity_none: str = "none"
    #: How often the recording rules and alerts are evaluated.
    interval: str = "30s"
    #: The same for those that look back for a day or more.
    slow_interval: str = "5m"

    # --- The log --------------------------------------------------------------------------------------------------
    #: Where the JSON records of RQ workers are in Loki: matchers of its stream labels, such as `app="rq-worker"`.
    #: Without them there is no dashboard of executions.
    loki_selector: str = ""
    #: The attribute (`set_attribute`) whose most frequent values that dashboard counts first; it can be changed there.
    loki_attribute: str = "film_id"

    # --- The objective --------------------------------------------------------------------------------------------
    #: Per cent of jobs, of those that ended as completed or discard, that shall complete.
    slo: float = 99.0
    #: The time over which the error budget is reckoned.
    slo_window: str = "30d"
    #: ``factor:long/short:severity:for``, separated by commas. A factor that could never fire, because factor x
    #: (1 - SLO) is 1 or more, is left out.
    burn_rates: tuple[BurnRate, ...] = field(default_factory=_burn_rates)
    #: Jobs (completed or discard) that a worker must have ended in the long window before its ratio means anything.
    burn_min_jobs: int = 20

    # --- Single failures ------------------------------------------------------------------------------------------
    #: A worker with fewer jobs than ``burn_min_jobs`` in this window is a low-traffic one: its discards are counted.
    low_traffic_window: str = "1h"
    #: Discards of a low-traffic worker in that window that are worth a ticket.
    low_traffic_discards: int = 1
    #: How far back killed horses and abandoned executions are counted, and how many are worth a ticket.
    deaths_window: str = "15m"
    deaths: int = 1
    #: The part of what a job can take at most, before its control group is full, that is close to it, and for how long
    #: after its last execution a worker is told of.
    memory_ratio: float = 0.9
    memory_window: str = "1h"
    #: Executions ended by a rate limit within the window, and their part of all, that make a storm.
    rate_limit_window: str = "15m"
    rate_limit_count: int = 20
    rate_limit_ratio: float = 0.2
    #: A retry storm: of the executions in this window, this part fails and is tried again ...
    retry_window: str = "1h"
    retry_ratio: float = 0.4
    #: ... of at least so many, and more of them by this part than at the same hours before.
    retry_min_executions: int = 50
    retry_rise: float = 0.2
    retry_hold: str = "10m"

    # --- Cancellations --------------------------------------------------------------------------------------------
    #: The match ratio of this window ...
    match_window: str = "2h"
    #: ... is compared with the same hours so long ago; where both are known, it must have fallen against both.
    match_baselines: tuple[str, ...] = ("1d", "7d")
    #: By how much it must have fallen (0.2: from 58 % to below 38 %).
    match_drop: float = 0.2
    #: Executions (completed or cancelled) that both windows need.
    match_min_executions: int = 50
    #: How long the fall must last.
    match_hold: str = "15m"
    #: A cancel reason is new for so long ...
    new_reason_window: str = "1h"
    #: ... in a worker that had ended this many executions before.
    new_reason_min_executions: int = 20

    # --- What is slower, or more, than it used to be ----------------------------------------------------------------
    #: With which times before the present hours are compared, where there is nothing to say otherwise.
    baselines: tuple[str, ...] = ("1d", "7d")
    #: Run times of this window regressed if their mean is so many times that of a week before (or of the first of these
    #: that is known), or their p95 so many times ...
    regression_window: str = "2h"
    regression_baselines: tuple[str, ...] = ("7d", "1d")
    regression_mean_factor: float = 1.4
    regression_p95_factor: float = 1.8
    #: ... with so many executions in both, and a p95 of so many seconds now.
    regression_min_executions: int = 50
    regression_min_seconds: float = 0.1
    regression_hold: str = "30m"
    #: A worker is flooded if jobs of it are enqueued so many times faster, over this window, than they ever were in the
    #: past, and at least so many.
    flood_window: str = "10m"
    flood_factor: float = 10.0
    flood_min_jobs: int = 1000
    flood_past_window: str = "7d"
    flood_offset: str = "1h"

    # --- When jobs start ------------------------------------------------------------------------------------------
    #: A job shall start within this time (one of the buckets of ``jobtelemetry_job_wait_seconds``) ...
    latency_target: str = "1m"
    #: ... and this per cent of a queue's jobs shall.
    latency_slo: float = 95.0
    #: As ``burn_rates``; nobody is woken because a job starts late.
    latency_burn_rates: tuple[BurnRate, ...] = (
        BurnRate(6, "1h", "5m", "ticket", "5m"),
        BurnRate(2, "6h", "30m", "ticket", "15m"),
    )
    latency_min_jobs: int = 50

    # --- Queues ---------------------------------------------------------------------------------------------------
    #: A queue on which jobs wait, and nothing ends for so long, although there are RQ workers, is stalled.
    stalled_window: str = "10m"
    #: Age of the job at the head of a queue, and how long it must be older.
    oldest_job_age: str = "15m"
    oldest_job_hold: str = "5m"
    #: A queue drains too slowly if so many jobs more wait than this window ago, and at the rate at which they were
    #: taken in it, it takes so long to serve those that wait. Not where as many waited at the same hours before.
    drain_window: str = "30m"
    drain_min_jobs: int = 100
    drain_max_age: str = "1h"
    drain_hold: str = "10m"
    #: How long deferred jobs may wait for what will never happen.
    blocked_hold: str = "15m"
    #: RQ workers crash in a loop if in each part of this window some were born; five parts.
    births_window: str = "25m"
    #: An RQ worker that has been waiting for so long beside a job that has waited for as long does not take any ...
    idle_age: str = "2m"
    #: ... if that lasts, while others work. RQ forgets one that is stuck eight minutes after its last heartbeat.
    idle_hold: str = "3m"
    #: For how long a rate limit of RQ's may hold a job back, and how long it must be longer.
    held_age: str = "15m"
    held_hold: str = "5m"
    #: How long jobs may wait on a queue that no RQ worker listens on.
    no_workers_hold: str = "3m"
    #: How long scheduled jobs may be overdue, or have no scheduler.
    overdue_hold: str = "5m"
    scheduler_hold: str = "5m"

    # --- Executions that take too long, or do not happen -----------------------------------------------------------
    #: An execution runs too long beyond this many times the p99 of its worker over the window ...
    running_p99_factor: float = 3.0
    running_p99_window: str = "1d"
    #: ... but never below this age ...
    running_min_age: str = "10m"
    #: ... and always beyond this one: set it to the longest ``job_timeout`` that is in use.
    running_max_age: str = "4h"
    #: A worker that completed at least this often in the window is missed when it has not completed for
    #: ``periodic_factor`` times its longest pause in that window. The window ends ``periodic_offset`` ago, so that the
    #: pause in question is not part of it; workers that run more rarely than the offset are not watched, and neither
    #: are those that first completed within the window: a batch that ran once has no habit.
    periodic_window: str = "7d"
    periodic_offset: str = "1d"
    periodic_factor: float = 2.0
    periodic_min_completions: int = 3
    periodic_min_age: str = "15m"
    #: After so long nobody is told any more: a worker that was deleted from the code is missed once.
    periodic_mourning_window: str = "6h"

    # --- The telemetry itself -------------------------------------------------------------------------------------
    #: How long a blind spot, a missing exporter and an unreachable Redis may last.
    audit_hold: str = "5m"
    exporter_hold: str = "3m"
    #: An installation that was there within this time and is no longer scraped is missed.
    exporter_memory: str = "1d"
    redis_hold: str = "2m"
    #: For how long it is told that counts were lost.
    lost_memory: str = "1d"
    #: Seconds by which a clock may be wrong, and for how long.
    skew_seconds: float = 30.0
    skew_hold: str = "10m"
    #: How far back errors in hooks and dropped series are counted.
    health_window: str = "15m"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def open_labels(self) -> tuple[str, ...]:
        """The installation labels of which the selector does not say the one value; dashboards let choose."""
        pinned = {found["label"] for found in _matchers(self.selector) if found["how"] == "="}
        return tuple(label for label in self.installation_labels if label not in pinned)

    @property
    def scrape_labels(self) -> tuple[str, ...]:
        """The installation labels that the scrape adds, so that ``up`` has them, too."""
        return tuple(label for label in self.installation_labels if label != REDIS)

    @property
    def scrape_selector(self) -> str:
        """The matchers that ``up`` has labels for."""
        return ", ".join(found[0].strip(", ") for found in _matchers(self.selector) if found["label"] != REDIS)

    @property
    def objective(self) -> float:
        """The objective as a fraction."""
        return self.slo / 100

    @property
    def reachable_burn_rates(self) -> tuple[BurnRate, ...]:
        """Those of :attr:`burn_rates` that a ratio of 1 exceeds."""
        return tuple(rate for rate in self.burn_rates if rate.factor * (1 - self.objective) < 1)

    @property
    def burn_windows(self) -> tuple[str, ...]:
        """Every window of a reachable burn rate once, the shortest first."""
        windows = {window for rate in self.reachable_burn_rates for window in (rate.long, rate.short)}
        return tuple(sorted(windows, key=seconds))

    @property
    def latency_windows(self) -> tuple[str, ...]:
        """Every window of the latency objective's burn rates once, the shortest first."""
        windows = {window for rate in self.latency_burn_rates for window in (rate.long, rate.short)}
        return tuple(sorted(windows, key=seconds))

    def severity(self, kind: str) -> str:
        """The value of the label ``severity`` for ``page``, ``ticket`` or ``none``."""
        return {"page": self.severity_page, "ticket": self.severity_ticket, "none": self.severity_none}[kind]

    def with_settings(self, settings: Iterable[str]) -> MixinConfig:
        """This config with ``name=value`` settings applied.

        Args:
            settings: As they are given to ``--set``.

        Raises:
            ConfigError: There is no such setting, or it has no usable value; the message names it.
        """
        known = {one.name for one in fields(self)}
        changes: dict[str, Any] = {}
        for setting in settings:
            name, separator, text = setting.partition("=")
            if not separator or name not in known:
                raise ConfigError(
                    f"unknown setting {setting!r}; expected NAME=VALUE with one of {', '.join(sorted(known))}"
                )
            changes[name] = _parsed(name, text, getattr(self, name))
        return replace(self, **changes)


def _parsed(name: str, text: str, default: object) -> object:
    kinds: dict[type, Callable[[str], object]] = {str: str, int: int, float: float}
    try:
        if name.endswith("burn_rates"):
            return tuple(_burn_rate(part) for part in text.split(",") if part)
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return kinds[type(default)](text)
    except ValueError as error:
        raise ConfigError(f"{name} has no usable value: expected {type(default).__name__}, got {text!r}") from error


def _burn_rate(text: str) -> BurnRate:
    factor, windows, severity, hold = text.split(":")
    long, short = windows.split("/")
    return BurnRate(float(factor), long, short, severity, hold)


_DURATIONS = re.compile(r"(_window|_hold|_age|_offset|_range|_refresh|_memory|_target|interval)$")


def _check(config: MixinConfig) -> None:
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, str) and _DURATIONS.search(one.name):
            object.__setattr__(config, one.name, normalised(value, what=one.name))
    _check_offsets_and_rates(config)
    for name in ("slo", "latency_slo"):
        if not 0 < getattr(config, name) < 100:
            raise ConfigError(f"{name} must be per cent, above 0 and below 100, got {getattr(config, name):g}")
    if seconds(config.latency_target) not in WAIT_BUCKETS:
        bounds = ", ".join(f"{bound:g}" for bound in WAIT_BUCKETS if bound >= 1)
        raise ConfigError(
            f"latency_target must be one of the buckets of waits ({bounds} seconds), got {config.latency_target}"
        )
    for name in ("grafana_url", "runbook_url"):
        object.__setattr__(config, name, _address(name, getattr(config, name)))
    object.__setattr__(config, "selector", _selector(config.selector))
    _check_log(config)
    _check_pattern("ignored_workers", config.ignored_workers)
    if not config.installation_labels or not all(map(_LABEL.fullmatch, config.installation_labels)):
        raise ConfigError("installation_labels must be one or more label names, separated by commas")
    if not all(map(_LABEL.fullmatch, config.extra_labels)):
        raise ConfigError("extra_labels must be label names, separated by commas")


def _address(name: str, url: str) -> str:
    if url and not re.match(r"https?://[^/\s]", url):
        raise ConfigError(f"{name} must be an address that begins with http:// or https://, or empty, got {url!r}")
    return url.rstrip("/")


def _check_log(config: MixinConfig) -> None:
    if config.loki_selector:
        object.__setattr__(config, "loki_selector", _selector(config.loki_selector, called="loki_selector"))
    if not _ATTRIBUTE.fullmatch(config.loki_attribute):
        raise ConfigError(
            f"loki_attribute must be letters, digits and '_', as an attribute is called, got {config.loki_attribute!r}"
        )


def _check_offsets_and_rates(config: MixinConfig) -> None:
    for name in ("match_baselines", "baselines", "regression_baselines"):
        for offset in getattr(config, name):
            normalised(offset, what=name)
    for name in ("burn_rates", "latency_burn_rates"):
        for rate in getattr(config, name):
            for duration in (rate.long, rate.short, rate.hold):
                normalised(duration, what=name)
            if rate.severity not in ("page", "ticket"):
                raise ConfigError(f"the severity in {name} must be page or ticket, got {rate.severity!r}")


def _selector(text: str, *, called: str = "selector") -> str:
    """The matchers without a comma at the end: more of them follow in every expression."""
    matchers, position = [], 0
    while position < len(text):
        found = _MATCHER.match(text, position)
        if found is None or found["label"] == "__name__":
            break
        if found["how"] in ("=~", "!~"):
            _check_pattern(called, found["value"])
        matchers.append(f'{found["label"]}{found["how"]}"{found["value"]}"')
        position = found.end()
    if not matchers or position < len(text):
        raise ConfigError(f'{called} must be matchers such as job="jobs", without __name__, got {text!r}')
    return ", ".join(matchers)


def _matchers(selector: str) -> Iterator[re.Match[str]]:
    return _MATCHER.finditer(selector)


def _check_pattern(name: str, text: str) -> None:
    try:
        re.compile(text.replace("\\\\", "\\"))
    except re.error as error:
        raise ConfigError(f"{name} has no usable value: expected a regular expression, got {text!r}: {error}") from None
    if not _QUOTABLE.fullmatch(text):
        expected = "a text as it stands between double quotes in PromQL, with two backslashes for one"
        raise ConfigError(f"{name} has no usable value: expected {expected}, got {text!r}")


def shown(value: object) -> str:
    """A setting's value as ``--set`` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    if isinstance(value, BurnRate):
        return f"{value.factor:g}:{value.long}/{value.short}:{value.severity}:{value.hold}"
    return f"{value:g}" if isinstance(value, float) else str(value)
