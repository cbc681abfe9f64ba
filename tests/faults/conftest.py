"""How many faults were survived, in the test run's summary."""

from __future__ import annotations

import pytest

survived: list[int] = []
injected: list[int] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it."""
    if injected:
        terminalreporter.write_line(f"faults inside hooks: {sum(survived)} survived of {sum(injected)} injected")
