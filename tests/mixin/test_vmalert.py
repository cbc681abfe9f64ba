"""VictoriaMetrics takes the same rules: vmalert accepts and evaluates them, and the database every expression."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
import yaml

from drills.processes import Process, free_port
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from mixin.cases import queues
from mixin.series import Series
from support.needed import needed
from support.waiting import eventually


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The rule files with the defaults."""
    written = build(MixinConfig(), tmp_path_factory.mktemp("mixin"))
    return [path for path in written if path.suffix == ".yml"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """A VictoriaMetrics."""
    url = f"127.0.0.1:{free_port()}"
    options = (f"-httpListenAddr={url}", f"-storageDataPath={tmp_path / 'data'}")
    server = Process(tmp_path / "log", needed("victoria-metrics"), *options)

    def healthy() -> bool:
        try:
            with urlopen(f"http://{url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        eventually(healthy, "VictoriaMetrics", 60)
        yield f"http://{url}"
    finally:
        server.kill()


def test_vmalert_accepts_the_rules(rules: list[Path]) -> None:
    """``vmalert -dryRun`` finds no fault in groups, expressions and templates."""
    command = [needed("vmalert"), "-dryRun", "-rule.validateTemplates", *(f"-rule={path}" for path in rules)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_victoriametrics_evaluates_every_expression(rules: list[Path], database: str) -> None:
    """None is refused."""
    for path in rules:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                try:
                    with urlopen(f"{database}/api/v1/query?query={quote(rule['expr'])}", timeout=30) as answer:
                        assert json.load(answer)["status"] == "success", name
                except HTTPError as error:
                    pytest.fail(f"{name}: {error.read().decode()}")


@pytest.mark.parametrize("alert", ["QueueWorkersIdle", "QueueWithoutWorkers"])
def test_vmalert_fires_what_prometheus_fires(rules: list[Path], tmp_path: Path, database: str, alert: str) -> None:
    """Over the same past as in promtool's test the alert fires at the same moment, and no other does."""
    groups = [group for path in rules for group in yaml.safe_load(path.read_text())["groups"]]
    for group in groups:  # in a replay, a rule would have to wait for what those before it recorded
        group["rules"] = [one for one in group["rules"] if "alert" in one and ":jobtelemetry" not in one["expr"]]
    chosen = tmp_path / "rules.yml"
    chosen.write_text(yaml.safe_dump({"groups": [group for group in groups if group["rules"]]}))
    case = next(case for case in queues.CASES if [labels["alertname"] for labels in case.firing] == [alert])
    began = (int(time.time()) - 7200) // 60 * 60
    looked = began + 60 * int(case.at.removesuffix("m"))
    _import(database, case.series, began)
    command = [
        needed("vmalert"),
        f"-rule={chosen}",
        f"-datasource.url={database}",
        f"-remoteWrite.url={database}",
        "-remoteWrite.flushInterval=100ms",
        "-datasource.queryStep=30s",
        f"-replay.timeFrom={_moment(began)}",
        f"-replay.timeTo={_moment(looked)}",
        "-replay.rulesDelay=0",
        "-replay.disableProgressBar",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    urlopen(f"{database}/internal/force_flush", timeout=30).close()
    fired = _asked(database, 'ALERTS{alertstate="firing",alertname!="JobTelemetryWatchdog"}', looked)
    assert [{name: labels[name] for name in case.firing[0]} for labels in fired] == list(case.firing)


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")


def _import(database: str, series: Series, began: int) -> None:
    """Write a case's series as if they had been scraped every minute; promtool's clock begins at 0."""
    lines = [
        f"{name} {value + (began if '_timestamp_seconds{' in name else 0)} {(began + 60 * minute) * 1000}"
        for name, numbers in series.items()
        for minute, value in enumerate(_numbers(numbers))
        if value is not None
    ]
    request = Request(f"{database}/api/v1/import/prometheus", "\n".join(lines).encode(), method="POST")
    urlopen(request, timeout=30).close()
    urlopen(f"{database}/internal/force_flush", timeout=30).close()


def _numbers(text: str) -> Iterator[float | None]:
    """The first two hours of values in promtool's notation: ``1``, ``_``, ``5+2x3``."""
    number = r"[\d.]+(?:e[+-]\d+)?"
    for part in text.split():
        parsed = re.fullmatch(rf"(_|-?{number})(?:([+-]{number}))?(?:x(\d+))?", part)
        assert parsed is not None, part
        first, step, times = parsed.groups()
        for index in range(min(int(times or 0), 120) + 1):
            yield None if first == "_" else float(first) + index * float(step or 0)


def _asked(database: str, query: str, at: int) -> list[dict[str, str]]:
    with urlopen(f"{database}/api/v1/query?query={quote(query)}&time={at}", timeout=30) as answer:
        return [one["metric"] for one in json.load(answer)["data"]["result"]]
