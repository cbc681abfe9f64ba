"""The recording rules: what several alerts and panels read, or what is dear to reckon."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.durations import seconds, step
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.mixin.rules import Group, Recording
from jobtelemetry.outcomes import MATCH, SUCCESS, State

#: Windows from here on are evaluated in the slow group, and searched in steps.
_LONG = 86_400


def groups(config: MixinConfig) -> tuple[Group, ...]:
    """All recording rules."""
    q = PromQL(config)
    windows = tuple(dict.fromkeys((*config.burn_windows, config.low_traffic_window)))
    slow = [window for window in (*windows, config.slo_window) if seconds(window) >= _LONG]
    slow = list(dict.fromkeys(slow))
    quick = [window for window in (*windows, config.slo_window) if window not in slow]
    quick = list(dict.fromkeys(quick))
    return (
        Group("jobtelemetry.ratios", config.interval, tuple(rule for w in quick for rule in burn(q, w))),
        Group("jobtelemetry.ratios.slow", config.slow_interval, tuple(rule for w in slow for rule in burn(q, w))),
        Group("jobtelemetry.matches", config.interval, match(q)),
        Group("jobtelemetry.usual", config.slow_interval, (p99(q), pause(q))),
        Group("jobtelemetry.limits", config.interval, (limit(q),)),
    )


def burn(q: PromQL, window: str) -> tuple[Recording, ...]:
    """What the burn-rate alerts compare: jobs by state, and the part that was discarded."""
    searched = step(window) if seconds(window) > 3600 else ""
    increase = names.jobs_increase(window)
    discards = f"sum by ({q.by('worker')}) ({increase}{{{in_state(State.DISCARD)}}})"
    return (
        Recording(
            increase,
            f"sum by ({q.by('worker', 'state')}) "
            f"(\n{q.gained(contract.JOB_EXECUTIONS, window, in_state(*SUCCESS.states), step=searched)}\n)",
        ),
        Recording(names.discard_ratio(window), f"{discards}\n/ (sum by ({q.by('worker')}) ({increase}) > 0)"),
    )


def match(q: PromQL) -> tuple[Recording, ...]:
    """How many executions found what they worked on."""
    window = q.config.match_window
    searched = step(window) if seconds(window) > 3600 else ""
    completed = q.gained(contract.JOB_EXECUTIONS, window, in_state(State.COMPLETED), step=searched)
    both = q.gained(contract.JOB_EXECUTIONS, window, in_state(*MATCH.states), step=searched)
    executions = names.match_executions(window)
    return (
        Recording(executions, f"sum by ({q.by('worker')}) (\n{both}\n)"),
        Recording(names.match_ratio(window), f"sum by ({q.by('worker')}) (\n{completed}\n)\n/ ({executions} > 0)"),
    )


def p99(q: PromQL) -> Recording:
    """How long a worker's executions usually run at most."""
    window = q.config.running_p99_window
    expr = q.quantile(0.99, contract.JOB_DURATION, window, ("worker", "queue"), in_state(State.COMPLETED))
    return Recording(names.duration_p99(window), expr)


def pause(q: PromQL) -> Recording:
    """The longest time that a worker went without completing, before the current pause.

    Only of workers that were there before the window: who has run for a day has shown no habit of a week.
    """
    config = q.config
    window, offset, by = config.periodic_window, config.periodic_offset, q.by("worker")
    completed = q.raw(contract.JOB_LAST_COMPLETED)
    last = f"max by ({by}) ({completed})"
    changes = f"max by ({by}) (changes({completed}[{window}] offset {offset}))"
    before = f"max by ({by}) (present_over_time({completed}[{offset}] offset {window}))"
    return Recording(
        names.longest_pause(window),
        f"max_over_time((time() - {last})[{window}:{step(window, 1000)}] offset {offset})\n"
        f"and on ({by}) ({changes} >= {config.periodic_min_completions})\n"
        f"and on ({by}) ({before})",
    )


def limit(q: PromQL) -> Recording:
    """At what age an execution runs too long: by its worker's own habit, where it has one."""
    config = q.config
    least, most = seconds(config.running_min_age), seconds(config.running_max_age)
    usual = f"({names.duration_p99(config.running_p99_window)} > 0) * {config.running_p99_factor:g}"
    return Recording(
        names.RUN_LIMIT,
        f"clamp({usual}, {least}, {most})\n"
        f"or max by ({q.by('worker', 'queue')}) ({q.raw(contract.EXECUTIONS_RUNNING)}) * 0 + {most}",
    )
