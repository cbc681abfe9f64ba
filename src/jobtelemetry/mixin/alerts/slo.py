"""Alerts on the error budget: jobs that were meant to succeed and were discarded.

Cancelled and stopped executions are in neither part of the ratio, and a failure that RQ retries is not a job's end. So
neither a storm of cancellations nor a retry can page.
"""

from __future__ import annotations

from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import BurnRate
from jobtelemetry.mixin.durations import spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.mixin.rules import Alert
from jobtelemetry.outcomes import State


def alerts(q: PromQL) -> tuple[Alert, ...]:
    """The burn-rate alerts, and the one for workers that have too little traffic for a ratio."""
    return (*(budget_burn(q, rate) for rate in q.config.reachable_burn_rates), discarded_low_traffic(q))


def budget_burn(q: PromQL, rate: BurnRate) -> Alert:
    """The error budget of a worker burns too fast over a long and a short window."""
    threshold = f"{rate.factor:g} * {1 - q.config.objective:.6g}"
    jobs = f"sum by ({q.by('worker')}) ({names.jobs_increase(rate.long)})"
    return Alert(
        "JobErrorBudgetBurn",
        f"{names.discard_ratio(rate.long)} > {threshold}\n"
        f"and {names.discard_ratio(rate.short)} > {threshold}\n"
        f"and {jobs} >= {q.config.burn_min_jobs}",
        rate.severity,
        "Jobs of a worker are discarded faster than its error budget allows.",
        "{{ $value | humanizePercentage }} of the jobs of {{ $labels.worker }} in the last "
        f"{spoken(rate.long)} were discarded; the objective of {q.config.slo:g} % allows {100 - q.config.slo:.3g} %, "
        f"so the budget burns at more than {rate.factor:g} times its rate.",
        Board.HEALTH,
        rate.hold,
        ("worker",),
        {"long_window": rate.long, "short_window": rate.short},
    )


def discarded_low_traffic(q: PromQL) -> Alert:
    """A worker that rarely runs has lost a job for good."""
    window = q.config.low_traffic_window
    increase = names.jobs_increase(window)
    return Alert(
        "JobDiscardedLowTraffic",
        f"sum by ({q.by('worker')}) ({increase}{{{in_state(State.DISCARD)}}}) >= {q.config.low_traffic_discards}\n"
        f"and sum by ({q.by('worker')}) ({increase}) < {q.config.burn_min_jobs}",
        "ticket",
        "A job of a worker with little traffic was discarded.",
        f"{{{{ $value }}}} job(s) of {{{{ $labels.worker }}}} were discarded in the last {spoken(window)}. It ends "
        f"fewer than {q.config.burn_min_jobs} jobs in that time, too few for a ratio.",
        Board.WORKER,
        variables=("worker",),
    )
