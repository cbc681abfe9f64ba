"""Alerts on how executions end, and on those that do not."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.recording import ABANDONED, KILLED
from jobtelemetry.mixin.rules import Alert
from jobtelemetry.outcomes import ERROR_TYPES, Ending


def alerts(q: PromQL) -> tuple[Alert, ...]:
    """All alerts of this group."""
    return (
        work_horse_killed(q),
        abandoned(q),
        near_memory_limit(q),
        rate_limit_storm(q),
        match_ratio_dropped(q),
        new_cancel_reason(q),
        running_too_long(q),
        periodic_missed(q),
    )


def work_horse_killed(q: PromQL) -> Alert:
    """The process that ran a job died under it."""
    return Alert(
        "JobWorkHorseKilled",
        _deaths(q, KILLED),
        "ticket",
        "Work-horses die while they run a worker's jobs.",
        "{{ $value }} execution(s) of {{ $labels.worker }} on queue {{ $labels.queue }} lost their "
        f"work-horse in the last {spoken(q.config.deaths_window)}: killed by a signal (often the OOM killer) or ended "
        "by os._exit.",
        Board.WORKER,
        variables=("worker", "queue"),
    )


def abandoned(q: PromQL) -> Alert:
    """The RQ worker died, so that nobody reported the execution's end."""
    return Alert(
        "JobAbandoned",
        _deaths(q, ABANDONED),
        "ticket",
        "RQ workers die while they run a worker's jobs.",
        "{{ $value }} execution(s) of {{ $labels.worker }} on queue {{ $labels.queue }} were abandoned "
        f"in the last {spoken(q.config.deaths_window)}: their RQ worker is gone and reported no end.",
        Board.WORKER,
        variables=("worker", "queue"),
    )


def near_memory_limit(q: PromQL) -> Alert:
    """A job takes nearly all the memory that there is for it: the next larger one is killed.

    The peak is that of the hours in which it ran last; who has not run since is left alone.
    """
    config = q.config
    by, window = q.by("worker", "queue"), config.memory_window
    peak = f"max by ({by}) ({q.raw(contract.JOB_PEAK_MEMORY)})"
    limit = f"min by ({q.by('queue')}) ({q.raw(contract.JOB_MEMORY_LIMIT)})"
    cpu = q.raw(contract.JOB_CPU)
    return Alert(
        "JobNearMemoryLimit",
        f"{peak}\n/ on ({q.by('queue')}) group_left () {limit} >= {config.memory_ratio:g}\n"
        f"unless (max by ({by}) (changes({cpu}[{window}])) == 0 "
        f"and max by ({by}) (present_over_time({cpu}[{window}] offset {window})))",
        "ticket",
        "A worker's jobs take nearly all the memory that there is for them.",
        "An execution of {{ $labels.worker }} on queue {{ $labels.queue }} took {{ $value | humanizePercentage }} of "
        "the memory that a job can take before its control group is full. The next larger one is killed.",
        Board.WORKER,
        variables=("worker", "queue"),
    )


def rate_limit_storm(q: PromQL) -> Alert:
    """Somebody else's limit turns a large part of the executions away."""
    config = q.config
    window = config.rate_limit_window
    limited = names.increase("worker", contract.JOB_RATE_LIMITED, window)
    ended = names.increase("worker", contract.JOB_EXECUTIONS, window)
    return Alert(
        "JobRateLimitStorm",
        f"{limited} >= {config.rate_limit_count}\nand {limited} / {ended} >= {config.rate_limit_ratio:g}",
        "ticket",
        "A worker runs into a rate limit again and again.",
        f"{{{{ $value }}}} executions of {{{{ $labels.worker }}}} ended at a rate limit in the last {spoken(window)}, "
        f"at least {config.rate_limit_ratio:.0%} of all.",
        Board.WORKER,
        variables=("worker",),
    )


def match_ratio_dropped(q: PromQL) -> Alert:
    """Far more executions than at the same hours before are cancelled."""
    config = q.config
    window = config.match_window
    ratio, baseline = names.match_ratio(window), names.match_baseline(window)
    return Alert(
        "JobMatchRatioDropped",
        f"{ratio} < {baseline} - {config.match_drop:g}\n"
        f"and {names.match_executions(window)} >= {config.match_min_executions}",
        "ticket",
        "A worker cancels far more of its executions than it used to.",
        "Only {{ $value | humanizePercentage }} of the executions of {{ $labels.worker }} in the last "
        f"{spoken(config.match_window)} completed, the others were cancelled: at least {config.match_drop * 100:g} "
        f"percentage points fewer than at the same hours {' and '.join(map(spoken, config.match_baselines))} before.",
        Board.WORKER,
        config.match_hold,
        ("worker",),
    )


def new_cancel_reason(q: PromQL) -> Alert:
    """A worker that has run for long cancels for a reason that it never gave before."""
    config = q.config
    by, window = q.by("worker", "reason"), config.new_reason_window
    now = f"sum by ({by}) ({q.of(contract.JOB_CANCELLATIONS)})"
    then = f"sum by ({by}) ({q.of(contract.JOB_CANCELLATIONS, offset=window)})"
    known = f"sum by ({q.by('worker')}) ({q.of(contract.JOB_EXECUTIONS, offset=window)})"
    return Alert(
        "JobNewCancelReason",
        f"({now} > 0)\nunless {then}\nand on ({q.by('worker')}) ({known} >= {config.new_reason_min_executions})",
        "ticket",
        "A worker cancels for a reason that it never gave before.",
        "{{ $labels.worker }} cancelled {{ $value }} execution(s) because of {{ $labels.reason }}, which "
        f"it did not know {spoken(window)} ago.",
        Board.WORKER,
        variables=("worker",),
    )


def running_too_long(q: PromQL) -> Alert:
    """An execution is far older than those of its worker ever become."""
    config = q.config
    return Alert(
        "JobRunningTooLong",
        names.RUNNING_TOO_LONG,
        "ticket",
        "An execution runs far longer than its worker's usually do.",
        "An execution of {{ $labels.worker }} on queue {{ $labels.queue }} has been running for "
        f"{{{{ $value | humanizeDuration }}}}: more than {config.running_p99_factor:g} times the p99 of the last "
        f"{spoken(config.running_p99_window)} (at least {spoken(config.running_min_age)}), or more than "
        f"{spoken(config.running_max_age)}.",
        Board.WORKER,
        variables=("worker", "queue"),
    )


def periodic_missed(q: PromQL) -> Alert:
    """A worker that completes again and again has not for far longer than it ever paused."""
    config = q.config
    least = seconds(config.periodic_min_age)
    usual = f"{config.periodic_factor:g} * {names.longest_pause(config.periodic_window)}"
    return Alert(
        "JobPeriodicMissed",
        f"{names.PAUSE} > clamp_min({usual}, {least})\n"
        f"and {names.PAUSE} < clamp_min({usual}, {least}) + {seconds(config.periodic_mourning_window)}",
        "ticket",
        "A worker that runs regularly has not completed for long.",
        "{{ $labels.worker }} last completed {{ $value | humanizeDuration }} ago: more than "
        f"{config.periodic_factor:g} times its longest pause in {spoken(config.periodic_window)}.",
        Board.WORKER,
        variables=("worker",),
    )


def _deaths(q: PromQL, endings: tuple[Ending, ...]) -> str:
    types = "|".join(ERROR_TYPES[ending] for ending in endings)
    deaths = names.increase("worker_queue_error_type", contract.JOB_ERRORS, q.config.deaths_window)
    return f'sum by ({q.by("worker", "queue")}) ({deaths}{{error_type=~"{types}"}}) >= {q.config.deaths}'
