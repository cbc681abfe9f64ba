"""The growth of a counter in a window, against counting what happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from mixin.histories import STEP, History
from mixin.promtool import promtool

_RECORDING = "prometheus/rules/jobtelemetry-recording.yml"
_WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600}
_INCREASE = "worker_state:jobtelemetry_job_executions:increase"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("replicas", [1, 2])
def test_growth_is_exact_whatever_happens_to_a_counter(replicas: int, tmp_path: Path) -> None:
    """Counters that go back, are restored or emptied, appear, and are shown by replicas: what grew is what happened."""
    rules = tmp_path / "rules.yml"
    rules.write_text(files(MixinConfig(installation_labels=("cluster", "job")))[_RECORDING])
    histories = [History(f"c{seed}", seed, replicas) for seed in range(40)]
    tests = [
        {
            "expr": f"{told} - clamp({told}, {bounds[0]}, {bounds[1]})",
            "eval_time": f"{end * STEP}s",
            "exp_samples": [{"labels": "{}", "value": 0}],
        }
        for history in histories
        for window, length in _WINDOWS.items()
        for end in range(length // STEP + 5, 240, 13)
        if (bounds := history.within(end, length // STEP)) is not None
        for told in [f'(sum({_INCREASE}{window}{{cluster="{history.cluster}"}}) or vector(0))']
    ]
    assert len(tests) > 500
    document = {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": numbers}
                    for history in histories
                    for series, numbers in history.series().items()
                ],
                "promql_expr_test": tests,
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(document))
    ran = promtool("test", "rules", path)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[:6000]
