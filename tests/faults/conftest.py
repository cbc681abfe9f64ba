"""How many faults were survived, in the test run's summary."""

from __future__ import annotations

import pytest

from faults import score


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it."""
    if score.injected:
        line = f"faults inside hooks: {sum(score.survived)} survived of {sum(score.injected)} injected"
        terminalreporter.write_line(line)
