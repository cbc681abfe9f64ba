"""The truth table's bookkeeping: which test is about which row, and how many rows are right."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import jobtelemetry
from support.nursery import Nursery
from support.servers import tcp_server
from support.stage import Theatre

ROWS = frozenset(range(1, 29))
_right: set[int] = set()
_wrong: set[int] = set()
_passed: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here says to which row it belongs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            rows = [row for mark in item.iter_markers("row") for row in mark.args]
            if not rows:
                raise pytest.UsageError(f"{item.nodeid} needs @pytest.mark.row(number)")
            item.user_properties.append(("rows", rows))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which rows hold."""
    rows = dict(report.user_properties).get("rows")
    if isinstance(rows, list):
        if report.failed:
            _wrong.update(rows)
        elif report.when == "call":
            _right.update(rows)
            _passed.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much of the truth table is true."""
    right = ROWS & (_right - _wrong)
    line = f"truth table on RQ {metadata.version('rq')}: {len(right)} of {len(ROWS)} rows right in {len(_passed)} tests"
    if missing := sorted(ROWS - right):
        line += f"; not right or not run: {', '.join(map(str, missing))}"
    terminalreporter.write_line(line)


@pytest.fixture
def durable(nursery: Nursery, tmp_path: Path) -> Iterator[Theatre]:
    """A server of one's own that keeps what it has acknowledged, whatever happens to it."""
    data = tmp_path / "data"
    data.mkdir()
    with tcp_server(appendonly="yes", appendfsync="always", dir=str(data)) as server:
        yield Theatre(server, nursery, tmp_path)
        jobtelemetry.uninstrument()
        nursery.clear()
