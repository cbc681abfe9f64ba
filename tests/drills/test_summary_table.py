"""The overview's summary table after the demo, through a real Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from drills.processes import Process, binary, free_port, python
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards.frame import scoped
from jobtelemetry.mixin.dashboards.overview import summary_columns
from support.waiting import eventually

_VARIABLES = {"$__range_s": "600", "$__range": "10m", "$__interval": "5s"}


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes a run of the demo."""
    demo_port, port = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "jobtelemetry", "static_configs": [{"targets": [f"127.0.0.1:{demo_port}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    demo = Process(
        tmp_path / "demo.log", *python("jobtelemetry", "demo", "--serve", "--listen", f"127.0.0.1:{demo_port}")
    )
    server = Process(
        tmp_path / "prometheus.log",
        binary("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    eventually(lambda: "Ctrl-C" in (tmp_path / "demo.log").read_text(), "the end of the demo", 240)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    demo.terminate()


@pytest.mark.timeout(300)
def test_the_summary_table_shows_the_demo_in_exact_integers(prometheus: str) -> None:
    """After the demo the table has 22, 40, 738 and 536, and nothing else, as whole numbers."""
    q = scoped(MixinConfig(), "queue", "worker", "source")
    columns = {column.name: column.expr for column in summary_columns(q)}

    def row(name: str) -> dict[str, float]:
        expr = columns[name]
        for variable, value in _VARIABLES.items():
            expr = expr.replace(variable, value)
        for label in ("queue", "worker", "source"):
            expr = expr.replace(f"${label}", ".*")
        with urlopen(f"{prometheus}/api/v1/query?query={quote(expr)}", timeout=10) as response:
            result = json.load(response)["data"]["result"]
        return {series["metric"]["worker"].rpartition(".")[2]: float(series["value"][1]) for series in result}

    expected = {"SyncJob": 1, "CinemaDateJob": 22, "MovieDetailJob": 40, "ShowtimeProcessJob": 738}
    eventually(lambda: row("Completed") == expected, f"{expected}, seen {row('Completed')}", 30)
    assert row("Cancelled") == dict.fromkeys(expected, 0) | {"ShowtimeProcessJob": 536}
    for state in ("Failure", "Discard", "Snoozed", "Stopped", "Running"):
        assert row(state) == dict.fromkeys(expected, 0)
    assert set(row("p95")) == set(row("Last completed")) == set(expected)
    assert row("Success") == dict.fromkeys(expected, 1)
    assert row("Match")["ShowtimeProcessJob"] == 738 / 1274
