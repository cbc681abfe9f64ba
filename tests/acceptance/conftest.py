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

ROWS = frozenset(range(1, 42))
#: Rows by worker class; a row that no worker has a part in is one of "any".
Cell = tuple[int, str]
_right: set[Cell] = set()
_wrong: set[Cell] = set()
_passed: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here says to which row it belongs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            rows = [row for mark in item.iter_markers("row") for row in mark.args]
            if not rows:
                raise pytest.UsageError(f"{item.nodeid} needs @pytest.mark.row(number)")
            callspec = getattr(item, "callspec", None)
            kind = callspec.params.get("kind", "any") if callspec is not None else "any"
            item.user_properties.append(("cells", [[row, kind] for row in rows]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which rows hold."""
    cells = dict(report.user_properties).get("cells")
    if isinstance(cells, list):
        about = {(row, kind) for row, kind in cells}
        if report.failed:
            _wrong.update(about)
        elif report.when == "call" and report.passed:
            _right.update(about)
            _passed.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much of the truth table is true."""
    if not _right | _wrong:
        return
    rows = ROWS & ({row for row, _ in _right} - {row for row, _ in _wrong})
    seen, right = _right | _wrong, _right - _wrong
    line = (
        f"truth table on RQ {metadata.version('rq')}: {len(rows)} of {len(ROWS)} rows, "
        f"{len(right)} of {len(seen)} rows by worker class right, in {len(_passed)} tests"
    )
    if missing := sorted(ROWS - rows):
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
