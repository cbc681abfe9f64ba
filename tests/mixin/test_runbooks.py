"""Every alert has a runbook whose commands run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtelemetry.mixin import alerts
from jobtelemetry.mixin.config import MixinConfig
from mixin.runbook_site import RunbookSite
from support.needed import needed
from support.servers import tcp_server

_RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
_PAGES = sorted(_RUNBOOKS.glob("*.md"))
_SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "False alarms"]
_PROGRAMS = ("curl", "jobtelemetry", "promtool", "python", "redis-cli", "rq")
every_page = pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunbookSite]:
    """A real installation, as the doctor wants it."""
    needed("curl")
    with tcp_server(appendonly="yes") as server, RunbookSite(tmp_path_factory.mktemp("site"), server) as site:
        yield site


def test_every_alert_has_a_runbook_and_no_runbook_is_left_over() -> None:
    """Alerts and pages are the same set."""
    assert {page.stem for page in _PAGES} == {alert.name for alert in alerts.every(MixinConfig())}


@every_page
def test_runbooks_have_their_sections(page: Path) -> None:
    """Meaning, impact, diagnosis with a query and a command, mitigation, false alarms: none is empty."""
    text = page.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])
    assert "```promql" in text
    assert "```sh" in text


@every_page
def test_commands_stand_in_blocks(page: Path) -> None:
    """A command with options is in a shell block, where it is run, and not within a sentence."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text())
    inline = [span for span in spans if span.startswith(_PROGRAMS) and re.search(r" -|\$|=", span)]
    assert not inline
    assert all(line.split()[0] in _PROGRAMS for line in commands(page))


@every_page
def test_variables_are_explained(page: Path) -> None:
    """What a command leaves open is said at the top of the diagnosis."""
    named = set(re.findall(r"\$([A-Z_]+)", "\n".join(commands(page))))
    explained = set(re.findall(r"`\$([A-Z_]+)` is ", page.read_text()))
    assert named == explained


@every_page
def test_commands_run(page: Path, site: RunbookSite) -> None:
    """Each command of a runbook succeeds as it stands, with the variables that the page names."""
    for program in {line.split()[0] for line in commands(page)} & {"promtool", "redis-cli"}:
        needed(program)
    if "$PROMETHEUS" in page.read_text():
        needed("prometheus")
        needed("prometheus-alertmanager")
        site.monitor()
    site.prepare(page.stem)
    for command in commands(page):
        site.run(command)
