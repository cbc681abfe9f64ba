"""Every alert has a runbook whose commands run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.mixin import alerts
from jobtelemetry.mixin.config import MixinConfig
from support.needed import needed

_ROOT = Path(__file__).parents[2]
_RUNBOOKS = _ROOT / "docs" / "runbooks"
_SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "False alarms"]
_COMMANDS = sorted(
    {
        line
        for page in _RUNBOOKS.glob("*.md")
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.strip().splitlines()
    }
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real server."""
    with EmbeddedServer() as server:
        yield server.url


def test_every_alert_has_a_runbook_and_no_runbook_is_left_over() -> None:
    """Alerts and pages are the same set."""
    assert {page.stem for page in _RUNBOOKS.glob("*.md")} == {alert.name for alert in alerts.every(MixinConfig())}


@pytest.mark.parametrize("page", sorted(_RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_have_their_sections(page: Path) -> None:
    """Meaning, impact, diagnosis with a query and a command, mitigation, false alarms: none is empty."""
    text = page.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])
    assert "```promql" in text
    assert "```sh" in text


@pytest.mark.parametrize("command", _COMMANDS)
def test_commands_run(command: str, url: str) -> None:
    """Each command of a runbook succeeds against a real server."""
    words = [word.replace("$REDIS_URL", url) for word in shlex.split(command)]
    if words[0] == "redis-cli":
        socket = url.removeprefix("unix://")
        words = [_found("redis-cli", "valkey-cli"), "-s", socket, *words[3:]]
    else:
        words[0] = _found(words[0])
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=_ROOT, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _found(*names: str) -> str:
    beside = [str(Path(sys.executable).parent / name) for name in names]
    found = next((path for name in (*beside, *names) if (path := shutil.which(name))), None)
    return found or needed(names[0])
