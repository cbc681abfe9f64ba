"""Every alert on promtool's clock: what fires it, and what must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from drills.incidents import DRILLS, WITHOUT_DRILL
from jobtelemetry.mixin import alerts
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import BurnRate, MixinConfig
from mixin.cases import CASES
from mixin.cases.situations import EVERY
from mixin.promtool import promtool, unit_test
from mixin.series import Case

_NAMES = {alert.name for alert in alerts.every(MixinConfig())} - {"JobTelemetryWatchdog"}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """The rule files with the defaults, or with settings."""

    @cache
    def rules(*settings: str) -> list[Path]:
        written = build(MixinConfig().with_settings(settings), tmp_path_factory.mktemp("mixin"))
        return [path for path in written if path.suffix == ".yml"]

    return rules


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.says}")
def test_exactly_these_alerts_fire(case: Case, built: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Of all alerts exactly those that the case names fire."""
    document = tmp_path / "test.yml"
    document.write_text(json.dumps(unit_test([case], built(*case.settings))))
    ran = promtool("test", "rules", document)
    assert ran.returncode == 0, f"{case.says}\n{ran.stdout}{ran.stderr}"


def test_every_alert_has_a_case_that_fires_and_one_that_stays_quiet() -> None:
    """No alert is without a firing test and a quiet test; the watchdog fires in every case."""
    firing = {labels["alertname"] for case in CASES for labels in case.firing}
    quiet = {case.alert for case in CASES if not any(labels["alertname"] == case.alert for labels in case.firing)}
    assert firing == _NAMES
    assert quiet >= _NAMES
    assert {case.alert for case in CASES} <= _NAMES | {EVERY, "JobTelemetryWatchdog"}


@pytest.mark.parametrize("rate", MixinConfig().burn_rates, ids=lambda rate: f"{rate.factor:g}x over {rate.long}")
def test_every_burn_rate_has_a_case_that_fires_and_one_just_below(rate: BurnRate) -> None:
    """Of the alert on the error budget each pair of windows fires alone in a case, and stays quiet just below."""
    pair = {"severity": rate.severity, "long_window": rate.long, "short_window": rate.short}
    assert any(len(case.firing) == 1 and pair.items() <= case.firing[0].items() for case in CASES)
    assert any(case.below == rate.long and not case.firing for case in CASES)


def test_every_alert_has_a_drill() -> None:
    """No alert is without an incident in ``tests/drills``, or a reason; the watchdog is waited for in every one."""
    assert {alert for drill in DRILLS for alert in drill.alerts} | set(WITHOUT_DRILL) == _NAMES
    assert not {alert for drill in DRILLS for alert in drill.alerts} & set(WITHOUT_DRILL)


def test_promtool_accepts_the_rules(built: Callable[..., list[Path]]) -> None:
    """``promtool check rules`` finds no fault, and no duplicate."""
    ran = promtool("check", "rules", "--lint=all", "--lint-fatal", *built())
    assert ran.returncode == 0, ran.stdout + ran.stderr
