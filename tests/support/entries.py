"""Entries of the log, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry

NOW = 1_770_000_000.0


@pytest.fixture
def entry() -> Callable[..., LogEntry]:
    """``entry(job, state, at=seconds after NOW, **facts)``."""

    def make(job: str = "job", state: State = State.COMPLETED, at: float = 0.0, **facts: Any) -> LogEntry:
        facts = {"worker": "cinema.jobs.ShowtimeProcessJob", "queue": "showtimes", "ended_at": NOW + at} | facts
        return LogEntry(f"{round((NOW + at) * 1000)}-0", job, state=state, **facts)

    return make
