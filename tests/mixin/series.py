"""Input series for promtool's unit tests, one value a minute unless the case says otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobtelemetry import contract
from jobtelemetry.outcomes import State

#: Long before any test begins (promtool's clock starts at 0).
LONG_AGO = -10_000_000
STATES = tuple(state.value for state in State)
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One unit test.

    Args:
        alert: What it is about.
        says: One sentence of behaviour.
        series: Input: selector -> values in promtool's notation.
        at: When to look.
        firing: Label sets of all alerts that fire then, the watchdog left out; none for a quiet case.
        every: Time between two values, and between two evaluations.
        settings: Of the mixin, where days would take too long.
        below: The long window of the burn rate that it stays just below.
        also: Further moments at which the same alerts fire.
    """

    alert: str
    says: str
    series: Series
    at: str
    firing: tuple[dict[str, str], ...] = ()
    every: str = "1m"
    settings: tuple[str, ...] = ()
    below: str = ""
    also: tuple[str, ...] = ()


def name(metric: str, instance: str = "a:10427", **labels: str) -> str:
    """A selector with the labels of the scrape."""
    pairs = {"job": "jobtelemetry", "instance": instance, **labels}
    return metric + "{" + ", ".join(f'{label}="{value}"' for label, value in pairs.items()) + "}"


def flat(value: float, count: int = 600) -> str:
    """The same value again and again."""
    return f"{value:g}+0x{count}"


def values(numbers: Iterable[float | None]) -> str:
    """These values; ``None`` is a scrape without the series."""
    return " ".join("_" if number is None else f"{number:g}" for number in numbers)


def alive(instance: str = "a:10427", *, away: tuple[int, int] = (0, 0), steps: int = 1500) -> Series:
    """An exporter that is scraped and reads Redis, but for the steps from ``away[0]`` to ``away[1]``."""
    first, last = away
    up = values([1] * first + [0] * (last - first) + [1] * (steps - last))
    return {name("up", instance): up, name(contract.UP.name, instance): up.replace(" 0", " _")}


def executions(worker: str = "w", queue: str = "q", created: float = LONG_AGO, **counts: str) -> Series:
    """All states of a worker, at 0 unless given."""
    series = {}
    for state in STATES:
        labels = {"worker": worker, "queue": queue, "state": state}
        series[name(contract.JOB_EXECUTIONS.name, **labels)] = counts.get(state, flat(0, 1500))
        series[name("jobtelemetry_job_executions_created", **labels)] = flat(created, 1500)
    return series


def errors(error_type: str, numbers: str, worker: str = "w", queue: str = "q") -> Series:
    """The errors of a worker."""
    return {name(contract.JOB_ERRORS.name, worker=worker, queue=queue, error_type=error_type): numbers}


def rate_limited(numbers: str, worker: str = "w", queue: str = "q") -> Series:
    """The executions of a worker that a rate limit ended."""
    return {name(contract.JOB_RATE_LIMITED.name, worker=worker, queue=queue): numbers}


def cancellations(reason: str, numbers: str, worker: str = "w", queue: str = "q") -> Series:
    """The cancellations of a worker."""
    return {name(contract.JOB_CANCELLATIONS.name, worker=worker, queue=queue, reason=reason): numbers}


def queue(queued: str, *, busy: float = 0, idle: float = 0, oldest: str = "", queue: str = "q") -> Series:
    """A queue and the RQ workers that listen on it."""
    series = {name(contract.QUEUE_JOBS.name, queue=queue, status="queued"): queued}
    workers = {"busy": busy, "idle": idle, "started": 0, "suspended": 0}
    for status, count in workers.items():
        series[name(contract.RQ_WORKERS.name, queue=queue, status=status)] = flat(count)
    if oldest:
        series[name(contract.QUEUE_OLDEST_JOB.name, queue=queue)] = oldest
    return series


def firing(alert: str, severity: str = "ticket", **labels: str) -> dict[str, str]:
    """The labels of an alert that fires."""
    return {"alertname": alert, "severity": severity, "job": "jobtelemetry", **labels}
