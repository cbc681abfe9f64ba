"""The telemetry itself."""

from __future__ import annotations

from jobtelemetry import contract
from mixin.series import Case, Series, alive, executions, firing, flat, name, values

_DOWN = firing("JobTelemetryExporterDown", "page")
_GAP = values([1] * 20 + [None] * 2 + [1] * 60)


def counter(family: contract.Family, label: str, value: str, numbers: str) -> Series:
    """A counter of the telemetry's own troubles."""
    return {name(family.name, **{label: value}): numbers}


def installation(cluster: str, numbers: str) -> Series:
    """The exporter of one of several installations: it answers, or is gone together with its target."""
    return {name(metric, f"{cluster}:10427", cluster=cluster): numbers for metric in ("up", contract.UP.name)}


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
        "JobTelemetryWorkersUninstrumented",
        "an uninstrumented RQ worker is a ticket",
        alive() | {name(contract.RQ_WORKERS_UNINSTRUMENTED.name): flat(1)},
        "10m",
        (firing("JobTelemetryWorkersUninstrumented"),),
    ),
    Case(
        "JobTelemetryWorkersUninstrumented",
        "one that somebody started by hand for a moment raises nothing",
        alive() | {name(contract.RQ_WORKERS_UNINSTRUMENTED.name): "0+0x5 1+0x2 0+0x60"},
        "10m",
    ),
    Case(
        "JobTelemetryWorkersUninstrumented",
        "instrumented RQ workers raise nothing",
        alive() | {name(contract.RQ_WORKERS_UNINSTRUMENTED.name): flat(0)},
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
        "JobTelemetryWatchdog",
        "in a healthy run the watchdog is the only alert",
        alive() | executions(completed="0+9x600", cancelled="0+5x600"),
        "9h",
    ),
)
