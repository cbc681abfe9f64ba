"""Runs promtool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixin.series import Case
from support.needed import needed

_WATCHDOG = 'alertname!="JobTelemetryWatchdog"'


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool with these arguments."""
    return subprocess.run(
        [needed("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def unit_test(case: Case, rules: Iterable[Path]) -> dict[str, Any]:
    """The case as a document for ``promtool test rules``."""
    return {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": case.every,
        "tests": [
            {
                "interval": case.every,
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "promql_expr_test": [test for at in (case.at, *case.also) for test in _fire(at, case.firing)],
            }
        ],
    }


def _fire(at: str, firing: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    """At this moment these alerts fire, and the watchdog."""
    watchdog = {"alertname": "JobTelemetryWatchdog", "severity": "none"}
    return [
        {
            "expr": f'ALERTS{{alertstate="firing", {_WATCHDOG}}}',
            "eval_time": at,
            "exp_samples": [{"labels": _labels(labels), "value": 1} for labels in firing],
        },
        {
            "expr": 'ALERTS{alertstate="firing", alertname="JobTelemetryWatchdog"}',
            "eval_time": at,
            "exp_samples": [{"labels": _labels(watchdog), "value": 1}],
        },
    ]


def _labels(labels: dict[str, str]) -> str:
    pairs = {"alertstate": "firing", **labels}
    return "ALERTS{" + ", ".join(f"{label}={json.dumps(value)}" for label, value in sorted(pairs.items())) + "}"
