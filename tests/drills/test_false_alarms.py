"""Days and weeks of the demo's load, on promtool's clock: what one real run showed on /metrics raises nothing.

The run is real, and so is every value. Only the calendar is made (:class:`Calendar`): a sync every hour of the day,
quiet nights with a cron job, bursts, weekends, a deploy every day, a class that is new and one that is deleted. What a
scrape in the middle of a run sees is another moment of it each time. CI looks at some days, ``nox -s weeks`` at more.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drills.processes import Process, free_port, python
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from mixin.promtool import promtool
from support.waiting import eventually

#: Days, and seconds between two scrapes.
_DAYS = int(os.environ.get("FALSE_ALARMS_DAYS", "3"))
_STEP = int(os.environ.get("FALSE_ALARMS_STEP", "120"))
_STEPS = _DAYS * 86_400 // _STEP
_AN_HOUR = 3600 // _STEP
_NEW, _DELETED = "CinemaDateJob", "MovieDetailJob"
_CUMULATIVE = ("_total", "_bucket", "_sum", "_count")
_MOMENT = ("_timestamp_seconds", "_created")


@dataclass(frozen=True)
class Page:
    """/metrics at a moment: selector -> value."""

    at: float
    values: dict[str, float]


@dataclass(frozen=True)
class Calendar:
    """What happens when, in steps from a Monday's midnight on.

    Args:
        days: How many days there are.
    """

    days: int

    @property
    def born(self) -> int:
        """From when on the new class is there."""
        return (self.days // 2 * 24 + 8) * _AN_HOUR

    @property
    def deleted(self) -> int:
        """When the other one is deleted from the code; it was known for as long as a day and a half."""
        return (self.days // 2 * 24 + 12) * _AN_HOUR + 1

    def begins(self, step: int) -> bool:
        """Whether a sync begins: hourly from 6 to 22 and at 3; on two days several at noon; three at the weekend."""
        day, hour, rest = step // (24 * _AN_HOUR), step // _AN_HOUR % 24, step % _AN_HOUR
        if hour == 12 and day % 7 in (1, 3):
            return rest % 2 == 0 and rest < 8
        if rest:
            return False
        return hour in (3, 10, 18) if day % 7 in (5, 6) else hour == 3 or 6 <= hour <= 22

    def deployed(self, step: int) -> int:
        """When the newest deploy was: at 14:30 of every working day."""
        at = (14 * _AN_HOUR) + _AN_HOUR // 2
        days = [day for day in range(step // (24 * _AN_HOUR) + 1) if day % 7 < 5 and day * 24 * _AN_HOUR + at <= step]
        return days[-1] * 24 * _AN_HOUR + at if days else -_AN_HOUR

    def away(self, step: int) -> bool:
        """Whether the exporter is being restarted by a deploy."""
        return 0 <= step - self.deployed(step) < max(1, 120 // _STEP)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Page]]:
    """A run of the demo as its exporter showed it, from before the first job to after the last one."""
    home, port = tmp_path_factory.mktemp("demo"), free_port()
    listen = f"127.0.0.1:{port}"
    demo = Process(home / "demo.log", *python("jobtelemetry", "demo", "--serve", "--listen", listen))
    seen: list[Page] = []

    def look() -> bool:
        over = "Ctrl-C" in (home / "demo.log").read_text()
        try:
            with urlopen(f"http://{listen}/metrics", timeout=5) as response:
                seen.append(Page(time.time(), _values(response.read().decode())))
        except (URLError, OSError):
            assert not over, "the demo does not serve its page"
        return over

    eventually(look, "the end of the demo", 240)
    demo.terminate()
    yield seen


@pytest.mark.timeout(3600)
def test_days_of_the_demos_load_raise_no_alert(pages: list[Page], tmp_path: Path) -> None:
    """Syncs a third of whose jobs cancel, nights, weekends, bursts, deploys: nothing fires but the watchdog."""
    # A sync comes all at once, and a busy machine takes minutes for it.
    config = MixinConfig().with_settings(["latency_target=10m"])
    rules = [path for path in build(config, tmp_path) if path.suffix == ".yml"]
    calendar = Calendar(_DAYS)
    syncs = sum(map(calendar.begins, range(_STEPS)))
    end = f"{(_STEPS - 1) * _STEP}s"
    alerts = 'ALERTS{alertstate="firing", alertname!="JobTelemetryWatchdog"}'
    which = 'worker=~".*ShowtimeProcessJob"'
    # A class that ran for weeks and was deleted is missed, once.
    missed = f'{{alertname="JobPeriodicMissed", worker=~".*{_DELETED}"}}'
    fired = f"max by (alertname, worker, queue) (max_over_time({alerts}[{_DAYS}d]))"
    document = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": f"{_STEP}s",
        "tests": [
            {
                "interval": f"{_STEP}s",
                "input_series": [{"series": s, "values": v} for s, v in _days(pages, calendar).items()],
                "promql_expr_test": [
                    _expect(f"{fired} unless on (alertname, worker) max_over_time(ALERTS{missed}[{_DAYS}d])", end),
                    _expect(f'sum(jobtelemetry_job_executions_total{{state="cancelled", {which}}})', end, 536 * syncs),
                    _expect(f'sum(jobtelemetry_job_executions_total{{state="completed", {which}}})', end, 738 * syncs),
                ],
            }
        ],
    }
    (tmp_path / "days.yml").write_text(json.dumps(document))
    ran = promtool("test", "rules", tmp_path / "days.yml", seconds=3500)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _expect(expr: str, at: str, value: float | None = None) -> dict[str, object]:
    return {"expr": expr, "eval_time": at, "exp_samples": [] if value is None else [{"labels": "{}", "value": value}]}


def _values(page: str) -> dict[str, float]:
    """The page with the labels of the scrape."""
    found = {'up{job="jobtelemetry",instance="a:10427"}': 1.0}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = {"job": "jobtelemetry", "instance": "a:10427", **sample.labels}
            shown = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
            found[f"{sample.name}{{{shown}}}"] = sample.value
    return found


@dataclass(frozen=True)
class Now:
    """A moment of the calendar.

    Args:
        step: Which.
        page: How far the newest run has come.
        before: How many there were before it.
        moment: When that page was as it is, on the calendar's clock.
        deployed: When the newest deploy was.
    """

    step: int
    page: Page
    before: int
    moment: float
    deployed: int


def _days(pages: list[Page], calendar: Calendar) -> dict[str, str]:
    """Every series over all days, in promtool's notation."""
    running = [page for page in pages if page.values != pages[0].values] or pages
    last = pages[-1]
    shown: dict[str, list[float | None]] = {selector: [] for page in pages for selector in page.values}
    page, begun, moment = pages[0], 0, 0.0
    known: dict[str, int] = {"new": 0, "deleted": 0}
    for step in range(_STEPS):
        if step == calendar.born:
            known["new"] = begun
        if calendar.begins(step):
            page, begun, moment = running[begun % len(running)], begun + 1, float(step * _STEP)
        elif begun and page is not last:
            page, moment = last, float(step * _STEP)
        if step == calendar.deleted:
            known["deleted"] = begun
        now = Now(step, page, max(0, begun - 1), moment, calendar.deployed(step))
        for selector, numbers in shown.items():
            if calendar.away(step):
                numbers.append(0.0 if selector.startswith("up{") else None)
            else:
                numbers.append(_at(selector, now, last, calendar, known))
    return {selector: _notation(numbers) for selector, numbers in shown.items()}


def _at(selector: str, now: Now, last: Page, calendar: Calendar, known: dict[str, int]) -> float | None:
    """What a series shows."""
    name, before, created = selector.partition("{")[0], now.before, -last.at
    if _NEW in selector:
        if now.step < calendar.born:
            return None
        before, created = before - known["new"], calendar.born * _STEP - last.at
    elif _DELETED in selector and now.step >= calendar.deleted:  # it stays what it was
        now = Now(now.step, last, known["deleted"] - 1, float(calendar.deleted * _STEP), now.deployed)
        before = now.before
    value = now.page.values.get(selector)
    if name.endswith(_CUMULATIVE) and name.startswith("jobtelemetry_"):
        earlier = before * last.values.get(selector, 0.0)
        # Rounded, or a sum would fall by what floating point is not exact to, and a fall is a counter that began anew.
        return round(earlier + value, 6) if value is not None else round(earlier, 6) or None
    if value is None:
        return None
    if name.endswith("_created"):
        return value + created
    if name.endswith("newest_birth_timestamp_seconds"):
        return float(now.deployed * _STEP)
    if name.endswith(_MOMENT) and value > 0:
        return value - now.page.at + now.moment
    return value


def _notation(numbers: list[float | None]) -> str:
    parts = []
    for number, equal in groupby(numbers):
        more = len(list(equal)) - 1
        parts.append(f"_x{more + 1}" if number is None else f"{number:.17g}+0x{more}")
    return " ".join(parts)
