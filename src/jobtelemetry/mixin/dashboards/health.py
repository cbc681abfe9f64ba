"""The objective, and whether the telemetry can be believed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, queries, tables, theme
from jobtelemetry.mixin.dashboards.frame import frame, row, scoped
from jobtelemetry.mixin.dashboards.panels import instant_query, range_query
from jobtelemetry.mixin.durations import spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "worker")
    about = "How fast the error budget burns and what is left of it, and whether the telemetry is complete."
    dashboard = frame(config, Board.HEALTH, about, ("worker",))
    dashboard = dashboard.with_row(row("Objective"))
    for panel in objective(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("Is the telemetry complete?"))
    for panel in (*audit(q), *proof(q), *errors(q)):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def objective(q: PromQL) -> list[panels.PanelBuilder]:
    """Budget and burn rates."""
    config, allowed = q.config, f"{1 - q.config.objective:.6g}"
    burnt = f"max by (worker) ({names.discard_ratio(config.slo_window)}{{{_scope(q)}}})"
    left = f"clamp_min(1 - {burnt} / {allowed}, {theme.LEAST_BUDGET:g})"
    windows = config.reachable_burn_rates
    burns: list[panels.PanelBuilder] = [
        panels.lines(
            f"Burn rate over {spoken(rate.long)}",
            f"How many times faster than the objective allows jobs are discarded. Above {rate.factor:g}, and over "
            f"{spoken(rate.short)} as well, the alert is a {rate.severity}. Without data where no job ended; "
            "the colours are those of the discard ratio above.",
            [
                range_query(
                    f"max by (worker) ({names.discard_ratio(rate.long)}{{{_scope(q)}}}) / {allowed}", "{{worker}}"
                )
            ],
            width=max(6, 24 // max(1, len(windows))),
            height=8,
            thresholds=theme.steps("transparent", (rate.factor, theme.BAD)),
            decimals=1,
            per=("worker", q),
        )
        for rate in windows
    ]
    return [
        panels.bars(
            "Error budget left",
            f"Per worker: the part of the discards that the objective of {config.slo:g} % allows in "
            f"{spoken(config.slo_window)} that is left. Empty means that the objective is missed.",
            [instant_query(f"sort({panels.shortened(left, 'worker')})", "A", legend="{{short}}")],
            unit=theme.PERCENT,
            width=12,
            height=8,
            highest=1,
            decimals=0,
            thresholds=theme.steps(theme.BAD, (0, theme.WARN), (0.25, theme.GOOD)),
        ),
        panels.lines(
            "Discard ratio",
            f"Discarded of all jobs that ended as completed or discard, over {spoken(config.slo_window)}. The line is "
            "what the objective allows.",
            [range_query(f"max by (worker) ({names.discard_ratio(config.slo_window)}{{{_scope(q)}}})", "{{worker}}")],
            unit=theme.PERCENT,
            thresholds=theme.steps("transparent", (1 - config.objective, theme.BAD)),
            least_axis=2 * (1 - config.objective),
            decimals=2,
            per=("worker", q),
        ),
        *burns,
    ]


def audit(q: PromQL) -> list[panels.PanelBuilder]:
    """The top line of the second half: 0 is health."""
    zero = theme.steps(theme.GOOD, (1, theme.BAD))
    notable = theme.steps(theme.NEUTRAL, (1, theme.WARN))
    return [
        panels.figure(
            "Exporter",
            "Whether Prometheus reaches an exporter, of each installation that is chosen.",
            f"min(max by ({', '.join(q.config.scrape_labels)}) ({q.scraped}))",
            thresholds=theme.steps(theme.BAD, (1, theme.GOOD)),
            mappings=[_words("down", "up")],
            no_value="absent",
        ),
        panels.figure(
            "Redis",
            "Whether the exporter could read Redis: each of them, where there are several.",
            f"min({q.of(contract.UP)})",
            thresholds=theme.steps(theme.BAD, (1, theme.GOOD)),
            mappings=[_words("away", "reached")],
        ),
        panels.figure(
            "Unrecorded",
            "Executions that RQ counted for its live workers and jobtelemetry did not record: 0 is health.",
            f"max({q.raw(contract.UNRECORDED_EXECUTIONS)})",
            thresholds=zero,
        ),
        panels.figure(
            "Uninstrumented",
            "Live RQ workers whose executions are not recorded: 0 is health.",
            f"max({q.raw(contract.RQ_WORKERS_UNINSTRUMENTED)})",
            thresholds=zero,
        ),
        panels.figure(
            "Hook errors",
            "Errors inside jobtelemetry's own hooks in the time range; no job was affected. 0 is health.",
            f"{queries.total(q, contract.HANDLER_ERRORS)} or vector(0)",
            thresholds=zero,
        ),
        panels.figure(
            "Dropped",
            "Observations counted under worker='__other__' in the time range, because a family was full. 0 is health.",
            f"{queries.total(q, contract.SERIES_DROPPED)} or vector(0)",
            thresholds=zero,
        ),
        panels.figure(
            "Reconciled",
            "Executions in the time range whose end nobody reported, because their RQ worker died.",
            queries.total(q, contract.EXECUTIONS_RECONCILED),
            thresholds=notable,
        ),
        panels.figure(
            "Late",
            "Ends in the time range that were reported after the execution had been counted as abandoned.",
            queries.total(q, contract.EXECUTIONS_LATE),
            thresholds=notable,
        ),
    ]


def proof(q: PromQL) -> list[panels.PanelBuilder]:
    """Whether nothing was lost, and the books agree."""
    zero = theme.steps(theme.GOOD, (1, theme.BAD))
    skew = q.config.skew_seconds
    return [
        panels.figure(
            "Counts lost",
            "Executions that are missing in the counters, as far as it is known, because keys of jobtelemetry in Redis "
            "were deleted, evicted or replaced by an older state. 0 is health.",
            f"max({q.raw(contract.COUNTS_LOST)})",
            thresholds=zero,
        ),
        panels.figure(
            "Missing since",
            "Since when counts are missing; empty if none ever were.",
            f"1000 * max({q.raw(contract.COUNTS_LOST_AT)})",
            unit=theme.FROM_NOW,
            thresholds=zero,
            no_value="never",
        ),
        panels.figure(
            "Numbers begin",
            "When the present generation of numbers began: since then nothing was lost.",
            f"1000 * max({q.raw(contract.GENERATION_STARTED)})",
            unit=theme.FROM_NOW,
        ),
        panels.figure(
            "Books",
            "Executions in the accounts of the RQ workers minus those in the counters. 0 is health.",
            f"max(abs({q.raw(contract.ACCOUNTS_DIFFERENCE)}))",
            thresholds=zero,
        ),
        panels.figure(
            "Reconciler",
            "Whether an exporter may write to (each) Redis, and so counts executions whose RQ worker died.",
            f"min({q.of(contract.RECONCILER_UP)})",
            thresholds=theme.steps(theme.BAD, (1, theme.GOOD)),
            mappings=[_words("cannot write", "writes")],
        ),
        panels.figure(
            "Rejected",
            "Values under jobtelemetry's keys that are not its own or make no sense. 0 is health.",
            f"max({q.raw(contract.VALUES_REJECTED)})",
            thresholds=zero,
        ),
        panels.figure(
            "Clock skew",
            "By how much the clock of a host that works with RQ differs from Redis's, at most; empty where it is not "
            "known.",
            f"max(abs({q.raw(contract.CLOCK_SKEW)}))",
            unit=theme.SECONDS,
            thresholds=theme.steps(theme.GOOD, (skew / 3, theme.WARN), (skew, theme.BAD)),
        ),
        panels.figure(
            "RQ workers",
            "Live RQ worker processes, each counted once.",
            f"sum({q.of(contract.RQ_WORKER_PROCESSES)})",
            thresholds=theme.steps(theme.BAD, (1, theme.GOOD)),
        ),
    ]


def errors(q: PromQL) -> list[panels.PanelBuilder]:
    """The same over time."""
    reconciled = f"60 * sum({q.rate(contract.EXECUTIONS_RECONCILED, queries.RATE)})"
    late = f"60 * sum({q.rate(contract.EXECUTIONS_LATE, queries.RATE)})"
    hooks = f"{queries.per_minute(q, contract.HANDLER_ERRORS, 'hook')}"
    dropped = f"{queries.per_minute(q, contract.SERIES_DROPPED, 'family')}"
    unwritten = f"60 * sum({q.rate(contract.OWN_UNWRITTEN, queries.RATE)})"
    left_out = f"60 * sum({q.rate(contract.OWN_LEFT_OUT, queries.RATE)})"
    series = f'count({{__name__=~"jobtelemetry_.+", {q.config.selector}{q.installation}}})'
    unread = f"{q.raw(contract.LABEL_SETS)} - {q.raw(contract.LABEL_SETS_READ)}"
    return [
        panels.lines(
            "Blind spots",
            "Unrecorded executions and uninstrumented RQ workers: 0 is health. Series of own metrics that are kept and "
            "not shown, because their name has two types, are there where there are some, and so are label sets that "
            "an exporter which has just started has not read yet.",
            [
                range_query(f"max({q.raw(contract.UNRECORDED_EXECUTIONS)})", "unrecorded executions"),
                range_query(f"max({q.raw(contract.RQ_WORKERS_UNINSTRUMENTED)})", "uninstrumented RQ workers"),
                range_query(f"sum({q.of(contract.OWN_UNSERVED)}) > 0", "own series not shown"),
                range_query(f"max({unread}) > 0", "label sets not read yet"),
            ],
            width=8,
            height=7,
            colors={
                "unrecorded executions": "red",
                "uninstrumented RQ workers": "orange",
                "own series not shown": "yellow",
                "label sets not read yet": "yellow",
            },
            decimals=0,
        ),
        panels.lines(
            "Ends that nobody reported, and late ones",
            "Executions counted by the reconciler, and ends that came after that, a minute.",
            [range_query(reconciled, "reconciled"), range_query(late, "late")],
            unit=theme.PER_MINUTE,
            width=8,
            height=7,
            colors={"reconciled": "purple", "late": "yellow"},
        ),
        panels.lines(
            "Errors in hooks, and dropped series",
            "A minute, by hook and by family; executions whose own metrics died with their work-horse, and "
            "observations in own metrics that were left out. In a healthy run there is only the line at 0.",
            [
                range_query(hooks, "{{hook}}"),
                range_query(dropped, "{{family}}"),
                range_query(f"{unwritten} > 0", "own metrics of killed work-horses"),
                range_query(f"{left_out} > 0", "own metrics left out"),
                range_query("vector(0)", "none"),
            ],
            unit=theme.PER_MINUTE,
            width=8,
            height=7,
        ),
        panels.lines(
            "Time to read Redis",
            "How long the exporter took for a scrape, by instance.",
            [range_query(f"max by (instance) ({q.raw(contract.SCRAPE_DURATION)})", "{{instance}}")],
            unit=theme.SECONDS,
            least_axis=0.05,
            width=8,
            height=7,
        ),
        panels.lines(
            "Series",
            "Series of jobtelemetry in Prometheus, of all exporters together: what the telemetry costs there.",
            [range_query(series, "series")],
            width=8,
            height=7,
            decimals=0,
        ),
        tables.listing(
            "Exporters",
            "The version of every exporter that is scraped.",
            {"instance": "Instance", "version": "Version"},
            [tables.Column("Up", f"max by (instance, version) ({q.raw(contract.BUILD_INFO)})", hidden=True)],
            sort="Instance",
            descending=False,
            width=8,
            height=7,
        ),
    ]


def _words(no: str, yes: str) -> model.ValueMap:
    results = {"0": model.ValueMappingResult(text=no, index=0), "1": model.ValueMappingResult(text=yes, index=1)}
    return model.ValueMap(options=results)


def _scope(q: PromQL) -> str:
    return f'{q.config.selector}, worker=~"$worker"{q.installation}'
