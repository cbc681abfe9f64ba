"""How many faults were survived, in the test run's summary."""

from __future__ import annotations

import pytest

_faults: list[list[int]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what a sweep over all functions found."""
    found = dict(report.user_properties).get("faults")
    if report.when == "call" and isinstance(found, list):
        _faults.append(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it."""
    if _faults:
        survived, injected = map(sum, zip(*_faults, strict=True))
        terminalreporter.write_line(f"faults inside hooks: {survived} survived of {injected} injected")
