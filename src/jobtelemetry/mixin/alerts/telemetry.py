"""Alerts on the telemetry itself: what cannot be seen cannot wake anybody."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.mixin import names
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.rules import Alert


def alerts(q: PromQL) -> tuple[Alert, ...]:
    """All alerts of this group."""
    return (
        exporter_down(q),
        redis_down(q),
        unrecorded(q),
        workers_uninstrumented(q),
        handler_errors(q),
        series_dropped(q),
        counts_lost(q),
        accounts_differ(q),
        reconciler_down(q),
        values_rejected(q),
        clock_skew(q),
        watchdog(q),
    )


def exporter_down(q: PromQL) -> Alert:
    """Nothing is scraped, of all installations or of one that was there: every other alert is blind."""
    known, scraped = q.config.exporter_memory, q.scraped
    there, by = q.raw(contract.UP), ", ".join(q.config.scrape_labels)
    # Where an exporter is down, all that it reads is gone with it: that is one alert.
    with_it = "" if by == q.by() else f"\n  unless on ({by}) max by ({by}) ({scraped}) == 0"
    return Alert(
        "JobTelemetryExporterDown",
        f"max by ({by}) ({scraped}) == 0\n"
        f"or max by ({q.by()}) (present_over_time({there}[{known}]))\n"
        f"  unless max by ({q.by()}) ({there}){with_it}\n"
        f"or absent_over_time({there}[{known}]) unless on () {scraped} == 0",
        "page",
        "The jobtelemetry exporter is down or not scraped.",
        f"Prometheus has no metrics of {_installation(q)}: no exporter answers, or its target is gone. "
        "No job is affected and no count is lost, but no other alert can fire.",
        Board.HEALTH,
        q.config.exporter_hold,
    )


def redis_down(q: PromQL) -> Alert:
    """Every exporter answers, and none can read Redis, or gets to the end of its first read."""
    left = f"{q.raw(contract.LABEL_SETS_READ)} - {q.raw(contract.LABEL_SETS)}"
    return Alert(
        "JobTelemetryRedisDown",
        f"max by ({q.by()}) ({q.raw(contract.UP)}) == 0\nor max by ({q.by()}) ({left}) < 0",
        "page",
        "The exporter cannot read Redis.",
        f"No exporter of {_installation(q)} can read Redis. If Redis is down, no job runs either.",
        Board.HEALTH,
        q.config.redis_hold,
    )


def unrecorded(q: PromQL) -> Alert:
    """RQ counted executions that were not recorded."""
    return Alert(
        "JobTelemetryUnrecordedExecutions",
        f"max by ({q.by()}) ({q.raw(contract.UNRECORDED_EXECUTIONS)}) > 0",
        "ticket",
        "Executions went unrecorded: the figures are not complete.",
        "RQ counted {{ $value }} execution(s) of its live workers that jobtelemetry did not record.",
        Board.HEALTH,
        q.config.audit_hold,
    )


def workers_uninstrumented(q: PromQL) -> Alert:
    """RQ workers run whose executions nobody records: some of a queue's, or all of them."""
    by = q.by("queue")
    blind = f"max by ({by}) ({q.raw(contract.QUEUE_RQ_WORKERS_UNINSTRUMENTED)}) > 0"
    all_of_them = f"{blind}\n  == on ({by}) {names.RQ_WORKERS}"
    return Alert(
        "JobTelemetryWorkersUninstrumented",
        f'label_replace({all_of_them}, "recorded", "nothing", "", "")\n'
        f'or on ({by}) label_replace({blind}, "recorded", "a part", "", "")',
        "ticket",
        "RQ workers run that are not instrumented.",
        "{{ $value }} live RQ worker(s) of queue {{ $labels.queue }} are not instrumented: {{ $labels.recorded }} of "
        "what runs there is recorded.",
        Board.HEALTH,
        q.config.audit_hold,
    )


def handler_errors(q: PromQL) -> Alert:
    """A hook of jobtelemetry failed; the job did not."""
    return Alert(
        "JobTelemetryHandlerErrors",
        _grown(q, contract.HANDLER_ERRORS, "hook"),
        "ticket",
        "Hooks of jobtelemetry fail.",
        f"{{{{ $value }}}} error(s) in the hook {{{{ $labels.hook }}}} in the last {spoken(q.config.health_window)}. "
        "No job was affected; the RQ workers' logs say what happened.",
        Board.HEALTH,
    )


def series_dropped(q: PromQL) -> Alert:
    """A family is full; new label sets are counted together."""
    return Alert(
        "JobTelemetrySeriesDropped",
        _grown(q, contract.SERIES_DROPPED, "family"),
        "ticket",
        "A metric family is full.",
        f"{{{{ $value }}}} observation(s) of {{{{ $labels.family }}}} in the last {spoken(q.config.health_window)} "
        "were counted under worker='__other__', because the family has as many label sets as it may.",
        Board.HEALTH,
    )


def counts_lost(q: PromQL) -> Alert:
    """Redis lost what was counted, or shows an older state of it."""
    lost = f"max by ({q.by()}) ({q.raw(contract.COUNTS_LOST_AT)})"
    generation = f"max by ({q.by()}) ({q.raw(contract.GENERATION_STARTED)})"
    recent = f"< {seconds(q.config.lost_memory)}"
    return Alert(
        "JobTelemetryCountsLost",
        f"max by ({q.by()}) ({q.raw(contract.COUNTS_LOST)})\n"
        f"and (time() - {lost} {recent}\n"
        f"  or time() - {generation} {recent} and {lost})",
        "ticket",
        "Redis lost counts: the figures are too low.",
        "At least {{ $value }} counted execution(s) are missing, because keys of jobtelemetry were deleted, evicted or "
        "replaced by an older state of Redis. What RQ kept there may be missing, too.",
        Board.HEALTH,
    )


def accounts_differ(q: PromQL) -> Alert:
    """Every execution is booked twice, and the sums differ."""
    return Alert(
        "JobTelemetryAccountsDiffer",
        f"min by ({q.by()}) (abs({q.raw(contract.ACCOUNTS_DIFFERENCE)})) > 0",
        "ticket",
        "The accounts of the RQ workers and the counters differ.",
        "Every execution is counted in its label set and in its RQ worker's account; the sums differ by {{ $value }}.",
        Board.HEALTH,
        q.config.audit_hold,
    )


def reconciler_down(q: PromQL) -> Alert:
    """No exporter can count abandoned executions."""
    return Alert(
        "JobTelemetryReconcilerDown",
        f"max by ({q.by()}) ({q.raw(contract.RECONCILER_UP)}) == 0",
        "ticket",
        "No exporter can count executions that were abandoned.",
        f"No exporter of {_installation(q)} may write to Redis, so that executions whose RQ worker died stay as "
        "running.",
        Board.HEALTH,
        q.config.audit_hold,
    )


def values_rejected(q: PromQL) -> Alert:
    """Somebody else writes to our keys."""
    return Alert(
        "JobTelemetryValuesRejected",
        f"max by ({q.by()}) ({q.raw(contract.VALUES_REJECTED)}) > 0",
        "ticket",
        "Values under jobtelemetry's keys make no sense.",
        "{{ $value }} value(s) under jobtelemetry's keys in Redis are not its own or make no sense, and are passed "
        "over.",
        Board.HEALTH,
        q.config.audit_hold,
    )


def clock_skew(q: PromQL) -> Alert:
    """A host's clock is wrong."""
    return Alert(
        "JobTelemetryClockSkew",
        f"max by ({q.by()}) (abs({q.raw(contract.CLOCK_SKEW)})) > {q.config.skew_seconds:g}",
        "ticket",
        "The clock of a host that works with RQ is wrong.",
        "The clock of a host that enqueues or runs jobs differs from that of Redis by {{ $value | humanizeDuration }}: "
        "RQ's own moments are wrong, and what is scheduled runs at another time.",
        Board.HEALTH,
        q.config.skew_hold,
    )


def watchdog(q: PromQL) -> Alert:
    """Always fires: its absence tells that alerts do not arrive."""
    return Alert(
        "JobTelemetryWatchdog",
        "vector(1)",
        "none",
        "Always fires, to show that alerts arrive.",
        "This alert always fires. Let a dead man's switch outside of this Prometheus call you when it stops.",
        Board.HEALTH,
    )


def _grown(q: PromQL, family: Family, label: str) -> str:
    return f"{names.increase(label, family, q.config.health_window)} > 0"


def _installation(q: PromQL) -> str:
    return ", ".join(f"{label} {{{{ $labels.{label} }}}}" for label in q.base)
