"""How executions end, and those that do not."""

from __future__ import annotations

from collections.abc import Iterable

from jobtelemetry import contract
from mixin.series import (
    Case,
    Series,
    alive,
    cancellations,
    errors,
    executions,
    firing,
    flat,
    name,
    rate_limited,
    values,
)


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


def memory(peak: str, limit: str, cpu: str, *, worker: str = "w", queue: str = "q") -> Series:
    """A worker's peak, what is left for a job of its queue (empty: not known), and its processor time."""
    series = {
        name(contract.JOB_PEAK_MEMORY.name, worker=worker, queue=queue): peak,
        name(contract.JOB_CPU.name, worker=worker, queue=queue): cpu,
    }
    return series | {name(contract.JOB_MEMORY_LIMIT.name, queue=queue): limit} if limit else series


def completed_at(minutes: Iterable[int]) -> str:
    """Values of the last-completed series, minute by minute, for completions in these minutes."""
    moments = sorted(minutes)
    return values(max((60 * moment for moment in moments if moment <= look), default=None) for look in range(400))


def last_completed(numbers: str) -> Series:
    """When a worker last completed."""
    return {name(contract.JOB_LAST_COMPLETED.name, worker="w", queue="q"): numbers}


#: A day has forty minutes.
_SHORT_WEEK = ("periodic_window=280m", "periodic_offset=40m", "periodic_min_age=1m")
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
        "a counter that goes back by one raises nothing: no horse was killed",
        alive() | executions(completed="0+1x90") | errors("WorkHorseKilled", "300+0x40 299+0x60"),
        "41m",
        also=("45m", "54m", "55m", "56m", "57m"),
    ),
    Case(
        "JobWorkHorseKilled",
        "a horse that is killed after a counter went back is a ticket",
        alive() | executions(completed="0+1x90") | errors("WorkHorseKilled", "300+0x40 299+0x3 300+0x60"),
        "46m",
        (firing("JobWorkHorseKilled", worker="w", queue="q"),),
    ),
    Case(
        "JobWorkHorseKilled",
        "an older state that comes back raises nothing, though everything is of a new generation",
        alive()
        | {name(contract.GENERATION_STARTED.name): values([0] * 40 + [2390] * 60)}
        | executions(completed="0+1x90")
        | errors("WorkHorseKilled", "300+0x40 120+0x60")
        | {
            name("jobtelemetry_job_errors_created", worker="w", queue="q", error_type="WorkHorseKilled"): values(
                [-9000] * 40 + [2390] * 60
            )
        },
        "41m",
        also=("45m", "54m", "55m", "56m", "57m"),
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
        "JobWorkHorseKilled",
        "a horse killed while the exporter was away is a ticket when it is back",
        alive(away=(40, 46)) | executions() | errors("WorkHorseKilled", values([3] * 40 + [None] * 6 + [4] * 60)),
        "48m",
        (firing("JobWorkHorseKilled", worker="w", queue="q"),),
    ),
    Case(
        "JobWorkHorseKilled",
        "a horse that is killed after Redis was emptied is a ticket",
        alive() | executions(created=1800) | errors("WorkHorseKilled", "5+0x30 0+0x10 1+0x60"),
        "45m",
        (firing("JobWorkHorseKilled", worker="w", queue="q"),),
    ),
    Case(
        "JobWorkHorseKilled",
        "horses killed before Redis was emptied raise nothing afterwards",
        alive() | executions(created=1800) | errors("WorkHorseKilled", "5+0x30 0+0x90"),
        "35m",
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
        "the first abandoned execution of a worker is a ticket, though its series appears with value 1",
        alive() | executions(completed="0+1x90") | errors("AbandonedJobError", "_x40 1+0x60"),
        "45m",
        (firing("JobAbandoned", worker="w", queue="q"),),
    ),
    Case(
        "JobAbandoned",
        "a job that was stuck in RQ's intermediate queue is abandoned, too",
        alive() | executions(completed="0+1x90") | errors("StuckInIntermediateQueue", "0+0x40 1+0x60"),
        "45m",
        (firing("JobAbandoned", worker="w", queue="q"),),
    ),
    Case(
        "JobAbandoned",
        "an execution that was abandoned while the exporter was away is a ticket when it is back",
        alive(away=(40, 46)) | executions() | errors("AbandonedJobError", values([2] * 40 + [None] * 6 + [3] * 60)),
        "48m",
        (firing("JobAbandoned", worker="w", queue="q"),),
    ),
    Case(
        "JobAbandoned",
        "an abandoned execution is forgotten after the window",
        alive() | executions(completed="0+1x90") | errors("AbandonedJobError", "0+0x10 1+0x90"),
        "45m",
    ),
    Case(
        "JobAbandoned",
        "executions abandoned long ago raise nothing when the exporter restarts or Redis is emptied",
        alive(away=(60, 67))
        | executions()
        | errors("AbandonedJobError", values([3] * 60 + [None] * 7 + [3] * 5 + [0] * 60)),
        "75m",
    ),
    Case(
        "JobAbandoned",
        "a killed horse is not abandoned: its RQ worker lives and says so",
        alive() | executions(completed="0+1x90") | errors("WorkHorseKilled", "0+0x40 1+0x60"),
        "45m",
        (firing("JobWorkHorseKilled", worker="w", queue="q"),),
    ),
    Case(
        "JobNearMemoryLimit",
        "a peak close to what is left for a job is a ticket",
        alive() | executions(completed="0+1x90") | memory(flat(285e6), flat(300e6), "0+3x90"),
        "80m",
        (firing("JobNearMemoryLimit", worker="w", queue="q"),),
    ),
    Case(
        "JobNearMemoryLimit",
        "the very first execution that comes close is one, too",
        alive() | executions(completed="_x40 1+0x60") | memory("_x40 300e6+0x60", flat(300e6), "_x40 3+0x60"),
        "45m",
        (firing("JobNearMemoryLimit", worker="w", queue="q"),),
    ),
    Case(
        "JobNearMemoryLimit",
        "ordinary peaks, and a queue whose limit is not known, raise nothing",
        alive()
        | executions(completed="0+1x90")
        | memory(flat(260e6), flat(300e6), "0+3x90")
        | memory(flat(900e6), "", "0+3x90", queue="unlimited"),
        "80m",
    ),
    Case(
        "JobNearMemoryLimit",
        "a peak of a worker that has not run for more than an hour is forgotten",
        alive() | executions(completed="9+0x200") | memory(flat(300e6), flat(300e6), "0+3x20 60+0x200"),
        "150m",
    ),
    Case(
        "JobRateLimitStorm",
        "a storm of rate limits is a ticket",
        alive() | executions(completed="0+1x90", failure="0+3x90") | rate_limited("0+3x90"),
        "45m",
        (firing("JobRateLimitStorm", worker="w"),),
    ),
    Case(
        "JobRateLimitStorm",
        "a storm in which the series appears for the first time is a ticket",
        alive() | executions(created=2400, failure="_x40 25+0x60") | rate_limited("_x40 25+0x60"),
        "45m",
        (firing("JobRateLimitStorm", worker="w"),),
    ),
    Case(
        "JobRateLimitStorm",
        "a storm that is over raises nothing when the exporter restarts",
        alive(away=(60, 67))
        | executions(failure=values([90] * 60 + [None] * 7 + [90] * 60))
        | rate_limited(values([90] * 60 + [None] * 7 + [90] * 60)),
        "72m",
    ),
    Case(
        "JobRateLimitStorm",
        "failures that are no rate limits are no storm",
        alive()
        | executions(completed="0+5x90", failure="0+3x90")
        | errors("ValueError", "0+3x90")
        | rate_limited("0+0x90"),
        "45m",
    ),
    Case(
        "JobRateLimitStorm",
        "many rate limits among far more executions are no storm",
        alive() | executions(completed="0+90x90", failure="0+3x90") | rate_limited("0+3x90"),
        "45m",
    ),
    Case(
        "JobRateLimitStorm",
        "a few rate limits at low traffic are no storm",
        alive() | executions(failure="0+0x30 5+0x90") | rate_limited("0+0x30 5+0x90"),
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
        "a fall of a little less than the threshold raises nothing",
        alive() | executions(completed="0+60x288 17280+41x60", cancelled="0+40x288 11520+59x60"),
        "27h",
        every="5m",
    ),
    Case(
        "JobMatchRatioDropped",
        "a worker whose first day it is has nothing to be compared with",
        alive() | executions(created=36_000, completed="_x120 0+1x200", cancelled="_x120 0+9x200"),
        "20h",
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
        "a new reason is known after an hour",
        alive()
        | executions(completed="50+1x200", cancelled="0+1x200")
        | cancellations("cinema_closed", "_x80 1+1x100"),
        "145m",
    ),
    Case(
        "JobNewCancelReason",
        "a storm of a known reason is no news",
        alive()
        | executions(completed="50+1x200", cancelled="0+0x80 1+500x100")
        | cancellations("x", "3+0x80 4+500x100"),
        "100m",
    ),
    Case(
        "JobNewCancelReason",
        "a reason that a worker with few executions never gave before raises nothing",
        alive()
        | executions(completed=flat(15), cancelled="0+0x80 1+0x100")
        | cancellations("cinema_closed", "_x80 1+0x100"),
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
        "a worker that has not completed for three times its usual pause is a ticket",
        alive() | last_completed(completed_at(range(5, 331, 5))),
        "345m",
        (firing("JobPeriodicMissed", worker="w"),),
        settings=_SHORT_WEEK,
    ),
    Case(
        "JobPeriodicMissed",
        "a worker that was deleted from the code is missed once, and not mourned",
        alive() | last_completed(completed_at(range(5, 331, 5))),
        "352m",
        settings=(*_SHORT_WEEK, "periodic_mourning_window=10m"),
        also=("360m", "380m"),
    ),
    Case(
        "JobPeriodicMissed",
        "a worker that is a little late raises nothing",
        alive() | last_completed(completed_at(range(5, 331, 5))),
        "338m",
        settings=_SHORT_WEEK,
    ),
    Case(
        "JobPeriodicMissed",
        "a night without traffic is a pause that the worker has every day",
        alive() | last_completed(completed_at([day * 40 + at for day in range(9) for at in (0, 5, 10, 15)])),
        "359m",
        settings=_SHORT_WEEK,
    ),
    Case(
        "JobPeriodicMissed",
        "the first weekend of a worker that runs on weekdays is no reason: only a week shows its habit",
        alive() | last_completed(completed_at([day * 40 + at for day in range(5) for at in (10, 15, 20, 25)])),
        "245m",
        settings=_SHORT_WEEK,
        also=("260m", "279m"),
    ),
    Case(
        "JobPeriodicMissed",
        "an exporter that was away for long does not make a worker late",
        alive(away=(300, 330))
        | last_completed(values(None if 300 <= at < 330 else at // 5 * 300 for at in range(400))),
        "331m",
        settings=_SHORT_WEEK,
        also=("350m",),
    ),
    Case(
        "JobPeriodicMissed",
        "a batch that ran once, however many jobs it had, is not periodic",
        alive() | last_completed(completed_at(range(5, 15))),
        "56m",
        settings=_SHORT_WEEK,
        also=("70m", "90m", "300m"),
    ),
    Case(
        "JobPeriodicMissed",
        "a worker that ran once is not periodic",
        alive() | last_completed(completed_at([5])),
        "60m",
        settings=_SHORT_WEEK,
        also=("300m",),
    ),
)
