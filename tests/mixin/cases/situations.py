"""Situations that must raise nothing at all: a whole installation, with every series that the alerts look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from jobtelemetry import contract
from mixin.series import LONG_AGO, STATES, Case, Series, alive, firing, name, values

#: What such a case is about.
EVERY = "every alert"
_JOB = {"worker": "w", "queue": "q"}
_Labels = dict[str, str]

_GAUGES: tuple[tuple[contract.Family, _Labels, int], ...] = (
    (contract.UP, {}, 1),
    (contract.UNRECORDED_EXECUTIONS, {}, 0),
    (contract.RQ_WORKERS_UNINSTRUMENTED, {}, 0),
    (contract.QUEUE_RQ_WORKERS_UNINSTRUMENTED, {"queue": "q"}, 0),
    (contract.RQ_WORKERS, {"queue": "q", "status": "idle"}, 2),
    (contract.QUEUE_JOBS, {"queue": "q", "status": "queued"}, 0),
    (contract.QUEUE_JOBS, {"queue": "q", "status": "scheduled"}, 3),
    (contract.QUEUE_OVERDUE_SCHEDULED, {"queue": "q"}, 0),
    (contract.SCHEDULER_UP, {"queue": "q"}, 1),
    (contract.EXECUTIONS_RUNNING, _JOB, 0),
    (contract.COUNTS_LOST, {}, 0),
    (contract.ACCOUNTS_DIFFERENCE, {}, 0),
    (contract.VALUES_REJECTED, {}, 0),
    (contract.RECONCILER_UP, {}, 1),
    (contract.CLOCK_SKEW, {}, 1),
    (contract.QUEUE_BLOCKED_JOBS, {"queue": "q"}, 0),
    (contract.RQ_WORKER_NEWEST_BIRTH, {"queue": "q"}, LONG_AGO),
    (contract.RQ_WORKER_PROCESSES, {"status": "idle"}, 2),
    (contract.RQ_WORKER_LONGEST_IDLE, {"queue": "q"}, LONG_AGO),
    (contract.RATE_LIMIT_JOBS, {"rate_limit": "api", "status": "held"}, 0),
    (contract.JOB_PEAK_MEMORY, _JOB, 300_000_000),
    (contract.JOB_MEMORY_LIMIT, {"queue": "q"}, 450_000_000),
)


def counters(cancels: float) -> Iterator[tuple[str, _Labels, float]]:
    """Every counter of a worker: its name, its labels, and by how much one completed job raises it."""
    parts = {"completed": 1.0, "cancelled": cancels, "failure": 0.1}
    for state in STATES:
        yield contract.JOB_EXECUTIONS.name, {**_JOB, "state": state}, parts.get(state, 0)
    yield contract.JOB_CANCELLATIONS.name, {**_JOB, "reason": "not_matched"}, cancels
    yield contract.JOB_ERRORS.name, {**_JOB, "error_type": "TimeoutError"}, 0.1
    yield contract.JOB_ERRORS.name, {**_JOB, "error_type": "RateLimited"}, 0.02
    yield contract.JOB_RATE_LIMITED.name, _JOB, 0.02
    yield contract.JOB_CPU.name, _JOB, 0.5
    for bound in (*map(repr, contract.DURATION_BUCKETS), "+Inf"):
        labels = {**_JOB, "state": "completed", "le": bound}
        yield f"{contract.JOB_DURATION.name}_bucket", labels, float(float(bound) >= 1)
    yield contract.JOBS_ENQUEUED.name, _JOB, 1.1 + cancels
    for suffix in ("_sum", "_count"):
        yield f"{contract.JOB_DURATION.name}{suffix}", {**_JOB, "state": "completed"}, 1.0
        yield f"{contract.JOB_WAIT.name}{suffix}", _JOB, 1.0
    for bound in (contract.le(60, contract.WAIT_BUCKETS), "+Inf"):
        yield f"{contract.JOB_WAIT.name}_bucket", {**_JOB, "le": bound}, 1.0


def installation(
    jobs: Sequence[int],
    *,
    cancels: float = 1,
    away: Iterable[int] = (),
    reset: int = 0,
    born: int = 0,
    instance: str = "a:10427",
    step: int = 60,
) -> Series:
    """A worker, its queue, RQ workers, a scheduler and an exporter.

    Args:
        jobs: How many complete in each step.
        cancels: How many cancel for each that completes.
        away: The steps in which the exporter is not there.
        reset: The step in which Redis was emptied.
        born: The step in which the worker's series appear.
        instance: The exporter.
        step: Seconds between two values.
    """
    steps, gone = range(len(jobs)), set(away)
    before, after = list(accumulate(jobs[:reset])), list(accumulate(jobs[reset:]))
    ended = [5000 + count for count in before] + after if reset else after
    moments = accumulate((number * step if count else 0 for number, count in enumerate(jobs)), max)

    def shown(numbers: Iterable[float], since: int = 0) -> str:
        return values(None if at in gone or at < since else number for at, number in zip(steps, numbers, strict=True))

    def selector(metric: str, labels: _Labels) -> str:
        return name(metric, instance, **labels)

    series = {selector("up", {}): values(int(at not in gone) for at in steps)}
    for family, labels, value in _GAUGES:
        series[selector(family.name, labels)] = shown([value] * len(jobs), born if "worker" in labels else 0)
    for metric, labels, part in counters(cancels):
        series[selector(metric, labels)] = shown((int(part * count) for count in ended), born)
        if metric.endswith("_total"):
            created = (reset * step if reset and at >= reset else born * step or LONG_AGO for at in steps)
            series[selector(f"{metric.removesuffix('_total')}_created", labels)] = shown(created, born)
    troubles = [0 if reset and at >= reset else 3 for at in steps]
    series |= {selector(contract.HANDLER_ERRORS.name, {"hook": hook}): shown(troubles) for hook in contract.HOOKS}
    series[selector(contract.SERIES_DROPPED.name, {"family": contract.JOB_ERRORS.name})] = shown(troubles)
    series[selector(contract.JOB_LAST_COMPLETED.name, _JOB)] = shown(moments, born)
    return series


_BUSY = [12] * 200
_NIGHT = [24] * 60 + [0] * 300 + [24] * 30
_DAYS = ([12] * 144 + [0] * 144) * 2
_BATCH = [0] * 12 + [12] * 12 + [0] * 500

CASES = (
    Case(EVERY, "ordinary work raises nothing", installation(_BUSY), "3h"),
    Case(EVERY, "ordinary days and nights raise nothing", installation(_DAYS, step=300), "47h", every="5m"),
    Case(EVERY, "a storm of cancellations raises nothing", installation([2] * 60 + [90] * 140, cancels=8), "3h"),
    Case(
        EVERY,
        "a night without traffic and the first jobs after it raise nothing",
        installation(_NIGHT, step=120),
        "11h50m",
        every="2m",
        also=("12h10m",),
    ),
    Case(
        EVERY,
        "an exporter that restarts raises nothing, neither then nor later",
        installation(_BUSY, away=range(60, 62)),
        "63m",
        also=("70m", "2h2m"),
    ),
    Case(
        EVERY,
        "an exporter that was away for long raises nothing when it is back, neither then nor later",
        installation(_BUSY, away=range(60, 120)),
        "123m",
        also=("130m", "182m"),
    ),
    Case(
        EVERY,
        "while an exporter is away, that is the only alert",
        installation(_BUSY, away=range(60, 120)),
        "110m",
        (firing("JobTelemetryExporterDown", "page"),),
    ),
    Case(
        EVERY,
        "counters that begin again after Redis was emptied raise nothing, neither then nor later",
        installation(_BUSY, reset=120),
        "122m",
        also=("130m", "182m"),
    ),
    Case(
        EVERY,
        "the first job of a new class raises nothing",
        installation([0] * 60 + [1] + [0] * 139, born=60),
        "62m",
        also=("2h2m",),
    ),
    Case(
        EVERY,
        "a new class that runs often raises nothing, neither then nor when its reasons are an hour old",
        installation([0] * 60 + [12] * 140, born=60),
        "65m",
        also=("123m",),
    ),
    Case(
        EVERY,
        "a batch that runs once raises nothing on the day after",
        installation(_BATCH, step=300),
        "26h",
        every="5m",
        also=("40h",),
    ),
    Case(
        EVERY,
        "two exporters, one of which was away, raise nothing",
        installation(_BUSY) | installation(_BUSY, instance="b:10427", away=range(60, 120)),
        "61m",
        also=("123m", "3h"),
    ),
    Case(EVERY, "a Prometheus that has just been started raises nothing", installation(_BUSY), "1m", also=("4m",)),
    Case(EVERY, "an installation without any job raises nothing", alive(), "3h"),
)
