"""Which endings Sentry is told of, and how loudly. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import State

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class ReportPolicy:
    """Sentry hears of what is wrong: the last failure always, an earlier one when it persists, a rate limit softly.

    Args:
        after_attempts: From which attempt on a failure that RQ will retry is reported.
        overrides: Worker label -> ``"never"``, ``"discard"`` or ``"always"``; stronger than what the job's own
            decorator says.
    """

    after_attempts: int = 3
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, event: ExecutionEvent) -> Level | None:
        """The level at which Sentry is told of an ending; ``None`` if it is not."""
        report = self.overrides.get(event.worker) or event.report
        if not event.outcome.state.failed or report == "never":
            return None
        if event.outcome.state is State.DISCARD:
            return "error"
        if event.rate_limited and report != "discard":
            return "warning"
        persists = event.attempt >= self.after_attempts or not event.attempt  # unknown: rather once too often
        return "error" if report == "always" or (persists and report != "discard") else None
