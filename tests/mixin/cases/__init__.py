"""Unit tests of the alerts: per alert at least one that fires and one that stays quiet."""

from __future__ import annotations

from mixin.cases import burn_rates, jobs, past, queues, situations, slo, telemetry
from mixin.series import Case

CASES: tuple[Case, ...] = (
    *slo.CASES,
    *burn_rates.CASES,
    *jobs.CASES,
    *past.CASES,
    *queues.CASES,
    *telemetry.CASES,
    *situations.CASES,
)
