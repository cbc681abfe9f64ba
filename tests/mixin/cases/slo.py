"""The error budget and single discards."""

from __future__ import annotations

from mixin.series import Case, alive, executions, firing, flat, values

BURN, LOW = "JobErrorBudgetBurn", "JobDiscardedLowTraffic"
_FAST = firing(BURN, "page", worker="w", long_window="1h", short_window="5m")

CASES = (
    Case(
        BURN,
        "a bad deploy of one class pages within minutes",
        alive() | executions(completed="0+2x60 120+0x60", discard="0+0x60 0+4x60"),
        "75m",
        (_FAST,),
    ),
    Case(
        BURN,
        "a page ends soon after the incident does, because the short window is clean again",
        alive() | executions(completed="0+2x200", discard="0+0x60 0+8x5 40+0x200"),
        "72m",
    ),
    Case(
        BURN,
        "a class that is discarded from its first execution on pages, though its series appear with a value",
        alive() | executions(created=3600, completed="_x60 0+0x60", discard="_x60 40+2x60"),
        "66m",
        (_FAST,),
    ),
    Case(
        BURN,
        "a slow burn over days is a ticket and no page",
        alive() | executions(completed="0+97x2000", discard="0+2x2000"),
        "10h",
        (firing(BURN, worker="w", long_window="3d", short_window="6h"),),
        "5m",
    ),
    Case(
        BURN,
        "a storm of cancellations raises nothing",
        alive() | executions(completed="0+1x200", cancelled="0+500x200"),
        "120m",
    ),
    Case(
        BURN,
        "attempts that fail and are retried burn no budget",
        alive() | executions(completed="0+2x200", failure="0+1x200"),
        "120m",
    ),
    Case(
        BURN,
        "counters that start again after Redis was emptied are no burst of discards",
        alive() | executions(created=3600, completed="9000+2x60 0+2x100", discard="400+0x60 0+0x100"),
        "75m",
    ),
    Case(
        BURN,
        "old discards do not count when Prometheus sees the counters for the first time",
        alive() | executions(completed="90000+2x200", discard="50000+0x200"),
        "30m",
    ),
    Case(
        BURN,
        "an exporter that was away for some minutes changes nothing",
        alive(away=(61, 69)) | executions(completed="0+2x60 _x8 136+2x200", discard="30+0x60 _x8 30+0x200"),
        "90m",
    ),
    Case(
        BURN,
        "a night without traffic raises nothing",
        alive() | executions(completed="0+5x60 300+0x900", discard="0+0x900"),
        "8h",
    ),
    Case(
        BURN,
        "an absent series raises nothing",
        alive(),
        "120m",
    ),
    Case(
        BURN,
        "two replicas of an exporter do not double a worker's jobs over the minimum of traffic",
        alive()
        | alive("b:10427")
        | executions(completed="0+0x30 9+0x200", discard="0+0x200")
        | {
            key.replace("a:10427", "b:10427"): numbers
            for key, numbers in executions(completed="0+0x30 9+0x200", discard="0+0x30 5+0x200").items()
        },
        "40m",
        (firing(LOW, worker="w"),),
    ),
    Case(
        LOW,
        "the first job ever of a rare worker, discarded between two scrapes, is a ticket",
        alive() | executions(created=1800, completed="_x30 0+0x60", discard="_x30 1+0x60"),
        "40m",
        (firing(LOW, worker="w"),),
    ),
    Case(
        LOW,
        "a discard while the exporter was away is a ticket when it is back",
        alive(away=(40, 46)) | executions(discard=values([1] * 40 + [None] * 6 + [2] * 60)),
        "48m",
        (firing(LOW, worker="w"),),
    ),
    Case(
        LOW,
        "a discard before Redis was emptied does not come back, and one after it is a ticket",
        alive() | executions(created=1800, discard="5+0x30 0+0x10 1+0x60"),
        "45m",
        (firing(LOW, worker="w"),),
    ),
    Case(
        LOW,
        "counters that begin again after Redis was emptied are no discards",
        alive() | executions(created=1800, completed="9+0x30 0+0x60", discard="5+0x30 0+0x60"),
        "45m",
    ),
    Case(LOW, "a night after the last job raises nothing", alive() | executions(completed="0+1x10 10+0x900"), "5h"),
    Case(LOW, "an absent series raises nothing", alive(), "75m"),
    Case(
        LOW,
        "a storm of cancellations at low traffic raises nothing",
        alive() | executions(completed="0+0x30 1+0x60", cancelled="0+0x30 0+500x60"),
        "60m",
    ),
    Case(
        LOW,
        "one failure that is retried raises nothing at low traffic",
        alive() | executions(completed="0+0x30 1+0x60", failure="0+0x30 1+0x60"),
        "40m",
    ),
    Case(
        LOW,
        "one discard among many jobs is within the budget",
        alive() | executions(completed="0+4x120", discard="0+0x70 1+0x60"),
        "80m",
    ),
    Case(
        LOW,
        "a discard of long ago does not come back when the exporter restarts",
        alive(away=(70, 78)) | executions(discard=values([1] * 70 + [None] * 8 + [1] * 100)),
        "100m",
    ),
    Case(LOW, "a discard is forgotten after the window", alive() | executions(discard="0+0x5 1+0x200"), "75m"),
    Case(LOW, "a worker that does nothing raises nothing", alive() | executions(completed=flat(7)), "75m"),
)
