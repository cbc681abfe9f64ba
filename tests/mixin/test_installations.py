"""Several installations in one Prometheus, also several Redis servers of one exporter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobtelemetry.contract import JOB_DURATION
from jobtelemetry.mixin import alerts
from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from mixin.cases.past import ran
from mixin.promtool import promtool

_CONFIG = MixinConfig(installation_labels=("cluster", "job", "redis"))
_FILES = files(_CONFIG)
_BOARDS = {name: json.loads(text) for name, text in _FILES.items() if name.endswith(".json")}
_ALERTS = "prometheus/rules/jobtelemetry-alerts.yml"
_HERE = 'cluster="a", job="jobtelemetry"'
_EU, _US = f'{_HERE}, redis="eu"', f'{_HERE}, redis="us"'


@pytest.mark.parametrize("name", _BOARDS)
def test_a_dashboard_lets_choose_every_installation(name: str) -> None:
    """There is a variable for each label that the selector leaves open, and every expression follows it."""
    board = _BOARDS[name]
    variables = [one["name"] for one in board["templating"]["list"]]
    assert variables[:3] == ["datasource", "cluster", "redis"]
    texts = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    texts += [one["query"]["query"] for one in board["templating"]["list"][3:]]
    assert texts
    for text in texts:
        if "jobtelemetry" in text:
            assert 'cluster=~"$cluster"' in text
            assert 'redis=~"$redis"' in text or "up{" in text
    links = re.findall(r'"/d/jobtelemetry-[^"]+"', _FILES[name])
    assert all("${redis:queryparam}" in link for link in links)


def test_a_label_with_one_value_needs_no_variable() -> None:
    """The defaults name the job, so there is nothing to choose; a pattern leaves it open."""
    assert MixinConfig().open_labels == ()
    assert MixinConfig(selector='job=~"jobs-.*"').open_labels == ("job",)
    pinned = MixinConfig(selector='job="jobs", redis="eu"', installation_labels=("job", "redis"))
    assert (pinned.open_labels, pinned.scrape_selector) == ((), 'job="jobs"')


def test_rules_take_run_times_without_a_state_as_well(tmp_path: Path) -> None:
    """What is recorded of run times is the same, whether or not the exporter shows them by state."""
    rules = [
        rule["expr"]
        for name, text in _FILES.items()
        if name.endswith(".yml")
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if f"({JOB_DURATION.name}_" in rule["expr"]
    ]
    assert len(rules) == 4
    series = ran((300, 10, 0.4), (300, 10, 2.0))
    both = {name.replace("{", '{cluster="a", redis="eu", '): numbers for name, numbers in series.items()}
    both |= {
        name.replace('"a"', '"b"').replace(', state="completed"', ""): numbers for name, numbers in list(both.items())
    }
    same = [
        {"expr": expr, "eval_time": "590m", "exp_samples": [{"labels": "{}", "value": value}]}
        for rule in rules
        for expr, value in ((f"count({rule})", 2), (f"max({rule}) - min({rule})", 0))
    ]
    test = {"interval": "1m", "promql_expr_test": same}
    test["input_series"] = [{"series": name, "values": numbers} for name, numbers in both.items()]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_lead_to_their_installation() -> None:
    """The address of a dashboard hands over what tells installations apart, where the alert has it."""
    for alert in alerts.every(_CONFIG):
        url = alert.document(_CONFIG)["annotations"]["dashboard"]
        for label in ("cluster", "redis"):
            assert f"{{{{ with $labels.{label} }}}}&var-{label}={{{{ . }}}}{{{{ end }}}}" in url


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """Every expression with further labels is PromQL."""
    for name, text in _FILES.items():
        if name.endswith(".yml"):
            (tmp_path / Path(name).name).write_text(text)
    done = promtool("check", "rules", *tmp_path.iterdir())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("says", "series", "firing"),
    [
        ("both are there", {"up": "1x20", "eu": "1x20", "us": "1x20"}, []),
        ("one Redis is away", {"up": "1x20", "eu": "1x5 0x15", "us": "1x20"}, [("RedisDown", _EU)]),
        ("one is no longer read", {"up": "1x20", "eu": "1x5", "us": "1x20"}, [("ExporterDown", _EU)]),
        ("the exporter is down", {"up": "1x5 0x15", "eu": "1x5", "us": "1x5"}, [("ExporterDown", _HERE)]),
        ("its target is gone", {"up": "1x5", "eu": "1x5", "us": "1x5"}, [("ExporterDown", _EU), ("ExporterDown", _US)]),
    ],
)
def test_one_of_several_that_vanishes_is_missed(
    tmp_path: Path, says: str, series: dict[str, str], firing: list[tuple[str, str]]
) -> None:
    """An alert about exactly what is away, and none about the others."""
    document = yaml.safe_load(_FILES[_ALERTS])
    document["groups"] = [one for one in document["groups"] if one["name"] == "jobtelemetry.telemetry.alerts"]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(document))
    names = {"up": f"up{{{_HERE}}}", "eu": f"jobtelemetry_up{{{_EU}}}", "us": f"jobtelemetry_up{{{_US}}}"}
    other = {'up{cluster="b", job="jobtelemetry"}': "1+0x20"}
    other |= {'jobtelemetry_up{cluster="b", job="jobtelemetry", redis="eu"}': "1+0x20"}
    about = 'ALERTS{alertstate="firing", alertname=~"JobTelemetry(Exporter|Redis)Down"}'
    expected: list[dict[str, Any]] = [
        {
            "labels": f'ALERTS{{alertname="JobTelemetry{alert}", alertstate="firing", severity="page", {labels}}}',
            "value": 1,
        }
        for alert, labels in firing
    ]
    test = {
        "name": says,
        "interval": "1m",
        "input_series": [
            *({"series": names[which], "values": _values(values)} for which, values in series.items()),
            *({"series": name, "values": values} for name, values in other.items()),
        ],
        "promql_expr_test": [{"expr": about, "eval_time": "19m", "exp_samples": expected}],
    }
    tests = tmp_path / "tests.yml"
    tests.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", tests)
    assert done.returncode == 0, done.stdout + done.stderr


def _values(text: str) -> str:
    """``1x5 0x15``: five times 1, then 0, in promtool's words; where it ends, the series does."""
    return " ".join(" ".join([value] * int(times)) for value, times in (part.split("x") for part in text.split()))
