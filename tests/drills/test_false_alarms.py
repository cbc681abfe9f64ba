"""Days of the demo's load, on promtool's clock: what one real run showed on /metrics, hour after hour, raises nothing.

The run is real, and so is every value. Only the days are made: a sync every hour from 6 to 22, nothing at night. What a
scrape in the middle of a run sees is another moment of it each time.
"""

from __future__ import annotations

import json
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

_DAYS = 3
_STEP = 60  # seconds between two scrapes
_STEPS = _DAYS * 86_400 // _STEP
_AN_HOUR = 3600 // _STEP
_HOURS = range(6, 23)
_CUMULATIVE = ("_total", "_bucket", "_sum", "_count")
_MOMENT = ("_timestamp_seconds", "_created")


@dataclass(frozen=True)
class Page:
    """/metrics at a moment: selector -> value."""

    at: float
    values: dict[str, float]


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


@pytest.mark.timeout(600)
def test_days_of_the_demos_load_raise_no_alert(pages: list[Page], tmp_path: Path) -> None:
    """A sync every hour, a third of whose jobs cancel, and quiet nights: nothing fires but the watchdog."""
    rules = [path for path in build(MixinConfig(), tmp_path) if path.suffix == ".yml"]
    syncs = sum(step % (24 * _AN_HOUR) in {hour * _AN_HOUR for hour in _HOURS} for step in range(_STEPS))
    end = f"{_STEPS - 1}m"
    alerts = 'ALERTS{alertstate="firing", alertname!="JobTelemetryWatchdog"}'
    document = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": f"{_STEP}s",
        "tests": [
            {
                "interval": f"{_STEP}s",
                "input_series": [{"series": s, "values": v} for s, v in _days(pages).items()],
                "promql_expr_test": [
                    _expect(f"max by (alertname, worker, queue) (max_over_time({alerts}[{_DAYS}d]))", end),
                    _expect('sum(jobtelemetry_job_executions_total{state="cancelled"})', end, 536 * syncs),
                    _expect('sum(jobtelemetry_job_executions_total{state="completed"})', end, 801 * syncs),
                ],
            }
        ],
    }
    (tmp_path / "days.yml").write_text(json.dumps(document))
    ran = promtool("test", "rules", tmp_path / "days.yml")
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


def _days(pages: list[Page]) -> dict[str, str]:
    """Every series over all days, in promtool's notation."""
    running = [page for page in pages if page.values != pages[0].values] or pages
    last = pages[-1]
    shown: dict[str, list[float | None]] = {selector: [] for page in pages for selector in page.values}
    syncs, page, base, moment = 0, pages[0], 0, 0.0
    for step in range(_STEPS):
        now = float(step * _STEP)
        of_hour = step % _AN_HOUR
        works = step // _AN_HOUR % 24 in _HOURS
        if works and of_hour == 0:
            page, base, moment = running[syncs % len(running)], syncs, now
            syncs += 1
        elif works and of_hour == 1:
            page, moment = last, now
        for selector, numbers in shown.items():
            numbers.append(_at(selector, page, last, base, moment))
    return {selector: _notation(numbers) for selector, numbers in shown.items()}


def _at(selector: str, page: Page, last: Page, syncs_before: int, moment: float) -> float | None:
    """What a series shows at ``moment``, when the run that goes on has come as far as ``page``."""
    value = page.values.get(selector)
    name = selector.partition("{")[0]
    if name.endswith(_CUMULATIVE) and name.startswith("jobtelemetry_"):
        before = syncs_before * last.values[selector] if selector in last.values else 0.0
        return before + value if value is not None else before or None
    if value is not None and name.endswith("_created"):
        return value - last.at
    if value is not None and name.endswith(_MOMENT) and value > 0:
        return value - page.at + moment
    return value


def _notation(numbers: list[float | None]) -> str:
    parts = []
    for number, equal in groupby(numbers):
        more = len(list(equal)) - 1
        parts.append(f"_x{more + 1}" if number is None else f"{number:.17g}+0x{more}")
    return " ".join(parts)
