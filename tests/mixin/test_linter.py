"""The rules of Grafana's dashboard-linter, for every dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig

#: With a selector of which nothing may be written anywhere else, and with the dashboard of the log.
_CONFIG = MixinConfig(selector='job="elsewhere"', loki_selector='app="rq-worker"')
_BOARDS = {
    board["uid"]: board
    for board in (json.loads(text) for name, text in files(_CONFIG).items() if name.endswith(".json"))
}
_WITH_UNIT = {"bargauge", "stat", "timeseries"}


def _panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in board["panels"] if panel["type"] != "row")


@pytest.mark.parametrize("board", _BOARDS.values(), ids=_BOARDS)
def test_variables(board: dict[str, Any]) -> None:
    """template-datasource, template-label-promql, template-on-time-change-reload: chosen first, asked for again."""
    variables = board["templating"]["list"]
    assert (variables[0]["name"], variables[0]["type"], variables[0]["query"]) == ("datasource",) * 2 + ("prometheus",)
    for one in variables:
        assert one["label"]
        if one["type"] == "query":
            assert one["datasource"]["uid"] == "${datasource}"
            assert one["query"]["query"].startswith("label_values(jobtelemetry_")
            assert one["refresh"] == 2


@pytest.mark.parametrize("board", _BOARDS.values(), ids=_BOARDS)
def test_panels(board: dict[str, Any]) -> None:
    """panel-datasource, panel-title-description, panel-units, panel-no-targets, and a letter for each query."""
    logs = board["uid"] == "jobtelemetry-executions"
    for panel in _panels(board):
        where = f"{board['uid']}: {panel.get('title')}"
        assert panel["title"], where
        assert panel["description"].endswith("."), where
        sources = {one["datasource"]["uid"] for one in (panel, *panel["targets"])}
        assert sources == {"${logs}" if logs else "${datasource}"}, where
        letters = [target["refId"] for target in panel["targets"]]
        assert letters, where
        assert all(letters), where
        assert len(set(letters)) == len(letters), where
        if panel["type"] in _WITH_UNIT:
            assert panel["fieldConfig"]["defaults"]["unit"], where


@pytest.mark.parametrize("uid", sorted(_BOARDS.keys() - {"jobtelemetry-executions"}))
def test_queries(uid: str) -> None:
    """target-rate-interval, target-job: rates have Grafana's window, and no job is named but by the selector."""
    for panel in _panels(_BOARDS[uid]):
        for target in panel["targets"]:
            expr = target["expr"]
            windows = set(re.findall(r"\b(?:rate|irate|increase)\([^\[\]]*\[([^\]]+)\]", expr))
            assert windows <= {"$__rate_interval"}, panel["title"]
            jobs = set(re.findall(r'\bjob\s*=~?\s*"([^"]*)"', expr))
            assert jobs <= {"elsewhere"}, panel["title"]
