"""The recording rules: what several alerts and panels read, or what is dear to reckon."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.mixin import exact, names, past
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.durations import seconds, step
from jobtelemetry.mixin.promql import COMPLETED_RUNS, PromQL, in_state
from jobtelemetry.mixin.rules import Group, Recording
from jobtelemetry.outcomes import ERROR_TYPES, MATCH, SUCCESS, Ending, State

#: How an execution ends whose horse, or whose RQ worker, died.
KILLED = (Ending.HORSE_KILLED, Ending.HORSE_EXITED)
ABANDONED = (Ending.ABANDONED, Ending.STUCK)

#: Windows from here on are evaluated in the slow group.
_LONG = 86_400
#: The same for what is reckoned from buckets, where each sample is read.
_SHORT = 3600


def groups(config: MixinConfig) -> tuple[Group, ...]:
    """All recording rules.

    What grows within short windows stands in the group of the counters themselves: then both are of the same moment.
    """
    q = PromQL(config)
    windows = dict.fromkeys((*config.burn_windows, config.low_traffic_window, config.slo_window))
    quick = [window for window in windows if seconds(window) < _LONG]
    slow = [window for window in windows if window not in quick]
    early = [window for window in config.latency_windows if seconds(window) < _SHORT]
    later = [window for window in config.latency_windows if window not in early]
    counters = (rule for family in exact.FAMILIES for rule in exact.rules(q, family))
    return (
        Group(
            "jobtelemetry.counters",
            config.interval,
            (*counters, *(rule for w in quick for rule in burn(q, w)), *match(q), *increases(q), *past.retries(q)),
        ),
        Group("jobtelemetry.ratios.slow", config.slow_interval, tuple(rule for w in slow for rule in burn(q, w))),
        Group(
            "jobtelemetry.usual", config.slow_interval, (p99(q), pause(q), past.most_enqueued(q), *past.run_times(q))
        ),
        Group("jobtelemetry.enqueued", config.interval, (past.enqueued(q),)),
        Group("jobtelemetry.late", config.interval, tuple(rule for w in early for rule in past.late(q, w))),
        Group("jobtelemetry.late.slow", config.slow_interval, tuple(rule for w in later for rule in past.late(q, w))),
        Group("jobtelemetry.limits", config.interval, (limit(q), over_limit(q), pause_now(q))),
        Group("jobtelemetry.queues", config.interval, (*queues(q), *past.drain(q), born(q))),
    )


def increase(q: PromQL, labels: tuple[str, ...], family: Family, window: str, extra: str = "") -> Recording:
    """By how much a counter grew within the window."""
    expr = f"sum by ({q.by(*labels)}) (\n{exact.gained(q, family, window, extra)}\n)"
    return Recording(names.increase("_".join(labels), family, window), expr)


def increases(q: PromQL) -> tuple[Recording, ...]:
    """What the alerts count within their windows."""
    config = q.config
    deaths = "|".join(ERROR_TYPES[ending] for ending in (*KILLED, *ABANDONED))
    limits, health = config.rate_limit_window, config.health_window
    rules = (
        increase(
            q, ("worker", "queue", "error_type"), contract.JOB_ERRORS, config.deaths_window, f'error_type=~"{deaths}"'
        ),
        increase(q, ("worker",), contract.JOB_RATE_LIMITED, limits),
        increase(q, ("worker",), contract.JOB_EXECUTIONS, limits),
        increase(q, ("worker",), contract.JOB_RATE_LIMITED, config.retry_window),
        increase(q, ("worker",), contract.JOB_EXECUTIONS, config.retry_window),
        increase(q, ("queue",), contract.JOB_EXECUTIONS, config.stalled_window),
        increase(q, ("hook",), contract.HANDLER_ERRORS, health),
        increase(q, ("family",), contract.SERIES_DROPPED, health),
    )
    return tuple({rule.record: rule for rule in rules}.values())


def burn(q: PromQL, window: str) -> tuple[Recording, ...]:
    """What the burn-rate alerts compare: jobs by state, and the part that was discarded."""
    jobs = increase(q, ("worker", "state"), contract.JOB_EXECUTIONS, window, in_state(*SUCCESS.states))
    discards = f"sum by ({q.by('worker')}) ({jobs.record}{{{in_state(State.DISCARD)}}})"
    return (
        jobs,
        Recording(names.discard_ratio(window), f"{discards}\n/ (sum by ({q.by('worker')}) ({jobs.record}) > 0)"),
    )


def match(q: PromQL) -> tuple[Recording, ...]:
    """How many executions found what they worked on, and how many did at the same hours before."""
    config, by = q.config, q.by("worker")
    window = config.match_window
    completed = exact.gained(q, contract.JOB_EXECUTIONS, window, in_state(State.COMPLETED))
    both = exact.gained(q, contract.JOB_EXECUTIONS, window, in_state(*MATCH.states))
    executions, ratio = names.match_executions(window), names.match_ratio(window)
    before = [
        f"{ratio} offset {then} and {executions} offset {then} >= {config.match_min_executions}"
        for then in config.match_baselines
    ]
    parts = "\n or ".join(f'label_replace({expr}, "at", "{n}", "", "")' for n, expr in enumerate(before))
    return (
        Recording(executions, f"sum by ({by}) (\n{both}\n)"),
        Recording(ratio, f"sum by ({by}) (\n{completed}\n)\n/ ({executions} > 0)"),
        Recording(names.match_baseline(window), f"min by ({by}) (\n    {parts}\n)"),
    )


def born(q: PromQL) -> Recording:
    """How many RQ workers of a queue were born at least in each fifth of a window that began with some."""
    window, by = q.config.births_window, q.by("queue")
    part = f"{seconds(window) // 5}s"
    newest = q.raw(contract.RQ_WORKER_NEWEST_BIRTH)
    return Recording(
        names.births(window),
        f"min_over_time(max by ({by}) (changes({newest}[{part}]))[{window}:{part}])\n"
        f"and max by ({by}) ({newest} offset {window})",
    )


def queues(q: PromQL) -> tuple[Recording, ...]:
    """Whether jobs wait on a queue, whether they are taken, and who could."""
    by, window = q.by("queue"), q.config.stalled_window
    queued = q.raw(contract.QUEUE_JOBS, 'status="queued"')
    free = q.of(contract.RQ_WORKERS, 'status!="busy"')
    return (
        Recording(
            names.waiting(window),
            f"min by ({by}) (min_over_time({queued}[{window}]))\nand max by ({by}) ({queued} offset {window})",
        ),
        Recording(names.taken(window), f"max by ({by}) (changes({q.raw(contract.QUEUE_OLDEST_JOB)}[{window}]))"),
        Recording(names.RQ_WORKERS, f"sum by ({by}) ({q.of(contract.RQ_WORKERS)})"),
        Recording(names.RQ_WORKERS_FREE, f"sum by ({by}) ({free})"),
    )


def p99(q: PromQL) -> Recording:
    """How long a worker's executions usually run at most."""
    window = q.config.running_p99_window
    expr = q.quantile(0.99, contract.JOB_DURATION, window, ("worker", "queue"), COMPLETED_RUNS)
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


def pause_now(q: PromQL) -> Recording:
    """How long ago a worker last completed."""
    return Recording(names.PAUSE, f"time() - max by ({q.by('worker')}) ({q.raw(contract.JOB_LAST_COMPLETED)})")


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


def over_limit(q: PromQL) -> Recording:
    """The age of every worker's oldest execution that is beyond its limit."""
    by = q.by("worker", "queue")
    oldest = f"min by ({by}) ({q.raw(contract.EXECUTION_OLDEST_START)})"
    return Recording(names.RUNNING_TOO_LONG, f"time() - {oldest} > on ({by}) {names.RUN_LIMIT}")
