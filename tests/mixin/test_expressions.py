"""Every expression of rules, dashboards and runbooks is PromQL about series that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from mixin.expressions import KNOWN, grouped, parse, selectors

_RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
_FILES = files(MixinConfig())
_RULES = [
    rule
    for name, text in _FILES.items()
    if name.endswith(".yml")
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
]
_RECORDED = {rule["record"] for rule in _RULES if "record" in rule}
_RECORDED_LABELS = {"job", "worker", "queue", "state", "source", "error_type", "reason", "hook", "family"}


def _panel_queries() -> list[tuple[str, str]]:
    found = []
    for name, text in _FILES.items():
        if name.endswith(".json"):
            for panel in json.loads(text)["panels"]:
                found += [(f"{name}: {panel['title']}", target["expr"]) for target in panel.get("targets", ())]
    return found


def _all() -> list[tuple[str, str]]:
    rules = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in _RULES]
    runbooks = [
        (page.stem, query.strip())
        for page in sorted(_RUNBOOKS.glob("*.md"))
        for query in re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    return rules + _panel_queries() + runbooks


@pytest.mark.parametrize(("where", "expr"), _all(), ids=lambda value: value.partition("\n")[0][:60])
def test_expressions_name_only_what_exists(where: str, expr: str) -> None:
    """Each expression parses, and each metric and label that it names is in the contract or recorded."""
    tree = parse(expr)
    known = {**KNOWN, **dict.fromkeys(_RECORDED, _RECORDED_LABELS)}
    used: set[str] = set()
    for selector in selectors(tree):
        if selector.name is None:
            assert any(matcher.name == "__name__" for matcher in selector.matchers.matchers), where
            continue
        assert selector.name in known, f"{where} names {selector.name}, which does not exist"
        used |= known[selector.name]
        strangers = {matcher.name for matcher in selector.matchers.matchers} - known[selector.name]
        assert not strangers, f"{where} matches {strangers} of {selector.name}"
    assert set(grouped(tree)) <= used | {"job"}, where


def test_run_times_need_no_state() -> None:
    """Whoever has run times of all states together has the same panels, rules and alerts."""
    matched = {
        str(matcher.value)
        for _, expr in _all()
        for selector in selectors(parse(expr))
        if str(selector.name).startswith("jobtelemetry_job_duration_seconds")
        for matcher in selector.matchers.matchers
        if matcher.name == "state"
    }
    assert matched == {"completed|"}


def test_every_family_is_on_a_dashboard() -> None:
    """No family of the contract is collected for nothing."""
    named = {selector.name for _, expr in _panel_queries() for selector in selectors(parse(expr))}
    bases = {str(name).rpartition("_bucket")[0] or name for name in named}
    from jobtelemetry.contract import FAMILIES

    assert {family.name for family in FAMILIES} <= bases


def test_every_recorded_series_is_used() -> None:
    """No rule is reckoned for nothing."""
    expressions = "\n".join(rule["expr"] for rule in _RULES) + "\n".join(expr for _, expr in _panel_queries())
    unused = {name for name in _RECORDED if not re.search(re.escape(name) + r"(?![\w])", expressions)}
    assert not unused


@pytest.mark.parametrize("rule", [rule for rule in _RULES if "alert" in rule], ids=lambda rule: rule["alert"])
def test_alerts_can_be_read_by_somebody_who_was_woken(rule: dict[str, Any]) -> None:
    """No expression of an alert has more than five lines, or lines that nobody reads to the end."""
    lines = rule["expr"].splitlines()
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 200


def test_the_exact_increase_is_in_recording_rules_alone_and_explained_once() -> None:
    """No alert reckons one itself: it reads whole numbers whose parts the documentation has, each in one row."""
    page = (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text()
    parts = (":max", ":created", ":fallen", ":looked")
    for part in parts:
        rows = [line for line in page.splitlines() if line.startswith("| `") and f"{part}` |" in line]
        assert len(rows) == 1, part
        name = rows[0].split("`")[1]
        assert name in _RECORDED
    for rule in (rule for rule in _RULES if "alert" in rule):
        assert not re.search(r"\bincrease\(|\bresets\(|_created\b", rule["expr"]), rule["alert"]
        assert not re.search(rf"(?:{'|'.join(parts)})\b", rule["expr"]), rule["alert"]
