"""VictoriaMetrics takes the same rules: vmalert accepts the files, and the database every expression."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from drills.processes import Process, free_port
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from support.needed import needed
from support.waiting import eventually


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The rule files with the defaults."""
    written = build(MixinConfig(), tmp_path_factory.mktemp("mixin"))
    return [path for path in written if path.suffix == ".yml"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """A VictoriaMetrics."""
    url = f"127.0.0.1:{free_port()}"
    options = (f"-httpListenAddr={url}", f"-storageDataPath={tmp_path / 'data'}")
    server = Process(tmp_path / "log", needed("victoria-metrics"), *options)

    def healthy() -> bool:
        try:
            with urlopen(f"http://{url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        eventually(healthy, "VictoriaMetrics", 60)
        yield f"http://{url}"
    finally:
        server.kill()


def test_vmalert_accepts_the_rules(rules: list[Path]) -> None:
    """``vmalert -dryRun`` finds no fault in groups, expressions and templates."""
    command = [needed("vmalert"), "-dryRun", "-rule.validateTemplates", *(f"-rule={path}" for path in rules)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_victoriametrics_evaluates_every_expression(rules: list[Path], database: str) -> None:
    """None is refused."""
    for path in rules:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                try:
                    with urlopen(f"{database}/api/v1/query?query={quote(rule['expr'])}", timeout=30) as answer:
                        assert json.load(answer)["status"] == "success", name
                except HTTPError as error:
                    pytest.fail(f"{name}: {error.read().decode()}")
