"""Runs promtool."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mixin.series import Case
from support.needed import needed

_WATCHDOG = 'alertname!="JobTelemetryWatchdog"'


def promtool(*arguments: str | Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Run promtool with these arguments, at most for so long."""
    return subprocess.run(
        [needed("promtool"), *map(str, arguments)],
        env={"GOGC": "400"} | os.environ,  # a fifth of the processor's time would go into collecting garbage
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def unit_test(cases: Sequence[Case], rules: Iterable[Path | str]) -> dict[str, Any]:
    """Cases with the same interval as a document for ``promtool test rules``."""
    return {
        "rule_files": list(map(str, rules)),
        "evaluation_interval": cases[0].every,
        "tests": [
            {
                "name": f"{case.alert}: {case.says}",
                "interval": case.every,
                "input_series": [
                    {"series": series, "values": _short(numbers)} for series, numbers in case.series.items()
                ],
                "promql_expr_test": [test for at in (case.at, *case.also) for test in _fire(at, case.firing)],
            }
            for case in cases
        ],
    }


def _short(numbers: str) -> str:
    """The same values in promtool's short form, where one comes several times in a row."""
    parts = []
    for value, again in groupby(numbers.split()):
        count = len(list(again))
        if count == 1 or not re.fullmatch(r"_|-?[0-9.]+", value):
            parts += [value] * count
        else:
            parts.append(f"_x{count}" if value == "_" else f"{value}+0x{count - 1}")
    return " ".join(parts)


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
