"""The dashboard of single executions: LogQL that Grafana's own grammar understands, about facts that records have."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobtelemetry.errors import ConfigError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.sinks.logs import facts
from support.needed import needed

_NAME = "grafana/dashboards/jobtelemetry-executions.json"
_SELECTOR = 'app="rq-worker", env=~"prod|stage"'
_BOARD = json.loads(files(MixinConfig(loki_selector=_SELECTOR))[_NAME])
_GRAMMAR = Path(__file__).parent / "logql"
#: What Grafana puts in for its variables.
_CHOSEN = {
    "${worker:regex}": "(shop\\.jobs\\.mail|shop\\.jobs\\.pay)",
    "${queue:regex}": ".*",
    "${search:regex}": "no film \\(4124\\)",
    "${attribute}": "film.id",
    "$__range": "21600s",
    "$__interval": "60s",
}


def expressions(board: dict[str, Any]) -> list[str]:
    """Every LogQL expression of the dashboard, with the variables filled in."""
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for variable, value in _CHOSEN.items():
        found = [expr.replace(variable, value) for expr in found]
    assert not any("${" in expr or "$__" in expr for expr in found)
    return found


def misunderstood(found: list[str]) -> list[str]:
    """What Grafana's grammar of LogQL does not understand of each expression."""
    if not (_GRAMMAR / "node_modules").exists():
        reason = "Grafana's grammar of LogQL is not installed (npm ci --prefix tests/mixin/logql brings it)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    command = [needed("node"), str(_GRAMMAR / "check.mjs")]
    ran = subprocess.run(command, input=json.dumps(found), capture_output=True, text=True, check=True, timeout=60)
    told: list[str] = json.loads(ran.stdout)
    return told


def test_every_expression_is_logql() -> None:
    """Grafana's grammar understands each of them, and not what is cut off: it does look."""
    found = expressions(_BOARD)
    assert len(found) == 6
    assert misunderstood(found) == [""] * len(found)
    assert all(misunderstood([found[0][:-3], found[0].replace("| json", "| yaml ="), "sum by (x) ("]))


def test_expressions_read_what_records_have() -> None:
    """Each fact that is read is a key of the JSON record, and what is grouped by or shown was read before."""
    event = ExecutionEvent("e", "j", "w", "q", "r", Outcome(State.DISCARD, "", "KeyError"), attributes={"film.id": 1})
    known = {*facts(event), "message", "level", "logger", "timestamp"}
    for expr in expressions(_BOARD):
        assert expr.count('{app="rq-worker", env=~"prod|stage"} |= `"execution_id"` | json ') == 1
        read = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', expr.partition("| json ")[2].partition(" | ")[0]))
        assert {path.partition("[")[0] for path in read.values()} <= known
        grouped = re.findall(r"sum by \(([^)]*)\)", expr)
        shown = {name for names in grouped for name in names.split(", ")} | set(re.findall(r"\.(\w+)}}", expr))
        filtered = set(re.findall(r"\| (\w+)(?:=~|!=|=)`", expr)) - {"__error__"}
        assert shown | filtered <= read.keys(), expr
    assert "state=~`failure|discard`" in expressions(_BOARD)[1]


def test_numbers_of_failures_lead_to_the_log_where_there_is_one() -> None:
    """On the dashboard of a worker, with the worker that is chosen."""
    name = "grafana/dashboards/jobtelemetry-worker.json"
    board = json.loads(files(MixinConfig(loki_selector=_SELECTOR))[name])
    leading = {panel["title"]: json.dumps(panel) for panel in board["panels"] if "-executions?" in json.dumps(panel)}
    assert set(leading) == {"Failure", "Discard"}
    assert all("${worker:queryparam}" in panel for panel in leading.values())
    assert "jobtelemetry-executions" not in files(MixinConfig())[name]


def test_it_is_there_only_where_the_log_is() -> None:
    """Without a selector there is no such dashboard; with one it has a data source of its own, and explains itself."""
    assert _NAME not in files(MixinConfig())
    variables = {one["name"]: one for one in _BOARD["templating"]["list"]}
    assert variables["logs"]["query"] == "loki"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["attribute"]["query"] == "film_id"
    for panel in (one for one in _BOARD["panels"] if one["type"] != "row"):
        assert panel["datasource"] == {"type": "loki", "uid": "${logs}"}
        assert panel["description"].endswith(".")
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize(
    "setting", ["loki_selector=app", 'loki_selector=app=~"("', "loki_attribute=a b", "loki_attribute="]
)
def test_a_wrong_setting_is_an_error_that_names_it(setting: str) -> None:
    """A setting without a usable value is refused."""
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        MixinConfig().with_settings([setting])
