"""What is slower, or more, than it used to be."""

from __future__ import annotations

from itertools import accumulate

from jobtelemetry import contract
from mixin.series import Case, Series, alive, executions, firing, flat, name, queue, rate_limited, values

RETRY, REGRESSED, FLOOD = "JobRetryStorm", "JobRunTimeRegressed", "JobFlooded"
LATE, DRAIN = "QueueJobsStartLate", "QueueDrainsTooSlowly"

#: A part of a history: for how many steps so many observations of so many seconds.
Part = tuple[int, int, float]


def histogram(family: contract.Family, parts: list[Part], **labels: str) -> Series:
    """All series of a histogram."""
    steps = [(number, seconds) for count, number, seconds in parts for _ in range(count)]
    series = {}
    for bound in (*family.buckets, float("inf")):
        le = "+Inf" if bound == float("inf") else repr(bound)
        counts = accumulate(number if seconds <= bound else 0 for number, seconds in steps)
        series[name(f"{family.name}_bucket", worker="w", queue="q", le=le, **labels)] = values(counts)
    for suffix, numbers in {
        "_count": accumulate(number for number, _ in steps),
        "_sum": accumulate(number * seconds for number, seconds in steps),
    }.items():
        series[name(f"{family.name}{suffix}", worker="w", queue="q", **labels)] = values(numbers)
    return series


def ran(*parts: Part) -> Series:
    """How long completed executions ran."""
    return histogram(contract.JOB_DURATION, list(parts), state="completed")


def together(one: Series, other: Series) -> Series:
    """The sums of two histories with the same series."""
    return {
        key: values(sum(pair) for pair in zip(_numbers(numbers), _numbers(other[key]), strict=True))
        for key, numbers in one.items()
    }


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def waited(*parts: Part) -> Series:
    """How long jobs waited."""
    return histogram(contract.JOB_WAIT, list(parts))


def enqueued(*parts: tuple[int, int]) -> Series:
    """How many jobs were enqueued in each of so many steps."""
    numbers = accumulate(number for count, number in parts for _ in range(count))
    return {name(contract.JOBS_ENQUEUED.name, worker="w", queue="q"): values(numbers)}


#: A week has two hours.
_REGRESSION = ("regression_window=20m", "regression_baselines=2h", "regression_hold=2m")
_FLOOD = ("flood_window=5m", "flood_past_window=1h", "flood_offset=15m", "flood_min_jobs=100", "baselines=1h")
_LATE = ("latency_burn_rates=6:30m/5m:ticket:5m", "baselines=2h")
_IS_LATE = firing(LATE, queue="q", long_window="30m", short_window="5m")

CASES = (
    Case(
        RETRY,
        "a worker most of whose executions fail and succeed later is a ticket",
        alive() | executions(completed="0+4x200", failure="0+6x200"),
        "90m",
        (firing(RETRY, worker="w"),),
    ),
    Case(
        RETRY,
        "a worker whose attempts begin to fail is a ticket, though most did not in the past",
        alive() | executions(completed="0+9x150 1350+4x100", failure="0+1x150 150+6x100"),
        "220m",
        (firing(RETRY, worker="w"),),
        settings=("baselines=2h",),
    ),
    Case(
        RETRY,
        "a worker that has always failed as often raises nothing",
        alive() | executions(completed="0+4x300", failure="0+6x300"),
        "250m",
        settings=("baselines=2h",),
    ),
    Case(
        RETRY,
        "a few failures of a worker that rarely runs raise nothing",
        alive() | executions(completed="0+0x30 9+0x60", failure="0+0x30 30+0x60"),
        "60m",
    ),
    Case(
        RETRY,
        "failures that are a rate limit's are told by that alert alone",
        alive() | executions(completed="0+4x200", failure="0+6x200") | rate_limited("0+6x200"),
        "90m",
        (firing("JobRateLimitStorm", worker="w"),),
    ),
    Case(
        RETRY,
        "failures after which the jobs are discarded are told by the error budget alone",
        alive() | executions(completed="0+2x200", failure="0+6x200", discard="0+2x200"),
        "90m",
        (
            firing("JobErrorBudgetBurn", "page", worker="w", long_window="1h", short_window="5m"),
            firing("JobErrorBudgetBurn", "page", worker="w", long_window="6h", short_window="30m"),
            firing("JobErrorBudgetBurn", worker="w", long_window="1d", short_window="2h"),
        ),
    ),
    Case(
        REGRESSED,
        "executions that take half as long again as a week before are a ticket",
        alive() | executions() | ran((100, 10, 4.0), (100, 10, 6.0)),
        "150m",
        (firing(REGRESSED, worker="w"),),
        settings=_REGRESSION,
    ),
    Case(
        REGRESSED,
        "executions whose p95 doubles are a ticket, though their mean hardly changes",
        alive() | executions() | together(ran((200, 9, 8.0)), ran((100, 1, 8.0), (100, 1, 29.0))),
        "150m",
        (firing(REGRESSED, worker="w"),),
        settings=_REGRESSION,
    ),
    Case(
        REGRESSED,
        "executions that take as long as ever raise nothing",
        alive() | executions() | ran((200, 10, 4.0)),
        "150m",
        settings=_REGRESSION,
    ),
    Case(
        REGRESSED,
        "a few slow executions raise nothing",
        alive() | executions() | ran((100, 10, 4.0), (30, 0, 4.0), (100, 1, 20.0)),
        "155m",
        settings=_REGRESSION,
    ),
    Case(
        REGRESSED,
        "a worker whose first day it is has nothing to be compared with",
        alive() | executions() | ran((100, 0, 1.0), (100, 10, 4.0)),
        "150m",
        settings=_REGRESSION,
    ),
    Case(
        REGRESSED,
        "milliseconds that double raise nothing",
        alive() | executions() | ran((100, 10, 0.004), (100, 10, 0.02)),
        "150m",
        settings=_REGRESSION,
    ),
    Case(
        FLOOD,
        "a class that is enqueued a hundred times as fast as ever is a ticket within minutes",
        alive() | enqueued((150, 2), (60, 200)),
        "155m",
        (firing(FLOOD, worker="w"),),
        settings=_FLOOD,
    ),
    Case(
        FLOOD,
        "a burst that comes every hour raises nothing",
        alive() | enqueued(*((50, 2), (10, 200)) * 4),
        "175m",
        settings=_FLOOD,
        also=("179m", "235m"),
    ),
    Case(
        FLOOD,
        "the first jobs of a new class raise nothing, however many they are",
        alive() | enqueued((150, 0), (60, 200)),
        "155m",
        settings=_FLOOD,
    ),
    Case(
        FLOOD,
        "a hundred times very little is little",
        alive() | enqueued((100, 0), (1, 1), (49, 0), (60, 10)),
        "155m",
        settings=_FLOOD,
    ),
    Case(
        LATE,
        "a queue on which jobs begin to start minutes late is a ticket",
        alive() | waited((150, 10, 0.5), (60, 10, 240.0)),
        "175m",
        (_IS_LATE,),
        settings=_LATE,
    ),
    Case(
        LATE,
        "a queue whose jobs start late every day at these hours raises nothing",
        alive() | waited((30, 10, 0.5), (30, 10, 240.0), (90, 10, 0.5), (60, 10, 240.0)),
        "175m",
        settings=_LATE,
    ),
    Case(
        LATE,
        "lateness that is over raises nothing",
        alive() | waited((150, 10, 0.5), (15, 10, 240.0), (60, 10, 0.5)),
        "173m",
        settings=_LATE,
    ),
    Case(
        LATE,
        "a few late jobs raise nothing",
        alive() | waited((150, 0, 0.5), (20, 2, 240.0), (60, 0, 240.0)),
        "170m",
        settings=_LATE,
    ),
    Case(
        LATE,
        "jobs that start within the objective raise nothing",
        alive() | waited((250, 10, 45.0)),
        "175m",
        settings=_LATE,
    ),
    Case(
        DRAIN,
        "a queue that grows and needs hours at its rate is a ticket",
        alive() | waited((120, 2, 0.5)) | executions(completed="0+2x120") | queue("0+0x30 20+20x90", busy=2),
        "80m",
        (firing(DRAIN, queue="q"),),
    ),
    Case(
        DRAIN,
        "a long queue that is worked off raises nothing",
        alive() | waited((120, 2, 0.5)) | executions(completed="0+2x120") | queue("2000-2x120", busy=2),
        "80m",
    ),
    Case(
        DRAIN,
        "a queue that grows and is worked off within minutes raises nothing",
        alive() | waited((120, 90, 0.5)) | executions(completed="0+90x120") | queue("0+0x30 20+20x90", busy=2),
        "80m",
    ),
    Case(
        DRAIN,
        "a batch that is enqueued every day at these hours raises nothing",
        alive()
        | waited((300, 2, 0.5))
        | executions(completed="0+2x300")
        | queue(values([0, *[500] * 60, *[0] * 59] * 3), busy=2),
        "140m",
        settings=("baselines=2h",),
    ),
    Case(DRAIN, "a few jobs more raise nothing", alive() | waited((90, 1, 0.5)) | queue(flat(90), busy=2), "80m"),
)
