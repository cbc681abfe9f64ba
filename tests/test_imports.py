"""Imports run downwards only: every room stands in a contract, and a contract catches what it forbids."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.package_copy import PackageCopy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ROOT = Path(__file__).parents[1]
_SETTINGS = _ROOT / "pyproject.toml"
_CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads(_SETTINGS.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}
_LAYERS = "imports run downwards only"
_RQ = "only commands, demo and testing know RQ and the hooks"

_ROOMS = sorted(
    path.stem
    for path in (_ROOT / "src" / "jobtelemetry").iterdir()
    if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
)
#: Who may know the hooks, and what each of them may not import.
_KNOWING = {
    "cli": "jobtelemetry.__main__",
    "demo": "jobtelemetry.cli",
    "pytest_plugin": "jobtelemetry.cli",
    "rq": "jobtelemetry.exporter",
    "testing": "jobtelemetry.cli",
}


def lint(copy: PackageCopy) -> str:
    """What the linter says of a copy; empty where it has nothing to say against it."""
    ran = copy.python(
        *("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
        *("--config", str(_SETTINGS), "--no-cache"),
        COLUMNS="200",
    )
    assert "Contracts:" in ran.stdout or ran.returncode, ran.stderr
    return ran.stdout + ran.stderr if ran.returncode else ""


def test_the_package_as_it_is_breaks_no_contract(tmp_path: Path) -> None:
    """A copy without a change passes, so what fails below fails for the change."""
    assert lint(PackageCopy(tmp_path)) == ""


@pytest.mark.parametrize("room", [room for room in _ROOMS if room != "__main__"])
def test_a_forbidden_import_is_caught(tmp_path: Path, room: str) -> None:
    """In every room, down to the smallest, one import of what stands above it is enough."""
    forbidden = _KNOWING.get(room, "jobtelemetry.rq")
    copy = PackageCopy(tmp_path)
    file = f"{room}/__init__.py" if (tmp_path / "jobtelemetry" / room).is_dir() else f"{room}.py"
    copy.change(file, "", f"\nimport {forbidden}\n")
    said = lint(copy)
    assert "BROKEN" in said
    assert f"jobtelemetry.{room} -> {forbidden}" in said


def test_an_import_of_rq_itself_is_caught(tmp_path: Path) -> None:
    """Also deep inside a room, and inside a function."""
    copy = PackageCopy(tmp_path)
    copy.change("store/keys.py", "", "\ndef job_class():\n    from rq.job import Job\n\n    return Job\n")
    said = lint(copy)
    assert f"{_RQ} BROKEN" in said
    assert "jobtelemetry.store.keys -> rq" in said


def test_a_sink_that_imports_another_is_caught(tmp_path: Path) -> None:
    """Each sink is a consumer of its own."""
    copy = PackageCopy(tmp_path)
    copy.change("sinks/logs.py", "", "\nfrom jobtelemetry.sinks import sentry\n")
    assert "sinks never import each other BROKEN" in lint(copy)


def test_a_new_room_has_to_find_its_place(tmp_path: Path) -> None:
    """A module that no layer has is refused, whatever it imports."""
    copy = PackageCopy(tmp_path)
    copy.change("attic.py", "", '"""A new room."""\n')
    assert "attic" in lint(copy)


def test_every_room_stands_in_every_contract_that_is_about_all() -> None:
    """The layers have each room once; those who may not know RQ are all but those who do."""
    layers = _CONTRACTS[_LAYERS]
    assert layers["exhaustive"]
    assert sorted(room for layer in layers["layers"] for room in layer.split(" | ")) == _ROOMS
    ignorant = {module.removeprefix("jobtelemetry.") for module in _CONTRACTS[_RQ]["source_modules"]}
    assert ignorant == set(_ROOMS) - set(_KNOWING) - {"__main__"}
