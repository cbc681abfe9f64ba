"""The documentation speaks of code that is there, and what it shows runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import click
import pytest
import yaml

import jobtelemetry
from jobtelemetry import testing
from jobtelemetry.cli import COMMANDS, main
from jobtelemetry.exporter.web_config import parse
from jobtelemetry.mixin.config import MixinConfig
from support.needed import needed
from support.servers import TcpServer

_ROOT = Path(__file__).parents[1]
_SOURCES = _ROOT / "src" / "jobtelemetry"
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_ROOT.glob("*.md"), *_DOCS.glob("*.md"), *_ROOT.glob("examples/*.md")])
_DEPLOY_FILES = [path for path in (_ROOT / "deploy").rglob("*") if path.is_file() and "grafana" not in path.parts]
_SCRIPTS = Path(sysconfig.get_path("scripts"))
#: Commands whose options are RQ's.
_RQS = {"worker", "worker-pool"}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    """A path such as ``rq/parent.py`` exists, and what is named behind a colon is in it."""
    for path, name in re.findall(r"((?:[a-z_]+/)+[a-z_]+\.(?:py|lua))(?:: (?:\w+\.)?(\w+)`)?", page.read_text()):
        source = next((root / path for root in (_SOURCES, _ROOT) if (root / path).is_file()), None)
        assert source is not None, f"{page.name} names {path}"
        assert not name or name in source.read_text(), f"{page.name} says {name} is in {path}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Every relative link and picture is in the repository."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text()):
        link = "".join(target)
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", [*_PAGES, *_DOCS.glob("runbooks/*.md")], ids=lambda page: page.stem)
def test_anchors_are_there(page: Path) -> None:
    """A link into a page leads to one of its headings."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", _prose(page)):
        other = (page.parent / target) if target else page
        if "://" not in target:
            assert anchor in _anchors(other), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_pictures_have_a_text(page: Path) -> None:
    """Who cannot see a picture is told what it shows."""
    for text in re.findall(r"!\[([^\]]*)\]", page.read_text()):
        assert len(text.split()) >= 3, f"{page.name}: {text!r}"


def test_every_page_is_in_the_menu() -> None:
    """A page that nobody can find is no documentation."""

    def pages(entry: object) -> set[str]:
        if isinstance(entry, str):
            return {entry}
        return set().union(*map(pages, entry.values() if isinstance(entry, dict) else entry))  # type: ignore[union-attr,call-overload]

    menu = pages(yaml.safe_load((_ROOT / "mkdocs.yml").read_text())["nav"])
    assert menu == {path.name for path in _DOCS.glob("*.md")}, "give the page a place in the nav of mkdocs.yml"


def test_every_public_name_is_explained() -> None:
    """The page of the Python names has each of them, and of the testing module's."""
    named = set(re.findall(r"`(\w+)[(`]", (_DOCS / "api.md").read_text()))
    assert set(jobtelemetry.__all__) | set(testing.__all__) <= named | {"__version__"}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """As it is built for its readers, with its search."""
    shutil.copytree(_DOCS, tmp_path / "docs")
    shutil.copy(_ROOT / "mkdocs.yml", tmp_path)
    command = [_SCRIPTS / "zensical", "build", "--strict"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    built = {path.parent.name for path in (tmp_path / "build").rglob("index.html")}
    assert {path.stem for path in _DOCS.glob("*.md")} - {"index"} <= built
    assert "exactly once" in (tmp_path / "build" / "site" / "search.json").read_text().lower()


_SNIPPETS = [
    pytest.param(page, number, code, id=f"{page.stem}-{number}")
    for page in _PAGES
    for number, code in enumerate(
        re.findall(r"^ *```python[^\n]*\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL), 1
    )
]


@pytest.mark.parametrize(("page", "number", "code"), _SNIPPETS)
def test_snippets_run(tcp: TcpServer, tmp_path: Path, page: Path, number: int, code: str) -> None:
    """Every piece of Python in the documentation runs as it stands, with a Redis where ``$REDIS_URL`` says."""
    tcp.start()
    program = tmp_path / f"{page.stem}_{number}.py"
    program.write_text(textwrap.dedent(code))
    environ = {**os.environ, "REDIS_URL": tcp.tcp_url}
    command = [sys.executable, "-W", "error", program]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 0, f"{page.name}\n{code}\n{ran.stderr}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_commands_can_be_typed(page: Path) -> None:
    """Every subcommand of ours, its options and its settings exist, in a block and within a sentence alike."""
    text = page.read_text()
    blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
    spans = re.findall(r"(?<!`)`(jobtelemetry [^`\n]+)`(?!`)", text)
    for line in [*blocks.replace("\\\n", " ").splitlines(), *spans]:
        found = re.search(r"(?:^|[\s/$])(jobtelemetry [a-z].*)", line.partition(" # ")[0].partition("|")[0])
        if found and "=python3" not in line and "-t jobtelemetry" not in line and "install" not in line:
            _check_command(shlex.split(found[1])[1:], f"{page.name}: {line.strip()}")


def _check_command(words: list[str], where: str) -> None:
    name, *rest = words
    assert name in COMMANDS, where
    command = main.get_command(click.Context(main), name)
    while isinstance(command, click.Group) and rest and rest[0] != "[OPTIONS]":
        name, *rest = rest
        assert name in command.commands, where
        command = command.commands[name]
    assert command is not None
    known = {opt for one in command.params for opt in one.opts}
    for word in rest:
        if word.startswith("--") and name not in _RQS:
            assert word.partition("=")[0] in known, f"{where} has no {word}"
    for setting in re.findall(r"--set (\S+=\S+)", " ".join(rest)):
        MixinConfig().with_settings([setting])


def test_every_setting_that_is_named_exists() -> None:
    """A variable of ours, in documentation, deployment and examples, is on the page of all settings."""
    known = set(re.findall(r"\w*JOBTELEMETRY_\w+", (_DOCS / "settings.md").read_text()))
    files = [*_PAGES, *_DOCS.glob("runbooks/*.md"), *_DEPLOY_FILES]
    for file in files:
        named = set(re.findall(r"\bJOBTELEMETRY_[A-Z_]+[A-Z]\b", file.read_text()))
        assert named <= known, f"{file.relative_to(_ROOT)} names {', '.join(named - known)}"


def test_receivers_are_taken_by_an_alertmanager(tmp_path: Path) -> None:
    """The page's receivers, put into the file that comes with us, are a configuration that amtool takes."""
    (snippet,) = re.findall(r"```yaml\n(.*?)```", (_DOCS / "alertmanager.md").read_text(), re.DOTALL)
    config = yaml.safe_load((_ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    names = {one["name"] for one in config["receivers"]}
    config |= yaml.safe_load(snippet)
    assert {one["name"] for one in config["receivers"]} == names
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    command = [needed("amtool"), "check-config", tmp_path / "alertmanager.yml"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The headings of a page as its site makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", heading) for heading in headings)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in plain}


def test_the_web_configuration_of_the_page_is_taken(tmp_path: Path) -> None:
    """The keys that the page shows are known, and its values can be used; its Prometheus can be configured so."""
    web, prometheus = re.findall(r"```yaml\n(.*?)```", (_DOCS / "security.md").read_text(), re.DOTALL)
    parsed = parse(yaml.safe_load(web), tmp_path)
    assert parsed.tls is not None
    assert parsed.users
    for name in re.findall(r"(?:ca|cert|key)_file: ([\w.-]+)", prometheus):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(prometheus)
    command = [needed("promtool"), "check", "config", "--syntax-only", tmp_path / "prometheus.yml"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_lines_of_the_unit_are_those_that_are_shipped() -> None:
    """What the page says of systemd's way to end a pool stands in the unit."""
    (lines,) = re.findall(r"```ini\n(.*?)```", (_DOCS / "deploy.md").read_text(), re.DOTALL)
    unit = (_ROOT / "deploy" / "systemd" / "rq-pool.service").read_text().splitlines()
    assert set(lines.split()) <= set(unit)
