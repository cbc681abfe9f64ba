"""The doctor on what stands beside Redis: the exporter, and Prometheus with its rules."""

from __future__ import annotations

import base64
import http.client
import json
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from jobtelemetry._version import __version__
from jobtelemetry.contract import BUILD_INFO, JOB_EXECUTIONS, OWN_UNSERVED, RECONCILER_UP, REDIS, UP
from jobtelemetry.diagnosis.findings import Finding, Level, many
from jobtelemetry.redis_url import scrub, shown

_TIME_LIMIT = 5.0
_MOST_BYTES = 64_000_000
#: Seconds: what Prometheus last scraped may be this old; its default interval is a minute.
_MOST_AGE = 180.0
_MOST_SKEW = 2.0
#: Fires always; a problem is rather where it does not.
WATCHDOG = "JobTelemetryWatchdog"
_HELP = "docs/cli.md#doctor"


class _Unreachable(Exception):
    """Why a URL did not answer as expected, in a few words."""


def check_exporter(url: str, recorded: int | None, now: float) -> Iterator[Finding]:
    """Whether an exporter answers, reads Redis, and reads this Redis.

    Args:
        url: Its address, with or without ``/metrics``.
        recorded: Executions that Redis holds, read just before; ``None`` if unknown.
        now: Redis' clock, Unix time.
    """
    try:
        whole = url if urlsplit(url).path.rstrip("/") else f"{url.rstrip('/')}/metrics"
    except ValueError:
        whole = url
    address = shown(whole)
    try:
        body, date = _get(whole)
    except _Unreachable as error:
        advice = "Start it (jobtelemetry exporter), or correct --exporter."
        yield Finding("exporter", Level.PROBLEM, f"{address} does not answer: {error}", advice)
        return
    values = _values(body)
    if UP.name not in values:
        advice = "Give the address of 'jobtelemetry exporter' or of a worker with --metrics."
        yield Finding("exporter", Level.PROBLEM, f"{address} is not an exporter of jobtelemetry", advice)
        return
    if not values[UP.name]:
        advice = "Look at its log and its --redis-url: it runs and cannot read Redis."
        yield Finding("exporter", Level.PROBLEM, f"{address} answers, but cannot read its Redis", advice)
        return
    if away := _away(body):
        advice = "Look at its log: the others are served, and of these nothing is known."
        yield Finding("exporter", Level.PROBLEM, f"{address} cannot read the Redis {', '.join(away)}", advice)
    exported = round(values.get(JOB_EXECUTIONS.name, 0.0))
    if recorded is not None and exported < recorded:
        advice = "It reads another Redis or another key prefix: compare its --redis-url and RQ_KEY_PREFIX with these."
        summary = f"{address} shows {exported:,} executions where Redis holds {recorded:,}"
        yield Finding("exporter", Level.PROBLEM, summary, advice)
        return
    yield from _lacking(address, values)
    yield Finding("exporter", Level.OK, f"{address} is up and fresh: {many(exported, 'execution')}")
    if (theirs := _version(body)) and theirs != __version__:
        advice = "Run the same version everywhere: pip install -U jobtelemetry."
        summary = f"the exporter is jobtelemetry {theirs}, this command {__version__}"
        yield Finding("exporter", Level.WARNING, summary, advice)
    if date is not None and abs(date - now) > _MOST_SKEW + 1:  # the header has whole seconds
        advice = "Keep the clocks by NTP (chrony, systemd-timesyncd)."
        summary = f"the exporter's clock and Redis' differ by {date - now:+.0f} s"
        yield Finding("clocks", Level.WARNING, summary, advice)


def _lacking(address: str, values: Mapping[str, float]) -> Iterator[Finding]:
    """What an exporter says that it does not do or show."""
    if values.get(RECONCILER_UP.name) == 0:
        advice = (
            "Give one exporter a user that may write, and the address of the primary; its /readyz says why it fails."
        )
        summary = f"{address} cannot write, so executions whose RQ worker died are not counted by it"
        yield Finding("exporter", Level.WARNING, summary, advice)
    if unserved := round(values.get(OWN_UNSERVED.name, 0.0)):
        advice = (
            "Give one of the metrics another name; the exporter's log says which, where it reads several Redis servers."
        )
        summary = f"{address} does not show {unserved:,} series of your own: their names have two types"
        yield Finding("exporter", Level.WARNING, summary, advice)


def check_prometheus(url: str, now: float, expected: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Whether Prometheus scrapes jobtelemetry and has loaded its rules.

    Args:
        url: Its address, with a path prefix where it has one.
        now: Redis' clock, Unix time.
        expected: Names of the alerts that belong to this version.
    """
    whole, base = url.rstrip("/"), shown(url.rstrip("/"))
    try:
        rules = _api(f"{whole}/api/v1/rules")
        samples = _samples(_api(f"{whole}/api/v1/query?query={quote(f'timestamp({UP.name})')}"))
        values = _samples(_api(f"{whole}/api/v1/query?query={UP.name}"))
    except _Unreachable as error:
        summary = f"{base} does not answer: {error}"
        yield Finding("prometheus", Level.PROBLEM, summary, "Correct --prometheus.")
        return
    yield _scraped(samples, values, now)
    yield from _rules(rules, expected)


def _samples(data: Mapping[str, Any]) -> list[float]:
    """The values of an instant query."""
    try:
        return [float(one["value"][1]) for one in data["result"]]
    except (KeyError, IndexError, TypeError, ValueError):
        raise _Unreachable("it does not answer as Prometheus does") from None


def _scraped(samples: list[float], values: list[float], now: float) -> Finding:
    if not samples:
        advice = f"Add the exporter to scrape_configs; see {_HELP}."
        return Finding("prometheus", Level.PROBLEM, f"Prometheus has no {UP.name}: it scrapes no exporter", advice)
    newest = max(samples)
    if 0 in values:
        advice = "Look at the exporter's log: it runs and cannot read Redis."
        return Finding("prometheus", Level.PROBLEM, f"{UP.name} is 0 in Prometheus", advice)
    if now - newest > _MOST_AGE:
        advice = "Look at Status > Targets in Prometheus."
        return Finding("prometheus", Level.WARNING, f"the last scrape was {now - newest:.0f} s ago", advice)
    return Finding(
        "prometheus", Level.OK, f"scraped {many(len(samples), 'exporter')}, {max(0, now - newest):.0f} s ago"
    )


def _rules(data: Mapping[str, Any], expected: frozenset[str]) -> Iterator[Finding]:
    groups = [group for group in _list(data.get("groups")) if isinstance(group, dict)]
    every = [(group.get("name"), rule) for group in groups for rule in _list(group.get("rules")) if _has_name(rule)]
    ours = [rule for group, rule in every if "jobtelemetry" in f"{group} {rule.get('query')} {rule.get('name')}"]
    alerts = sum(rule.get("type") == "alerting" for rule in ours)
    broken = [rule for rule in ours if rule.get("health") == "err"]
    firing = sorted({rule["name"] for rule in ours if rule.get("state") == "firing"} - {WATCHDOG})
    if not alerts:
        advice = "Add deploy/prometheus/ to rule_files and reload Prometheus: without alerts nobody is told."
        yield Finding("rules", Level.PROBLEM, "Prometheus has loaded no alert of jobtelemetry", advice)
        return
    if broken:
        said = "; ".join(f"{rule.get('name')}: {rule.get('lastError')}" for rule in broken[:3])
        advice = "Load the rules that belong to this version of jobtelemetry."
        yield Finding("rules", Level.PROBLEM, f"{many(len(broken), 'rule')} cannot be evaluated: {said}", advice)
    else:
        summary = f"{many(alerts, 'alert')} and {many(len(ours) - alerts, 'recording rule')} loaded"
        yield Finding("rules", Level.OK, summary)
    if missing := sorted(expected - {rule["name"] for rule in ours}):
        advice = (
            "Load all files of deploy/prometheus/rules, or of 'jobtelemetry mixin build', unless you left them out."
        )
        summary = f"{len(missing)} of {many(len(expected), 'alert')} not loaded: {', '.join(missing[:5])}"
        yield Finding("rules", Level.WARNING, summary + (" ..." if len(missing) > 5 else ""), advice)
    if firing:
        advice = "Their annotations name the runbook."
        yield Finding("alerts", Level.WARNING, f"firing: {', '.join(firing)}", advice)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_name(rule: object) -> bool:
    return isinstance(rule, dict) and isinstance(rule.get("name"), str)


def _api(url: str) -> Mapping[str, Any]:
    body, _ = _get(url)
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _Unreachable("it is not Prometheus")
    return data


def _get(url: str) -> tuple[str, float | None]:
    """The body and the time in the ``Date`` header."""
    try:
        request = _request(url)
        with urllib.request.urlopen(request, timeout=_TIME_LIMIT) as answer:  # noqa: S310 - the scheme is checked
            body = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        raise _Unreachable(f"status {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Unreachable(scrub(str(getattr(error, "reason", error))) or type(error).__name__) from None
    try:
        return body, parsedate_to_datetime(date).timestamp() if date else None
    except (TypeError, ValueError):
        return body, None


def _request(url: str) -> urllib.request.Request:
    """A request whose user name and password are where they belong, and not in the name of the host."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        urlsplit(f"//{place}").port  # noqa: B018 - whether it is a number is the question
    except ValueError:
        raise _Unreachable("it is no URL with a host and a port") from None
    if parts.scheme not in ("http", "https") or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise _Unreachable("a URL with http:// or https:// is needed, with a password that is percent-encoded")
    request = urllib.request.Request(parts._replace(netloc=place).geturl())  # noqa: S310 - the scheme is checked
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    return request


def _values(body: str) -> dict[str, float]:
    """The sums of the samples of each name in an exposition."""
    from prometheus_client.parser import text_string_to_metric_families

    sums: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                if math.isfinite(sample.value):
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    except ValueError:
        return {}
    return sums


def _away(body: str) -> list[str]:
    """The Redis servers that an exporter of several cannot read."""
    down = re.escape(UP.name) + r"\{" + REDIS + r'="([^"]*)"\} 0(?:\.0)?$'
    return re.findall(down, body, re.MULTILINE)


def _version(body: str) -> str:
    for line in body.splitlines():
        if line.startswith(BUILD_INFO.name):
            return line.partition('version="')[2].partition('"')[0]
    return ""
