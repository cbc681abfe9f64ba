"""A pytest plugin for RQ's tests: writes every test's outcome as it is known and, if asked, instruments RQ.

Errors that jobtelemetry's hooks swallow are written too, from forked work-horses as well: RQ's tests would not notice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

INSTRUMENT = "JOBTELEMETRY_TESTS_INSTRUMENT"
REPORT = "JOBTELEMETRY_TESTS_REPORT"

_SEVERITY = {"passed": 0, "skipped": 1, "failed": 2}
_worst: dict[str, str] = {}


def _write(**line: Any) -> None:
    report = os.open(Path(os.environ[REPORT]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(report, json.dumps(line).encode() + b"\n")
    os.close(report)


def pytest_configure(config: pytest.Config) -> None:
    """Before any of RQ's test modules is imported."""
    if not os.environ.get(INSTRUMENT):
        return
    import jobtelemetry
    from jobtelemetry.rq.runtime import Runtime

    note_error = Runtime.note_error

    def note_and_write(self: Runtime, hook: str, error: BaseException | str, number: int = 1) -> None:
        _write(hook=hook, error=repr(error), during=os.environ.get("PYTEST_CURRENT_TEST", ""))
        note_error(self, hook, error, number)

    Runtime.note_error = note_and_write  # type: ignore[method-assign]
    jobtelemetry.instrument()


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test that never ends is known by this line."""
    _write(test=nodeid, outcome="unfinished")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Setup, call and teardown each report; the worst is the test's outcome."""
    _worst[report.nodeid] = max(_worst.get(report.nodeid, "passed"), report.outcome, key=_SEVERITY.__getitem__)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """The outcome is known."""
    _write(test=nodeid, outcome=_worst.get(nodeid, "failed"))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that cannot be imported counts as a failed test."""
    if report.failed:
        _write(test=report.nodeid, outcome="failed")


def pytest_unconfigure() -> None:
    """All tests ran. The process may still wait for a worker that a failed test left running."""
    _write(finished=True)
