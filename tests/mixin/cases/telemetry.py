"""The telemetry itself."""

from __future__ import annotations

from collections.abc import Sequence

from jobtelemetry import contract
from mixin.series import Case, Series, alive, executions, firing, flat, name, queue, values

LOST, DIFFER, RECONCILER = "JobTelemetryCountsLost", "JobTelemetryAccountsDiffer", "JobTelemetryReconcilerDown"
BLIND = "JobTelemetryWorkersUninstrumented"
REJECTED, SKEW = "JobTelemetryValuesRejected", "JobTelemetryClockSkew"
Numbers = Sequence[float | None]
_DOWN = firing("JobTelemetryExporterDown", "page")
_GAP = values([1] * 20 + [None] * 2 + [1] * 60)


def counter(family: contract.Family, label: str, value: str, numbers: str) -> Series:
    """A counter of the telemetry's own troubles."""
    return {name(family.name, **{label: value}): numbers}


def installation(cluster: str, numbers: str) -> Series:
    """The exporter of one of several installations: it answers, or is gone together with its target."""
    return {name(metric, f"{cluster}:10427", cluster=cluster): numbers for metric in ("up", contract.UP.name)}


def uninstrumented(numbers: str, queue: str = "q") -> Series:
    """RQ workers of a queue that are not instrumented."""
    return {name(contract.QUEUE_RQ_WORKERS_UNINSTRUMENTED.name, queue=queue): numbers}


def losses(at: Numbers, number: Numbers, generation: Numbers) -> Series:
    """What is known of counts that were lost."""
    return {
        name(contract.COUNTS_LOST_AT.name): values(at),
        name(contract.COUNTS_LOST.name): values(number),
        name(contract.GENERATION_STARTED.name): values(generation),
    }


CASES = (
    Case(
        "JobTelemetryExporterDown",
        "an exporter that does not answer pages, once",
        {name("up"): "1+0x20 0+0x60", name(contract.UP.name): "1+0x20 stale"},
        "26m",
        (_DOWN,),
    ),
    Case("JobTelemetryExporterDown", "an exporter that was never scraped pages", {}, "5m", (_DOWN,)),
    Case(
        "JobTelemetryExporterDown",
        "an exporter that restarts raises nothing",
        {name("up"): "1+0x20 0+0x1 1+0x60", name(contract.UP.name): _GAP},
        "24m",
    ),
    Case(
        "JobTelemetryExporterDown",
        "one of two replicas is enough",
        alive() | {name("up", "b:10427"): flat(0)},
        "30m",
    ),
    Case(
        "JobTelemetryExporterDown",
        "one of two installations whose exporter vanishes together with its target pages, and the other does not",
        installation("a", "1+0x90") | installation("b", "1+0x20 stale"),
        "30m",
        (firing("JobTelemetryExporterDown", "page", cluster="b"),),
        settings=("installation_labels=cluster,job",),
        also=("26m", "80m"),
    ),
    Case(
        "JobTelemetryExporterDown",
        "one of two installations whose exporter does not answer pages, and the other does not",
        installation("a", "1+0x90")
        | installation("b", "1+0x20 stale")
        | {name("up", "b:10427", cluster="b"): "1+0x20 0+0x60"},
        "30m",
        (firing("JobTelemetryExporterDown", "page", cluster="b"),),
        settings=("installation_labels=cluster,job",),
    ),
    Case(
        "JobTelemetryExporterDown",
        "an exporter that moves to another address raises nothing",
        {
            name(family, instance): numbers
            for family in ("up", contract.UP.name)
            for instance, numbers in (("a:10427", "1+0x20 stale"), ("b:10427", "_x22 1+0x60"))
        },
        "22m",
        also=("30m", "60m"),
    ),
    Case(
        "JobTelemetryRedisDown",
        "an exporter that cannot read Redis pages",
        {name("up"): flat(1), name(contract.UP.name): "1+0x20 0+0x60"},
        "24m",
        (firing("JobTelemetryRedisDown", "page"),),
    ),
    Case(
        "JobTelemetryRedisDown",
        "an exporter that never gets to the end of its first read pages",
        alive() | {name(contract.LABEL_SETS.name): flat(9000), name(contract.LABEL_SETS_READ.name): "0+100x80"},
        "24m",
        (firing("JobTelemetryRedisDown", "page"),),
    ),
    Case(
        "JobTelemetryRedisDown",
        "one of two exporters that has read everything is enough",
        alive()
        | {name("up", "b:10427"): flat(1), name(contract.UP.name, "b:10427"): flat(1)}
        | {name(contract.LABEL_SETS.name): flat(900), name(contract.LABEL_SETS.name, "b:10427"): flat(900)}
        | {name(contract.LABEL_SETS_READ.name): flat(50), name(contract.LABEL_SETS_READ.name, "b:10427"): flat(900)},
        "30m",
    ),
    Case(
        "JobTelemetryRedisDown",
        "an exporter that is down says nothing about Redis",
        {name("up"): "1+0x20 0+0x60", name(contract.UP.name): "1+0x20 stale"},
        "26m",
        (_DOWN,),
    ),
    Case(
        "JobTelemetryRedisDown",
        "one of two exporters that reads Redis is enough",
        alive() | {name("up", "b:10427"): flat(1), name(contract.UP.name, "b:10427"): flat(0)},
        "30m",
    ),
    Case(
        "JobTelemetryRedisDown",
        "Redis that fails over within a minute raises nothing",
        {name("up"): flat(1), name(contract.UP.name): "1+0x20 0+0x0 1+0x60"},
        "24m",
    ),
    Case(
        "JobTelemetryUnrecordedExecutions",
        "unrecorded executions are a ticket",
        alive() | {name(contract.UNRECORDED_EXECUTIONS.name): flat(3)},
        "10m",
        (firing("JobTelemetryUnrecordedExecutions"),),
    ),
    Case(
        "JobTelemetryUnrecordedExecutions",
        "a gap that closes within the hold raises nothing",
        alive() | {name(contract.UNRECORDED_EXECUTIONS.name): "0+0x5 1+0x1 0+0x60"},
        "10m",
    ),
    Case(
        BLIND,
        "one uninstrumented RQ worker of several is a ticket, and a part is recorded",
        alive() | queue(flat(0), idle=2, busy=1) | uninstrumented(flat(1)),
        "10m",
        (firing(BLIND, queue="q", recorded="a part"),),
    ),
    Case(
        BLIND,
        "a queue that only uninstrumented RQ workers serve is a ticket that says so, and another queue is not",
        alive()
        | queue(flat(0), idle=2, busy=1)
        | uninstrumented(flat(3))
        | queue(flat(0), idle=2, queue="other")
        | uninstrumented(flat(0), "other"),
        "10m",
        (firing(BLIND, queue="q", recorded="nothing"),),
    ),
    Case(
        BLIND,
        "one that somebody started by hand for a moment raises nothing",
        alive() | queue(flat(0), idle=2) | uninstrumented("0+0x5 1+0x2 0+0x60"),
        "10m",
    ),
    Case(
        BLIND,
        "instrumented RQ workers raise nothing",
        alive() | queue(flat(0), idle=2) | uninstrumented(flat(0)),
        "60m",
    ),
    Case(
        "JobTelemetryHandlerErrors",
        "the first error ever of a hook is a ticket, though its series appears with value 1",
        alive() | counter(contract.HANDLER_ERRORS, "hook", "record", "_x20 1+0x60"),
        "25m",
        (firing("JobTelemetryHandlerErrors", hook="record"),),
    ),
    Case(
        "JobTelemetryHandlerErrors",
        "an error while the exporter was away is a ticket when it is back",
        alive(away=(30, 36))
        | counter(contract.HANDLER_ERRORS, "hook", "record", values([4] * 30 + [None] * 6 + [5] * 60)),
        "38m",
        (firing("JobTelemetryHandlerErrors", hook="record"),),
    ),
    Case(
        "JobTelemetryHandlerErrors",
        "a counter that begins again after Redis was emptied raises nothing",
        alive() | counter(contract.HANDLER_ERRORS, "hook", "record", "4+0x30 0+0x60"),
        "35m",
    ),
    Case(
        "JobTelemetryHandlerErrors",
        "errors of long ago raise nothing when the exporter restarts",
        alive(away=(30, 38))
        | counter(contract.HANDLER_ERRORS, "hook", "record", values([4] * 30 + [None] * 8 + [4] * 60)),
        "50m",
    ),
    Case(
        "JobTelemetryHandlerErrors",
        "errors that were there before Prometheus was raise nothing",
        counter(contract.HANDLER_ERRORS, "hook", "record", values([None] * 20 + [4] * 60))
        | {name("up"): values([None] * 20 + [1] * 60), name(contract.UP.name): values([None] * 20 + [1] * 60)},
        "25m",
    ),
    Case(
        "JobTelemetrySeriesDropped",
        "a full family is a ticket",
        alive() | counter(contract.SERIES_DROPPED, "family", "jobtelemetry_job_errors_total", "_x20 7+0x60"),
        "25m",
        (firing("JobTelemetrySeriesDropped", family="jobtelemetry_job_errors_total"),),
    ),
    Case(
        "JobTelemetrySeriesDropped",
        "the first one that finds no room is a ticket, though its series appears with value 1",
        alive() | counter(contract.SERIES_DROPPED, "family", "jobtelemetry_job_errors_total", "_x20 1+0x60"),
        "25m",
        (firing("JobTelemetrySeriesDropped", family="jobtelemetry_job_errors_total"),),
    ),
    Case(
        "JobTelemetrySeriesDropped",
        "a family that was full long ago raises nothing when the exporter restarts or Redis is emptied",
        alive(away=(30, 38))
        | counter(
            contract.SERIES_DROPPED,
            "family",
            "jobtelemetry_job_errors_total",
            values([7] * 30 + [None] * 8 + [7] * 4 + [0] * 60),
        ),
        "45m",
    ),
    Case(
        "JobTelemetrySeriesDropped",
        "a family that was full and is no longer raises nothing",
        alive() | counter(contract.SERIES_DROPPED, "family", "jobtelemetry_job_errors_total", flat(7)),
        "60m",
    ),
    Case(
        LOST,
        "counts that were lost are a ticket, at once",
        alive() | losses([None] * 60 + [3590] * 60, [0] * 60 + [70] * 60, [-9000] * 60 + [3590] * 60),
        "61m",
        (firing(LOST),),
    ),
    Case(
        LOST,
        "a second loss is told again, though the first is known",
        alive() | losses([0] * 300, [70] * 200 + [90] * 100, [0] * 200 + [60_000] * 100),
        "1005m",
        (firing(LOST),),
        "5m",
        settings=("lost_memory=10h",),
    ),
    Case(
        LOST,
        "a loss is told for a day",
        alive() | losses([0] * 400, [70] * 400, [0] * 400),
        "26h",
        every="5m",
    ),
    Case(
        LOST,
        "a generation that begins with the first job ever is no loss",
        alive() | losses([None] * 120, [0] * 120, [None] * 60 + [3590] * 60),
        "61m",
    ),
    Case(
        DIFFER,
        "accounts that have fewer executions than the counters are a ticket",
        alive() | {name(contract.ACCOUNTS_DIFFERENCE.name): "0+0x20 -3+0x60"},
        "30m",
        (firing(DIFFER),),
    ),
    Case(
        DIFFER,
        "two exporters that read at different moments do not differ",
        alive()
        | {
            name(contract.ACCOUNTS_DIFFERENCE.name): flat(0),
            name(contract.ACCOUNTS_DIFFERENCE.name, "b:10427"): flat(1),
        },
        "30m",
    ),
    Case(
        DIFFER, "accounts that agree raise nothing", alive() | {name(contract.ACCOUNTS_DIFFERENCE.name): flat(0)}, "60m"
    ),
    Case(
        RECONCILER,
        "an exporter that may not write is a ticket",
        alive() | {name(contract.RECONCILER_UP.name): flat(0)},
        "10m",
        (firing(RECONCILER),),
    ),
    Case(
        RECONCILER,
        "several exporters of which one may write are fine",
        alive() | {name(contract.RECONCILER_UP.name): flat(0), name(contract.RECONCILER_UP.name, "b:10427"): flat(1)},
        "30m",
    ),
    Case(RECONCILER, "an exporter that never tried says nothing", alive(), "30m"),
    Case(
        REJECTED,
        "a value that is not ours is a ticket",
        alive() | {name(contract.VALUES_REJECTED.name): "0+0x20 1+0x60"},
        "30m",
        (firing(REJECTED),),
    ),
    Case(REJECTED, "no such value raises nothing", alive() | {name(contract.VALUES_REJECTED.name): flat(0)}, "30m"),
    Case(
        SKEW,
        "a clock that is minutes wrong is a ticket",
        alive() | {name(contract.CLOCK_SKEW.name): flat(-180)},
        "15m",
        (firing(SKEW),),
    ),
    Case(
        SKEW,
        "clocks that are a second apart raise nothing",
        alive() | {name(contract.CLOCK_SKEW.name): flat(1.2)},
        "30m",
    ),
    Case(
        SKEW,
        "a clock that is set right within minutes raises nothing",
        alive() | {name(contract.CLOCK_SKEW.name): "0+0x20 90+0x4 0+0x60"},
        "26m",
    ),
    Case(
        "JobTelemetryWatchdog",
        "in a healthy run the watchdog is the only alert",
        alive() | executions(completed="0+9x600", cancelled="0+5x600"),
        "9h",
    ),
)
