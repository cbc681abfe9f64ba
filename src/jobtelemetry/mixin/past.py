"""Recording rules for what is compared with its own past: an absolute threshold would be a guess."""

from __future__ import annotations

from collections.abc import Iterable

from jobtelemetry import contract
from jobtelemetry.mixin import exact, names
from jobtelemetry.mixin.durations import seconds, step
from jobtelemetry.mixin.promql import COMPLETED_RUNS, PromQL, in_state
from jobtelemetry.mixin.rules import Recording
from jobtelemetry.outcomes import State


def retries(q: PromQL) -> tuple[Recording, ...]:
    """The part of a worker's executions that fails and is tried again, now and at the same hours before."""
    window, by = q.config.retry_window, q.by("worker")
    failures = exact.gained(q, contract.JOB_EXECUTIONS, window, in_state(State.FAILURE))
    executions = names.increase("worker", contract.JOB_EXECUTIONS, window)
    ratio = names.failure_ratio(window)
    return (
        Recording(ratio, f"sum by ({by}) (\n{failures}\n)\n/ ({executions} > 0)"),
        Recording(names.failure_baseline(window), highest(q, ("worker",), ratio, q.config.baselines)),
    )


def run_times(q: PromQL) -> tuple[Recording, ...]:
    """How long a worker's executions run, how many those are, and how long they ran at the same hours before."""
    config, by = q.config, q.by("worker")
    window, before = config.regression_window, config.regression_baselines
    mean, p95, count = names.run_time("mean", window), names.run_time("p95", window), names.run_time("count", window)
    total = q.rate(contract.JOB_DURATION, window, COMPLETED_RUNS, suffix="_sum")
    number = q.rate(contract.JOB_DURATION, window, COMPLETED_RUNS, suffix="_count")

    def known(figure: str) -> str:
        least = config.regression_min_executions
        return "\nor ".join(f"{figure} offset {then} and {count} offset {then} >= {least}" for then in before)

    return (
        Recording(count, f"sum by ({by}) ({number}) * {seconds(window)}"),
        Recording(mean, f"sum by ({by}) ({total})\n/ (sum by ({by}) ({number}) > 0)"),
        Recording(p95, q.quantile(0.95, contract.JOB_DURATION, window, ("worker",), COMPLETED_RUNS)),
        Recording(names.run_time("mean_before", window), known(mean)),
        Recording(names.run_time("p95_before", window), known(p95)),
    )


def enqueued(q: PromQL) -> Recording:
    """How fast jobs of a worker are enqueued."""
    rate = q.rate(contract.JOBS_ENQUEUED, q.config.flood_window)
    return Recording(names.enqueue_rate(q.config.flood_window), f"sum by ({q.by('worker')}) ({rate})")


def most_enqueued(q: PromQL) -> Recording:
    """How fast they were at most in the past, of workers that have one: the last hour is not part of it."""
    config = q.config
    rate, past = names.enqueue_rate(config.flood_window), config.flood_past_window
    return Recording(
        names.enqueue_most(past),
        f"max_over_time({rate}[{past}:{step(past, 1000)}] offset {config.flood_offset}) > 0\n"
        f"and {rate} offset {config.baselines[0]}",
    )


def late(q: PromQL, window: str) -> tuple[Recording, ...]:
    """The part of a queue's jobs that started later than they should; of a long window how many started, too."""
    by, bound = q.by("queue"), contract.le(seconds(q.config.latency_target), contract.WAIT_BUCKETS)
    intime = q.rate(contract.JOB_WAIT, window, f'le="{bound}"', suffix="_bucket")
    number = q.rate(contract.JOB_WAIT, window, suffix="_count")
    ratio = Recording(names.late_ratio(window), f"1 - sum by ({by}) ({intime})\n/ (sum by ({by}) ({number}) > 0)")
    if window not in {rate.long for rate in q.config.latency_burn_rates}:
        return (ratio,)
    return (ratio, Recording(names.starts(window), f"sum by ({by}) ({number}) * {seconds(window)}"))


def drain(q: PromQL) -> tuple[Recording, ...]:
    """How many jobs wait on a queue, for how long there is work at the present rate, and how many waited before."""
    config, by = q.config, q.by("queue")
    queued = q.raw(contract.QUEUE_JOBS, 'status="queued"')
    served = q.rate(contract.JOB_WAIT, config.drain_window, suffix="_count")
    before = []
    for then in config.baselines:
        around = min(3600, seconds(then) // 4)
        most = f"max_over_time({names.WAITING}[{2 * around}s] offset {seconds(then) - around}s)"
        before.append(f'label_replace({most}, "at", "{then}", "", "")')
    return (
        Recording(names.WAITING, f"max by ({by}) ({queued})"),
        Recording(names.drain(config.drain_window), f"{names.WAITING} / (sum by ({by}) ({served}) > 0)"),
        Recording(names.WAITING_BEFORE, f"max by ({by}) (\n    " + "\n or ".join(before) + "\n)"),
    )


def highest(q: PromQL, labels: tuple[str, ...], figure: str, offsets: Iterable[str]) -> str:
    """The highest that a recorded figure was at these times before."""
    parts = "\n or ".join(f'label_replace({figure} offset {then}, "at", "{then}", "", "")' for then in offsets)
    return f"max by ({q.by(*labels)}) (\n    {parts}\n)"
