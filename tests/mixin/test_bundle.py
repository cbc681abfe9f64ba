"""The bundle as a whole: settings, the committed files, dashboards, the reference."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from jobtelemetry.cli import main
from jobtelemetry.contract import FAMILIES
from jobtelemetry.errors import ConfigError
from jobtelemetry.mixin import alerts, settings_reference
from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards.theme import STATE_COLORS
from jobtelemetry.mixin.reference import reference
from jobtelemetry.outcomes import State
from mixin.promtool import promtool
from mixin.shipped import FOLDER, shipped

_ROOT = Path(__file__).parents[2]
_BOARDS = {name: json.loads(text) for name, text in files(MixinConfig()).items() if name.endswith(".json")}
_PANELS = [
    pytest.param(panel, id=f"{Path(name).stem}: {panel['title']}")
    for name, board in _BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("name", files(MixinConfig()))
def test_committed_files_are_what_the_defaults_make(name: str) -> None:
    """``deploy/`` holds exactly what ``jobtelemetry mixin build --out deploy`` writes."""
    assert (_ROOT / "deploy" / name).read_text(encoding="utf-8") == files(MixinConfig())[name]


def test_the_shipped_tests_are_the_cases() -> None:
    """``deploy/prometheus/tests`` holds exactly what the cases make, for users who change thresholds."""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == shipped()


def test_the_reference_is_made_from_the_contract() -> None:
    """``docs/metrics.md`` is what the contract says, and names every family."""
    assert (_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == reference()
    assert all(f"`{family.name}`" in reference() for family in FAMILIES)


def test_the_page_of_settings_is_made_from_their_comments() -> None:
    """``docs/mixin-settings.md`` has every setting once, with its default and what it is for."""
    page = (_ROOT / "docs" / "mixin-settings.md").read_text(encoding="utf-8")
    assert page == settings_reference.reference()
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == [one.name for one in fields(MixinConfig)]


def test_the_command_builds_for_other_labels(tmp_path: Path) -> None:
    """``--set`` reaches every expression and threshold."""
    settings = ["--set", "slo=99.5", "--set", 'selector=job="jobs"', "--set", "ignored_workers=test.*"]
    ran = CliRunner().invoke(main, ["mixin", "build", "--out", str(tmp_path), *settings])
    assert ran.exit_code == 0, ran.output
    texts = [path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()]
    assert len(texts) == len(files(MixinConfig()))
    assert not any('job="jobtelemetry"' in text or 'job=\\"jobtelemetry\\"' in text for text in texts)
    rules = (tmp_path / "prometheus" / "rules" / "jobtelemetry-alerts.yml").read_text()
    assert "14.4 * 0.005" in rules


@pytest.mark.parametrize(
    ("given", "selector"),
    [
        ('job="a",', 'job="a"'),
        (' job = "a" ,cluster=~"b|c" , ', 'job="a", cluster=~"b|c"'),
        ('job="a, b"', 'job="a, b"'),
        (r'job=~"a\\.b"', r'job=~"a\\.b"'),
    ],
)
def test_a_selector_may_be_written_as_in_promql(given: str, selector: str) -> None:
    """Spaces and a comma at the end, which PromQL allows, do not come into the expressions."""
    assert MixinConfig().with_settings([f"selector={given}"]).selector == selector


def test_labels_that_rq_workers_add_are_kept_apart() -> None:
    """With ``extra_labels`` no rule takes two tenants for two replicas of one exporter."""
    name = "prometheus/rules/jobtelemetry-recording.yml"
    rules = files(MixinConfig().with_settings(["extra_labels=source,tenant"]))[name]
    assert (
        "max by (job, worker, queue, state, source, tenant) (last_over_time(jobtelemetry_job_executions_total" in rules
    )
    assert "source" not in files(MixinConfig().with_settings(["extra_labels="]))[name]


def test_settings_lists_every_setting_as_set_takes_it() -> None:
    """What ``mixin settings`` prints can be given back to ``--set`` and changes nothing."""
    ran = CliRunner().invoke(main, ["mixin", "settings"])
    assert MixinConfig().with_settings(ran.output.splitlines()) == MixinConfig()


@pytest.mark.parametrize(
    "setting",
    [
        "slo=100",
        "slo=much",
        "nonsense=1",
        "slo",
        "low_traffic_window=soon",
        "selector=job=jobs",
        "selector=",
        "selector=,",
        'selector=job="a",,',
        'selector=job="a" cluster="b"',
        'selector=job="a\\d"',
        'selector=job=~"("',
        'selector=__name__="up"',
        'selector=jöb="a"',
        'ignored_workers=a"b',
        "ignored_workers=(",
        "ignored_workers=[",
        "burn_rates=2:1h:page",
        "grafana_url=grafana.example.org",
        "runbook_url=docs/runbooks",
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(setting: str) -> None:
    """A setting without a usable value is refused."""
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        MixinConfig().with_settings([setting])


def test_burn_rates_that_could_never_fire_are_left_out() -> None:
    """With an objective of 90 % a factor of 14.4 asks for more than all jobs, so there is no such alert."""
    factors = [rate.factor for rate in MixinConfig(slo=90).reachable_burn_rates]
    assert factors == [6, 3, 1]
    names = [alert.name for alert in alerts.every(MixinConfig(slo=90))]
    assert names.count("JobErrorBudgetBurn") == 3


@pytest.mark.parametrize("alert", alerts.every(MixinConfig()), ids=lambda alert: f"{alert.name} {alert.severity}")
def test_alerts_say_what_they_are_about(alert: alerts.Alert) -> None:
    """Each alert has a severity, a summary, a description with its labels and figure, its runbook and its dashboard."""
    document = alert.document(MixinConfig())
    notes = document["annotations"]
    assert document["labels"]["severity"] in {"page", "ticket", "none"}
    assert notes["runbook"] == f"jobtelemetry runbook {alert.name}"
    assert notes["summary"].endswith(".")
    assert "$" not in notes["summary"]
    assert any(notes["dashboard"].startswith(f"/d/{board['uid']}") for board in _BOARDS.values())
    for label in alert.variables:
        assert f"$labels.{label}" in notes["dashboard"]
    if alert.variables:
        assert "$value" in notes["description"]
        assert f"$labels.{alert.variables[0]}" in notes["description"]


def test_links_are_made_where_the_addresses_are_known() -> None:
    """Only who runs Grafana and publishes the runbooks knows their addresses; without them no link leads astray."""
    known = MixinConfig().with_settings(
        ["grafana_url=https://grafana.example.org/", "runbook_url=https://wiki.example.org"]
    )
    alert = alerts.every(known)[0]
    notes = alert.document(known)["annotations"]
    assert notes["runbook_url"] == f"https://wiki.example.org/{alert.name}.md"
    assert notes["dashboard_url"] == f"https://grafana.example.org{notes['dashboard']}"
    assert "https://wiki.example.org/${__value.raw}.md" in files(known)["grafana/dashboards/jobtelemetry-overview.json"]
    for text in files(MixinConfig()).values():
        assert not re.search(r"(runbook|dashboard)_url", text)


@pytest.mark.parametrize("panel", _PANELS)
def test_panels_explain_themselves(panel: dict[str, Any]) -> None:
    """Each panel has a title, a description, a data source variable and an id of its own."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["id"] > 0


@pytest.mark.parametrize("board", _BOARDS.values(), ids=lambda board: board["uid"])
def test_boards_have_stable_names_and_links(board: dict[str, Any]) -> None:
    """Each dashboard has its uid, the tag by which the others link to it, and the data source to choose."""
    assert board["uid"].startswith("jobtelemetry-")
    assert board["tags"] == ["jobtelemetry"]
    assert board["links"][0]["tags"] == ["jobtelemetry"]
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_a_state_has_one_colour_everywhere_and_cancelled_is_never_red() -> None:
    """Overrides by state agree with the theme on all dashboards."""
    assert set(STATE_COLORS) == {state.value for state in State}
    assert "red" not in STATE_COLORS["cancelled"]
    for board in _BOARDS.values():
        for panel in board["panels"]:
            for override in panel.get("fieldConfig", {}).get("overrides", ()):
                if (name := str(override["matcher"]["options"])) in STATE_COLORS:
                    colors = [prop["value"] for prop in override["properties"] if prop["id"] == "color"]
                    assert colors == [{"mode": "fixed", "fixedColor": STATE_COLORS[name]}]


def _lines_per(label: str) -> list[tuple[str, dict[str, Any]]]:
    """The dashboards' panels with a line for each value of a label, and where they are."""
    return [
        (board["uid"], panel)
        for board in _BOARDS.values()
        for panel in board["panels"]
        if panel["type"] == "timeseries" and any(f'"{label}", "(.*)")' in target["expr"] for target in panel["targets"])
    ]


@pytest.mark.parametrize(("label", "board"), [("worker", "worker"), ("queue", "queues")])
def test_a_worker_and_a_queue_has_one_colour_a_short_name_and_a_way_to_its_dashboard(label: str, board: str) -> None:
    """The colour comes from the name on every panel; the link shows the whole name and keeps what is chosen."""
    found = _lines_per(label)
    assert len(found) > 5
    for where, panel in found:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["color"]["mode"] == "palette-classic-by-name", (where, panel["title"])
        assert not panel.get("transformations"), "Grafana would colour the line by one name, the legend by the other"
        assert "{{short}}" in {target["legendFormat"] for target in panel["targets"]}
        (links,) = (
            prop["value"]
            for override in panel["fieldConfig"]["overrides"]
            for prop in override["properties"]
            if prop["id"] == "links" and override["matcher"]["id"] == "byType"
        )
        # The foot of the tooltip says "Click to open " and this: the whole name.
        assert (links[0]["title"], links[0]["oneClick"]) == (f"${{__field.labels.{label}}}", True)
        assert links[0]["url"].startswith(f"/d/jobtelemetry-{board}?${{__url_time_range}}&${{datasource:queryparam}}")


def test_error_types_and_reasons_are_told_apart_and_look_like_what_they_are(tmp_path: Path) -> None:
    """A colour for each rank: never green for an error, never red for a reason; and each type is in one query."""
    never = {"Errors by type": ("green", "blue"), "Cancellations by reason": ("red", "green", "orange")}
    panels = {one["title"]: one for one in _panels() if one["title"] in never}
    for title, wrong in never.items():
        colors = [
            one["properties"][0]["value"]["fixedColor"]
            for one in panels[title]["fieldConfig"]["overrides"]
            if one["matcher"]["id"] == "byFrameRefID"
        ]
        assert len(colors) == len(set(colors)) == len(panels[title]["targets"]) == 6
        assert not [color for color in colors for one in wrong if one in color]
    names = "abcdefgh"
    series = 'jobtelemetry_job_errors_total{{job="jobtelemetry", worker="w", queue="q", error_type="{name}"}}'
    growth = {name: min(rank, 6) for rank, name in enumerate(reversed(names), start=1)}  # three share the first rank
    expected = [("c",), ("b",), ("a",), ("d",), ("e",), ("f", "g", "h")]
    inputs = [{"series": series.format(name=name), "values": f"0+{growth[name]}x80"} for name in names]
    inputs.append({"series": 'jobtelemetry_up{job="jobtelemetry"}', "values": "1x80"})
    exprs = [_filled(one["expr"]) for one in panels["Errors by type"]["targets"]]
    shown = " or ".join(f'label_replace(count({expr}), "at", "{at}", "", "")' for at, expr in enumerate(exprs))
    every = " or ".join(f"({expr})" for expr in exprs)
    samples = [{"labels": f'{{at="{at}"}}', "value": len(some)} for at, some in enumerate(expected)]
    tests = [{"expr": shown, "eval_time": "19m", "exp_samples": samples}]
    tests.append({"expr": f"count({every})", "eval_time": "19m", "exp_samples": [{"labels": "{}", "value": 8}]})
    document = {"rule_files": [], "tests": [{"interval": "15s", "input_series": inputs, "promql_expr_test": tests}]}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_run_times_and_waits_are_drawn_in_minutes_where_they_take_minutes(tmp_path: Path) -> None:
    """Of the two sets of queries, one in seconds and one in minutes, exactly one has data, by what there is to see."""
    panels = [
        one
        for one in _panels()
        if one["type"] == "timeseries"
        and one["fieldConfig"]["defaults"].get("unit") == "s"
        and one["title"] != "Time to read Redis"
    ]
    assert {panel["title"] for panel in panels} >= {"Run time, percentiles", "Wait, p95", "Run time, p95"}
    for panel in panels:
        in_minutes = {
            one["matcher"]["options"]
            for one in panel["fieldConfig"]["overrides"]
            if one["matcher"]["id"] == "byFrameRefID" and {"id": "unit", "value": "suffix:min"} in one["properties"]
        }
        assert len(in_minutes) * 2 == len(panel["targets"]), panel["title"]
    (panel,) = (one for one in panels if one["title"] == "Run time, percentiles")
    seconds, minutes = (_filled(one["expr"]) for one in panel["targets"] if one["legendFormat"] == "p50")
    tests = []
    for bound, in_seconds, in_minutes in (
        ("60", [{"labels": '{job="jobtelemetry"}', "value": 30}], []),
        ("240", [], [2]),
    ):
        series = f'jobtelemetry_job_duration_seconds_bucket{{job="jobtelemetry", worker="w", queue="q", le="{bound}"}}'
        more = series.replace(f'le="{bound}"', 'le="+Inf"')
        samples = [{"labels": '{job="jobtelemetry"}', "value": value} for value in in_minutes]
        tests.append(
            {
                "interval": "15s",
                "input_series": [{"series": one, "values": "0+1x80"} for one in (series, more)],
                "promql_expr_test": [
                    {"expr": seconds, "eval_time": "19m", "exp_samples": in_seconds},
                    {"expr": minutes, "eval_time": "19m", "exp_samples": samples},
                ],
            }
        )
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    done = promtool("test", "rules", tmp_path / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_red_numbers_of_the_overview_lead_to_where_they_can_be_understood() -> None:
    """Each figure that can be red, and each number of the summary that is, has a link that keeps what is chosen."""
    board = _BOARDS["grafana/dashboards/jobtelemetry-overview.json"]
    panels = {one["title"]: one for one in board["panels"]}
    figures = [one for one in board["panels"] if one["type"] == "stat" and "red" in json.dumps(one["fieldConfig"])]
    assert len(figures) == 6
    for panel in figures:
        assert "/d/jobtelemetry-" in _link(panel["fieldConfig"]["overrides"][0]), panel["title"]
    assert panels["Alerts that fire"]["id"] == 10
    assert _link(panels["Alerts"]["fieldConfig"]["overrides"][0]).endswith("&viewPanel=panel-10")
    columns = {one["matcher"]["options"]: one for one in panels["Summary"]["fieldConfig"]["overrides"]}
    for column in ("Failure", "Discard", "Success"):
        assert "&var-worker=${__data.fields.Worker}" in _link(columns[column])


def _link(override: dict[str, Any]) -> str:
    (url,) = (one["value"][0]["url"] for one in override["properties"] if one["id"] == "links")
    return str(url)


def _filled(expr: str) -> str:
    """With Grafana's variables as a dashboard of ten minutes fills them in."""
    for variable, value in {
        "$__rate_interval": "1m",
        "$__range": "10m",
        "$__interval_ms": "30000",
        "$__interval": "30s",
    }.items():
        expr = expr.replace(variable, value)
    return re.sub(r"\$\w+", ".*", expr)


def _panels() -> list[dict[str, Any]]:
    return [panel for board in _BOARDS.values() for panel in board["panels"] if panel["type"] != "row"]


def test_long_names_are_short_in_legends() -> None:
    """Of a long dotted name the last two parts are left; a short one, and one without dots, stay as they are."""
    expr = _lines_per("worker")[0][1]["targets"][0]["expr"]
    put, pattern = re.findall(r'"short", "([^"]+)", "worker", "([^"]+)"\)', expr)[-1]
    pattern, put = pattern.replace("\\\\", "\\"), put.replace("$1", r"\1")

    def short(name: str) -> str:
        return re.sub(f"^(?:{pattern})$", put, name)

    assert short("cinema.scraping.jobs.process_showtime") == "…jobs.process_showtime"
    for name in ("cinema.jobs.process_showtime", "a" * 60, "default"):
        assert short(name) == name
    assert not [
        (panel["title"], label)
        for panel in _panels()
        for target in panel.get("targets", ())
        for label in ("worker", "queue")
        if panel["type"] == "timeseries" and target["legendFormat"] == f"{{{{{label}}}}}"
    ]


def test_legends_have_no_series_that_is_all_zero() -> None:
    """What is 0 all the time is drawn and not listed, on every panel with lines."""
    for board in _BOARDS.values():
        for panel in board["panels"]:
            if panel["type"] == "timeseries":
                matchers = [override["matcher"] for override in panel["fieldConfig"]["overrides"]]
                assert {"id": "byValue", "options": {"reducer": "allIsZero", "op": "gte", "value": 0}} in matchers


def test_every_name_of_a_worker_and_a_queue_in_a_table_leads_to_its_dashboard() -> None:
    """Links keep the data source and every variable of the dashboard, but for the one that they choose."""
    boards = {"Worker": ("worker", "worker"), "Stage": ("worker", "worker"), "Queue": ("queues", "queue")}
    seen = []
    for board in _BOARDS.values():
        names = {one["name"] for one in board["templating"]["list"]}
        for panel in (panel for panel in board["panels"] if panel["type"] == "table"):
            keys = panel["transformations"][1]["options"]["renameByName"].values()
            overrides = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
            for heading in boards.keys() & set(keys):
                (links,) = (prop["value"] for prop in overrides[heading] if prop["id"] == "links")
                url, (place, label) = links[0]["url"], boards[heading]
                assert f"/d/jobtelemetry-{place}?" in url
                assert f"var-{label}=${{__value.raw}}" in url
                assert {name for name in names - {label} if f"${{{name}:queryparam}}" not in url} == set()
                seen.append((board["uid"], heading))
    assert {
        ("jobtelemetry-overview", "Worker"),
        ("jobtelemetry-pipeline", "Stage"),
        ("jobtelemetry-queues", "Queue"),
    } <= set(seen)


@pytest.mark.parametrize("board", _BOARDS.values(), ids=lambda board: board["uid"])
def test_deploys_are_lines_at_their_moments(board: dict[str, Any]) -> None:
    """The value of the series is the moment, in milliseconds."""
    (deploys,) = (one for one in board["annotations"]["list"] if one["name"] == "Deploys")
    assert deploys["useValueForTime"] is True
    assert deploys["titleFormat"] == "{{version}}"
    assert deploys["expr"].startswith("1000 * max by (version) (jobtelemetry_deploy_timestamp_seconds{")


def test_the_compose_file_mounts_the_tested_configuration() -> None:
    """Every file that the stack mounts is in the repository."""
    folder = _ROOT / "deploy" / "compose"
    services = yaml.safe_load((folder / "compose.yml").read_text())["services"]
    mounts = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    paths = [folder / mount for mount in mounts if mount.startswith(".")]
    assert paths
    assert all(path.exists() for path in paths)
