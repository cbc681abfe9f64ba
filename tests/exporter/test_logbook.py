"""Failures that are kept so that no page reads the log from its beginning."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobtelemetry.exporter import logbook as module
from jobtelemetry.exporter.logbook import Logbook
from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.store.keys import Keys


class Log:
    """A log in memory that says how much of it was read."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.read = 0

    def add(self, number: int, state: State = State.DISCARD) -> None:
        """Entries a millisecond apart."""
        for _ in range(number):
            at = len(self.entries) + 1_000_000
            self.entries.append(LogEntry(f"{at}-0", f"job-{at}", "w", "q", state, ended_at=at / 1000))

    def newest_first(self, since: float | None) -> Iterator[LogEntry]:
        """As the real one does it."""
        for entry in reversed(self.entries):
            if since is not None and entry.recorded_at < since:
                return
            self.read += 1
            yield entry


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


@pytest.fixture
def logbook(log: Log, monkeypatch: pytest.MonkeyPatch) -> Logbook:
    """A logbook that reads at most 10 entries and keeps 8."""
    monkeypatch.setattr(module, "MOST_READ", 10)
    monkeypatch.setattr(module, "MOST_KEPT", 8)
    return Logbook(None, Keys(), log.newest_first)


def test_only_what_is_new_is_read(log: Log, logbook: Logbook) -> None:
    """The second look reads what came since the first, and all failures are there, the newest first."""
    log.add(3)
    assert len(logbook.look().entries) == 3
    log.read = 0
    log.add(1, State.COMPLETED)
    log.add(2)
    found = logbook.look()
    assert [entry.entry_id for entry in found.entries][:2] == ["1000005-0", "1000004-0"]
    assert (len(found.entries), found.since) == (5, 1000.0)
    assert log.read <= 4


def test_it_says_from_when_on_nothing_is_missing(log: Log, logbook: Logbook) -> None:
    """More than one look reads, or than is kept, moves the moment from which on all failures are known."""
    log.add(30)
    assert (len(logbook.look().entries), logbook.look().since) == (8, 1000.022)
    log.add(25, State.COMPLETED)
    found = logbook.look()
    assert (found.entries, found.since) == ((), 1000.045)


def test_an_empty_log_begins_anew(log: Log, logbook: Logbook) -> None:
    """After a flush nothing of what was is shown."""
    assert (logbook.look().entries, logbook.look().since) == ((), None)
    log.add(3)
    logbook.look()
    log.entries.clear()
    assert logbook.look().entries == ()
