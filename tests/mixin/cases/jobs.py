"""How executions end, and those that do not."""

from __future__ import annotations

from jobtelemetry import contract
from mixin.series import Case, Series, alive, cancellations, errors, executions, firing, flat, name, values

_HOUR = 3600


def running(started: str, *, worker: str = "w", queue: str = "q") -> Series:
    """A worker whose oldest execution started then."""
    return {
        name(contract.EXECUTIONS_RUNNING.name, worker=worker, queue=queue): flat(1),
        name(contract.EXECUTION_OLDEST_START.name, worker=worker, queue=queue): started,
    }


def durations(bound: str, worker: str = "w", queue: str = "q") -> Series:
    """A worker whose completed executions all took up to this bound."""
    bounds = [repr(value) for value in contract.DURATION_BUCKETS] + ["+Inf"]
    reached = bounds.index(bound)
    return {
        name(f"{contract.JOB_DURATION.name}_bucket", worker=worker, queue=queue, state="completed", le=le): "0+2x600"
        if index >= reached
        else flat(0)
        for index, le in enumerate(bounds)
    }


def completed_at(moments: list[float], until: float, every: float) -> str:
    """Values of the last-completed series for completions at these moments."""
    looks = [step * every for step in range(int(until / every) + 1)]
    return values(max((moment for moment in moments if moment <= look), default=None) for look in looks)


def last_completed(numbers: str) -> Series:
    """When a worker last completed."""
    return {name(contract.JOB_LAST_COMPLETED.name, worker="w", queue="q"): numbers}


_MATCH_DAY = "0+6x288 1728+1x60"
_MISS_DAY = "0+4x288 1152+9x60"

CASES = (
    Case(
        "JobWorkHorseKilled",
        "the first killed horse of a worker is a ticket, though its series appears with value 1",
        alive() | executions(completed="0+1x90") | errors("WorkHorseKilled", "_x40 1+0x60"),
        "45m",
        (firing("JobWorkHorseKilled", worker="w", queue="q"),),
    ),
    Case(
        "JobWorkHorseKilled",
        "an ordinary exception is not a killed horse",
        alive() | executions(completed="0+1x90") | errors("ValueError", "_x40 1+0x60"),
        "45m",
    ),
    Case(
        "JobWorkHorseKilled",
        "a horse killed long ago is forgotten, and stays so when the exporter restarts",
        alive(away=(60, 67)) | executions() | errors("WorkHorseKilled", values([3] * 60 + [None] * 7 + [3] * 60)),
        "80m",
    ),
    Case(
        "JobAbandoned",
        "an abandoned execution is a ticket",
        alive() | executions(completed="0+1x90") | errors("AbandonedJobError", "2+0x40 3+0x60"),
        "45m",
        (firing("JobAbandoned", worker="w", queue="q"),),
    ),
    Case(
        "JobAbandoned",
        "a killed horse is not abandoned, and an abandoned execution is forgotten after the window",
        alive() | executions(completed="0+1x90") | errors("AbandonedJobError", "0+0x10 1+0x90"),
        "45m",
    ),
    Case(
        "JobRateLimitStorm",
        "a storm of rate limits is a ticket",
        alive() | executions(completed="0+1x90", failure="0+3x90") | errors("RateLimited", "0+3x90"),
        "45m",
        (firing("JobRateLimitStorm", worker="w"),),
    ),
    Case(
        "JobRateLimitStorm",
        "many rate limits among far more executions are no storm",
        alive() | executions(completed="0+90x90", failure="0+3x90") | errors("RateLimited", "0+3x90"),
        "45m",
    ),
    Case(
        "JobRateLimitStorm",
        "a few rate limits at low traffic are no storm",
        alive() | executions(failure="0+0x30 5+0x90") | errors("RateLimited", "0+0x30 5+0x90"),
        "40m",
    ),
    Case(
        "JobMatchRatioDropped",
        "a match ratio far below that of the same hours of the day before is a ticket",
        alive() | executions(completed=_MATCH_DAY, cancelled=_MISS_DAY),
        "27h",
        (firing("JobMatchRatioDropped", worker="w"),),
        "5m",
    ),
    Case(
        "JobMatchRatioDropped",
        "the same match ratio as ever raises nothing, however much is cancelled",
        alive() | executions(completed="0+6x400", cancelled="0+60x400"),
        "27h",
        every="5m",
    ),
    Case(
        "JobMatchRatioDropped",
        "a fall with little volume raises nothing",
        alive() | executions(completed=_MATCH_DAY, cancelled="0+4x288 1152+1x60"),
        "27h",
        every="5m",
    ),
    Case(
        "JobMatchRatioDropped",
        "a ratio that falls every week at these hours raises nothing",
        alive()
        | executions(
            completed="0+10x40 400+1x12 412+10x240 2812+1x12 2824+10x60",
            cancelled="0+10x40 400+19x12 628+10x240 3028+19x12 3256+10x60",
        ),
        "305m",
        settings=("match_baselines=1h,254m", "match_window=10m", "match_hold=1m"),
    ),
    Case(
        "JobMatchRatioDropped",
        "the same fall on a day of the week on which it never happened is a ticket",
        alive()
        | executions(
            completed="0+10x293 2930+1x70",
            cancelled="0+10x293 2930+19x70",
        ),
        "305m",
        (firing("JobMatchRatioDropped", worker="w"),),
        settings=("match_baselines=1h,254m", "match_window=10m", "match_hold=1m"),
    ),
    Case(
        "JobNewCancelReason",
        "a reason that a long-known worker never gave before is a ticket",
        alive()
        | executions(completed="50+1x200", cancelled="0+1x200")
        | cancellations("movie_not_matched", "5+1x200")
        | cancellations("cinema_closed", "_x80 1+1x100"),
        "100m",
        (firing("JobNewCancelReason", worker="w", reason="cinema_closed"),),
    ),
    Case(
        "JobNewCancelReason",
        "the first reasons of a new worker raise nothing",
        alive() | executions(created=4800, cancelled="_x80 1+1x100") | cancellations("not_matched", "_x80 1+1x100"),
        "100m",
    ),
    Case(
        "JobNewCancelReason",
        "a known reason raises nothing when the exporter was away an hour ago",
        alive(away=(60, 72))
        | executions(completed=values([90] * 60 + [None] * 12 + [95] * 90))
        | cancellations("not_matched", values([9] * 60 + [None] * 12 + [9] * 90)),
        "130m",
    ),
    Case(
        "JobRunningTooLong",
        "an execution far beyond its worker's p99 is a ticket",
        alive() | executions() | durations("1.0") | running(flat(0)),
        "15m",
        (firing("JobRunningTooLong", worker="w", queue="q"),),
    ),
    Case(
        "JobRunningTooLong",
        "an execution of a worker that always takes long raises nothing",
        alive() | executions() | durations("600.0") | running(flat(0)),
        "15m",
    ),
    Case(
        "JobRunningTooLong",
        "the first execution of a worker that nobody knows yet may run for hours",
        alive() | executions() | running(flat(0)),
        "120m",
    ),
    Case(
        "JobRunningTooLong",
        "an unknown worker's execution is a ticket beyond the longest time that is allowed",
        alive() | executions() | running(flat(-14_000)),
        "15m",
        (firing("JobRunningTooLong", worker="w", queue="q"),),
    ),
    Case(
        "JobPeriodicMissed",
        "an hourly worker that has not completed for three hours is a ticket",
        alive() | last_completed(completed_at([hour * _HOUR for hour in range(28)], 40 * _HOUR, 300)),
        "30h30m",
        (firing("JobPeriodicMissed", worker="w"),),
        "5m",
    ),
    Case(
        "JobPeriodicMissed",
        "a night without traffic is a pause that the worker has every day",
        alive()
        | last_completed(
            completed_at([(day * 24 + hour) * _HOUR for day in range(3) for hour in range(8, 20)], 90 * _HOUR, 300)
        ),
        "79h",
        every="5m",
    ),
    Case(
        "JobPeriodicMissed",
        "a worker that ran once is not periodic",
        alive() | last_completed(completed_at([_HOUR], 60 * _HOUR, 300)),
        "50h",
        every="5m",
    ),
)
