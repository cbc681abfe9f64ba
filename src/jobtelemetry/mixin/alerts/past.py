"""Alerts on what is slower, or more, than it used to be: nobody is woken by them."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import BurnRate
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.rules import Alert

#: From this part of discards on, the alert on the error budget tells of the failures.
_DISCARDED = 0.1


def alerts(q: PromQL) -> tuple[Alert, ...]:
    """All alerts of this group."""
    return (
        retry_storm(q),
        run_time_regressed(q),
        flooded(q),
        *(jobs_start_late(q, rate) for rate in q.config.latency_burn_rates),
        drains_too_slowly(q),
    )


def retry_storm(q: PromQL) -> Alert:
    """A large part of the executions fails and succeeds later, which no budget shows."""
    config = q.config
    window = config.retry_window
    ratio, executions = names.failure_ratio(window), names.increase("worker", contract.JOB_EXECUTIONS, window)
    limited = names.increase("worker", contract.JOB_RATE_LIMITED, window)
    return Alert(
        "JobRetryStorm",
        f"{ratio} > {config.retry_ratio:g} and {executions} >= {config.retry_min_executions}\n"
        f"unless {ratio} < {names.failure_baseline(window)} + {config.retry_rise:g}\n"
        f"unless {names.discard_ratio(config.low_traffic_window)} > {_DISCARDED:g}\n"
        f"unless {limited} > 0.5 * {ratio} * {executions}",
        "ticket",
        "A large part of a worker's executions fails and is tried again.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.worker }} in the last "
        f"{spoken(window)} failed and will be tried again: {config.retry_rise:.0%} more than at the same hours before, "
        "or nothing is known of those.",
        Board.WORKER,
        config.retry_hold,
        ("worker",),
    )


def run_time_regressed(q: PromQL) -> Alert:
    """Executions take far longer than at the same hours before."""
    config = q.config
    window = config.regression_window

    def figure(which: str) -> str:
        return names.run_time(which, window)

    return Alert(
        "JobRunTimeRegressed",
        f"({figure('mean')} > {config.regression_mean_factor:g} * {figure('mean_before')}\n"
        f" or {figure('p95')} > {config.regression_p95_factor:g} * {figure('p95_before')})\n"
        f"and {figure('count')} >= {config.regression_min_executions}\n"
        f"and {figure('p95')} >= {config.regression_min_seconds:g}",
        "ticket",
        "A worker's executions take far longer than they used to.",
        "Executions of {{ $labels.worker }} took {{ $value | humanizeDuration }} in the last "
        f"{spoken(window)}: the mean is more than {config.regression_mean_factor:g} times, or the p95 more than "
        f"{config.regression_p95_factor:g} times, that of the same hours {spoken(config.regression_baselines[0])} "
        "before.",
        Board.WORKER,
        config.regression_hold,
        ("worker",),
    )


def flooded(q: PromQL) -> Alert:
    """Far more jobs of a worker are enqueued than ever before."""
    config = q.config
    rate = names.enqueue_rate(config.flood_window)
    return Alert(
        "JobFlooded",
        f"{rate} * {seconds(config.flood_window)} >= {config.flood_min_jobs}\n"
        f"and {rate} > {config.flood_factor:g} * {names.enqueue_most(config.flood_past_window)}",
        "ticket",
        "Far more jobs of a worker are enqueued than ever.",
        f"About {{{{ $value | humanize }}}} jobs of {{{{ $labels.worker }}}} were enqueued in the last "
        f"{spoken(config.flood_window)}: more than {config.flood_factor:g} times as fast as at any time in "
        f"{spoken(config.flood_past_window)}.",
        Board.WORKER,
        variables=("worker",),
    )


def jobs_start_late(q: PromQL, rate: BurnRate) -> Alert:
    """The budget of jobs that start late burns too fast, and did not at the same hours before."""
    config = q.config
    allowed = f"{rate.factor * (1 - config.latency_slo / 100):.6g}"
    long = names.late_ratio(rate.long)
    before = " or ".join(f"{long} offset {then} > {allowed}" for then in config.baselines)
    return Alert(
        "QueueJobsStartLate",
        f"{long} > {allowed}\nand {names.late_ratio(rate.short)} > {allowed}\n"
        f"and {names.starts(rate.long)} >= {config.latency_min_jobs}\nunless ({before})",
        rate.severity,
        "Too many jobs of a queue start late.",
        "{{ $value | humanizePercentage }} of the jobs of queue {{ $labels.queue }} in the last "
        f"{spoken(rate.long)} waited longer than {spoken(config.latency_target)}; the objective of "
        f"{config.latency_slo:g} % allows {100 - config.latency_slo:.3g} %. At the same hours before it was better.",
        Board.QUEUES,
        rate.hold,
        ("queue",),
        {"long_window": rate.long, "short_window": rate.short},
    )


def drains_too_slowly(q: PromQL) -> Alert:
    """A queue grows, and at the present rate it takes long to serve what waits."""
    config = q.config
    window = config.drain_window
    return Alert(
        "QueueDrainsTooSlowly",
        f"{names.drain(window)} > {seconds(config.drain_max_age)}\n"
        f"and {names.WAITING} - {names.WAITING} offset {window} >= {config.drain_min_jobs}\n"
        f"unless {names.WAITING} <= {names.WAITING_BEFORE}",
        "ticket",
        "A queue grows faster than it is served.",
        "At the rate of the last "
        f"{spoken(window)} it takes {{{{ $value | humanizeDuration }}}} to serve the jobs that wait on queue "
        f"{{{{ $labels.queue }}}}, and they become more: at least {config.drain_min_jobs} in that time.",
        Board.QUEUES,
        config.drain_hold,
        ("queue",),
    )
