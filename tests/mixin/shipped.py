"""The cases as files for everybody's promtool: ``python -m mixin.shipped`` in ``tests`` writes them.

``promtool test rules deploy/prometheus/tests/*.yml`` runs them against the rules beside them, also after thresholds
were changed. Those cases that need other settings are not among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from mixin.cases import burn_rates, jobs, past, queues, slo, telemetry
from mixin.promtool import unit_test
from mixin.series import Case

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus" / "tests"
_GROUPS: dict[str, Iterable[Case]] = {
    "slo": (*slo.CASES, *burn_rates.CASES),
    "jobs": jobs.CASES,
    "past": past.CASES,
    "queues": queues.CASES,
    "telemetry": telemetry.CASES,
}
_RULES = ("../rules/jobtelemetry-recording.yml", "../rules/jobtelemetry-alerts.yml")
_HEAD = "# Made by `python -m mixin.shipped` in `tests` from the cases there; change those, not this file.\n"


def shipped() -> dict[str, str]:
    """Name of each file, and its text. A file has one interval, so there are several of a group."""
    texts = {}
    for group, cases in _GROUPS.items():
        plain = [case for case in cases if not case.settings]
        for every in dict.fromkeys(case.every for case in plain):
            document = unit_test([case for case in plain if case.every == every], _RULES)
            body = yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)
            texts[f"jobtelemetry-{group}-{every}.yml"] = _HEAD + body
    return texts


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in shipped().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
