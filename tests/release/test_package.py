"""What is published works without the repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import jobtelemetry
from jobtelemetry import runbooks
from release.wheel import APPLICATION, run
from support.servers import TcpServer

#: What installs packages or starts a dozen processes takes its time on a busy machine.
pytestmark = pytest.mark.timeout(480)
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that has the wheel and what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, wheel], check=True)
    yield folder / "bin"


def test_the_wheel_alone_records_and_serves(bare: Path, tcp: TcpServer, tmp_path: Path) -> None:
    """In an empty environment: help, a job, a scrape, a question, a runbook, and what an extra would bring."""
    tcp.start()
    tcp.client().flushall()
    assert "Exact telemetry" in run(bare / "jobtelemetry", "--help", cwd=tmp_path).stdout
    ran = run(bare / "python", "-W", "error", "-c", APPLICATION, tcp.tcp_url, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for function, state in (("getcwd", "completed"), ("remove", "discard")):
        assert re.search(rf'executions_total{{.*state="{state}",worker="\w+\.{function}"}} 1.0', ran.stdout), ran.stdout
    said = run(bare / "jobtelemetry", "jobs", "--json", "--redis-url", tcp.tcp_url, cwd=tmp_path)
    assert '"error_type": "FileNotFoundError"' in said.stdout
    assert run(bare / "jobtelemetry", "runbook", cwd=tmp_path).stdout.split() == runbooks.names()
    page = run(bare / "jobtelemetry", "runbook", "queuestalled", cwd=tmp_path).stdout
    assert page == (_ROOT / "docs" / "runbooks" / "QueueStalled.md").read_text()
    for command, extra in (("demo", "demo"), ("mixin build --out x", "mixin")):
        ran = run(bare / "jobtelemetry", *command.split(), cwd=tmp_path)
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
        assert f"jobtelemetry[{extra}]" in ran.stderr or sys.version_info < (3, 11)


def test_the_mixin_builds_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """With the extra, and without the repository, ``mixin build`` makes the files that are committed."""
    with zipfile.ZipFile(wheel) as package:
        package.extractall(tmp_path / "installed")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from jobtelemetry.cli import main; main()"
    words = ("-c", program, tmp_path / "installed", "mixin", "build", "--out", tmp_path / "made")
    ran = run(sys.executable, *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for path in (tmp_path / "made").rglob("*.*"):
        assert path.read_text() == (_ROOT / "deploy" / path.relative_to(tmp_path / "made")).read_text()


def test_the_wheel_has_what_it_needs_and_no_more(wheel: Path) -> None:
    """Scripts, the page's style, the demo's data, the types' marker and the runbooks; no tests."""
    with zipfile.ZipFile(wheel) as package:
        inside = set(package.namelist())
    source = _ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "egg-info" not in str(path)
    }
    assert wanted <= inside
    pages = {f"jobtelemetry/runbook_pages/{path.name}": path for path in (_ROOT / "docs" / "runbooks").glob("*.md")}
    assert {name.rpartition("/")[2] for name in pages} == {f"{name}.md" for name in runbooks.names()}
    with zipfile.ZipFile(wheel) as package:  # whose commands the tests of runbooks run
        assert all(package.read(name) == path.read_bytes() for name, path in pages.items())
    assert not [name for name in inside if not name.startswith(("jobtelemetry/", "jobtelemetry-"))]


def test_the_source_distribution_makes_the_same_wheel_as_the_repository(wheel: Path, tmp_path: Path) -> None:
    """Whoever builds from it gets what we publish: the same files with the same content."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=_ROOT, check=True)
    (other,) = tmp_path.glob("*.whl")
    contents = []
    for made in (wheel, other):
        with zipfile.ZipFile(made) as package:
            contents.append({name: package.read(name) for name in package.namelist()})
    assert contents[0] == contents[1]


def test_the_source_distribution_has_the_licence_and_all_that_tests_need(sdist: Path) -> None:
    """Whoever packages it for a distribution finds tests, documentation and deployment."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for path in (
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "tests/conftest.py",
        "docs/metrics.md",
        "examples/README.md",
    ):
        assert path in inside


def test_what_a_package_index_shows_is_whole_without_the_repository(wheel: Path) -> None:
    """No relative picture or link, one version, every supported Python, and the licence."""
    with zipfile.ZipFile(wheel) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".dist-info/METADATA"))
        facts = Parser().parsestr(package.read(name).decode())
        assert any(name.endswith("licenses/LICENSE") for name in package.namelist())
    text = str(facts.get_payload())
    assert "# jobtelemetry" in text
    assert not re.search(r"!\[|\]\((?!https://)", text)
    assert facts["Version"] == jobtelemetry.__version__
    assert facts["License-Expression"] == "MIT"
    supported = [one.rpartition(" ")[2] for one in facts.get_all("Classifier", []) if "Python :: 3." in one]
    assert supported == ["3.10", "3.11", "3.12", "3.13", "3.14"]  # those that it has been tried on
    assert facts["Requires-Python"] == ">=3.10"


def test_the_changelog_has_the_version_that_is_to_come() -> None:
    """Its newest heading is this version, with or without a date, or what is not yet released."""
    headings = re.findall(r"^## (.*)$", (_ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings
    assert headings[0].startswith((jobtelemetry.__version__, f"[{jobtelemetry.__version__}]", "Unreleased"))


def test_a_python_too_old_for_the_mixin_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Python 3.10 the remedy is another Python, and not an extra that would bring nothing."""
    from jobtelemetry import mixin
    from jobtelemetry.errors import MissingExtraError
    from jobtelemetry.mixin import build, config

    monkeypatch.delattr(mixin, "dashboards", raising=False)
    monkeypatch.setitem(sys.modules, "jobtelemetry.mixin.dashboards", None)
    monkeypatch.setattr(build.sys, "version_info", (3, 10, 13))
    with pytest.raises(MissingExtraError, match=r"needs Python 3\.11 or later.* this is 3\.10"):
        build.files(config.MixinConfig())
