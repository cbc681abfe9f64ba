"""One job class: how its executions end, why, and how long they take."""

from __future__ import annotations

from string import ascii_uppercase

from grafana_foundation_sdk.builders import dashboard as build

from jobtelemetry import contract
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, queries, theme
from jobtelemetry.mixin.dashboards.frame import board_url, frame, row, scoped
from jobtelemetry.mixin.dashboards.panels import range_query
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.outcomes import MATCH, SUCCESS, State

_LEVELS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "worker", "queue", "source")
    about = "One worker, that is one job function or class: how its executions end, why, and how long they take."
    dashboard = frame(config, Board.WORKER, about, ("worker!", "queue", "source"))
    for panel in (*figures(q), *endings(q)):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("Why"))
    for panel in causes(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("How long"))
    for panel in times(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("What they take"))
    for panel in resources(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("Attempts and traffic"))
    for panel in traffic(q):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def figures(q: PromQL) -> list[panels.PanelBuilder]:
    """Exact counts by state, what runs now, and when it last completed."""
    in_the_log = ("Which ones? Open the log", board_url(Board.EXECUTIONS, q))
    counts: list[panels.PanelBuilder] = [
        panels.figure(
            state.value.capitalize(),
            f"Executions in the time range, exactly: {state.row.meaning}.",
            queries.total(q, contract.JOB_EXECUTIONS, in_state(state)),
            thresholds=theme.steps(theme.NEUTRAL, (1, theme.STATE_COLORS[state.value])),
            leads_to=in_the_log if state.failed and q.config.loki_selector else None,
        )
        for state in State
    ]
    return [
        *counts,
        panels.figure("Running", "Executions that run now.", f"sum({q.of(contract.EXECUTIONS_RUNNING)})"),
        panels.figure(
            "Last completed",
            "When an execution last completed.",
            f"1000 * max({q.raw(contract.JOB_LAST_COMPLETED)})",
            unit=theme.FROM_NOW,
        ),
    ]


def endings(q: PromQL) -> list[panels.PanelBuilder]:
    """States and ratios over time."""
    return [
        panels.lines(
            "Executions by state",
            "Executions that ended in the time of each bar, exactly.",
            [range_query(queries.per_interval(q, contract.JOB_EXECUTIONS, "state"), "{{state}}")],
            colors=theme.STATE_COLORS,
            stacked=True,
            bars=True,
            interval="1m",
        ),
        panels.lines(
            "Success and match ratio",
            "Of the jobs that ended: success is completed of completed and discard, match is completed of completed "
            "and cancelled.",
            [
                range_query(queries.ratio_over_time(q, q.by(), SUCCESS), "success"),
                range_query(queries.ratio_over_time(q, q.by(), MATCH), "match"),
            ],
            unit=theme.PERCENT,
            highest=1,
            interval="2m",
            connect=True,
            colors={"success": theme.STATE_COLORS[State.COMPLETED], "match": theme.STATE_COLORS[State.CANCELLED]},
        ),
    ]


def causes(q: PromQL) -> list[panels.PanelBuilder]:
    """Reasons and error types."""
    return [
        _by_rank(
            q,
            "Cancellations by reason",
            "Why executions were cancelled, exactly, in the time of each bar. Without data where none was. The five "
            "reasons that come most often have colours.",
            (contract.JOB_CANCELLATIONS, "reason"),
            theme.REASON_COLORS,
            no_value="Nothing was cancelled",
        ),
        _by_rank(
            q,
            "Errors by type",
            "Executions that ended as failure or discard, by exception class or kind of death, exactly. Without data "
            "where none failed. The five types that come most often have colours.",
            (contract.JOB_ERRORS, "error_type"),
            theme.ERROR_COLORS,
            no_value="Nothing failed",
        ),
    ]


def _by_rank(
    q: PromQL,
    title: str,
    description: str,
    what: tuple[contract.Family, str],
    colors: tuple[str, ...],
    *,
    no_value: str,
) -> panels.PanelBuilder:
    # Grafana has no palette without green, and its shades of one colour are as good as the same. So the colour goes by
    # the query, and the query by the rank.
    family, label = what
    found = [range_query(expr, f"{{{{{label}}}}}") for expr in queries.by_rank(q, family, label, len(colors))]
    panel = panels.lines(title, description, found, stacked=True, bars=True, interval="1m", no_value=no_value)
    for letter, color in zip(ascii_uppercase, (*colors, theme.NEUTRAL), strict=False):
        panel = panel.override_by_query(letter, [theme.color(color)])
    return panel


def times(q: PromQL) -> list[panels.PanelBuilder]:
    """Heatmaps and percentiles of run time and wait."""
    run = f"sum by (le) ({q.rate(contract.JOB_DURATION, '$__rate_interval', suffix='_bucket')})"
    wait = f"sum by (le) ({q.rate(contract.JOB_WAIT, '$__rate_interval', suffix='_bucket')})"
    return [
        panels.density(
            "Run time",
            "How long executions ran. The dots are exemplars: click one to open its trace. They are there where jobs "
            "are traced and Prometheus stores exemplars.",
            run,
            exemplars=True,
        ),
        panels.density(
            "Wait",
            "From when a job could run to its start; an intended delay is not counted.",
            wait,
            scheme="Purples",
        ),
        panels.durations(
            "Run time, percentiles",
            "The run time that 50, 95 and 99 % of the executions did not exceed.",
            _percentiles(q, contract.JOB_DURATION),
            colors=theme.QUANTILE_COLORS,
        ),
        panels.durations(
            "Wait, percentiles",
            "The wait that 50, 95 and 99 % of the executions did not exceed.",
            _percentiles(q, contract.JOB_WAIT),
            colors=theme.QUANTILE_COLORS,
        ),
    ]


def resources(q: PromQL) -> list[panels.PanelBuilder]:
    """Processor time and memory."""
    by = q.by()
    cpu = f"sum by ({by}) ({q.rate(contract.JOB_CPU, '$__rate_interval')})"
    ended = f"sum by ({by}) ({q.rate(contract.JOB_EXECUTIONS, '$__rate_interval')})"
    return [
        panels.lines(
            "Processors in use",
            "How many processors this worker's executions keep busy. Without data where RQ workers do not measure it.",
            [range_query(cpu, "processors")],
            width=8,
            colors={"processors": "blue"},
            no_value="Not measured",
        ),
        panels.durations(
            "Processor time of an execution",
            "The mean. An execution that was abandoned has none.",
            [(f"{cpu} / ({ended} > 0)", "mean")],
            width=8,
            colors={"mean": "blue"},
            connect=True,
            no_value="Not measured",
        ),
        panels.lines(
            "Peak memory",
            "By how much an execution's work-horse grew at most: the largest of the last two hours in which any ran, "
            "also of one that was killed. The limit is what is left for a job in the control group of an RQ worker.",
            [
                range_query(f"max by (queue) ({q.raw(contract.JOB_PEAK_MEMORY)})", "{{queue}}"),
                range_query(f"min by ({by}) ({q.raw(contract.JOB_MEMORY_LIMIT)})", "limit"),
            ],
            unit=theme.BYTES,
            width=8,
            colors={"limit": "red"},
            no_value="Not measured",
            per=("queue", q),
        ),
    ]


def traffic(q: PromQL) -> list[panels.PanelBuilder]:
    """Attempts, and what comes in against what goes out."""
    by = q.by()
    wrong = in_state(*(state for state in State if state.failed))
    failed = f"sum by ({by}) ({q.rate(contract.JOB_EXECUTIONS, '$__rate_interval', wrong)})"
    ended = f"sum by ({by}) ({q.rate(contract.JOB_EXECUTIONS, '$__rate_interval')})"
    jobs = in_state(*(state for state in State if state.terminal))
    terminal = f"sum by ({by}) ({q.rate(contract.JOB_EXECUTIONS, '$__rate_interval', jobs)})"
    oldest = f"time() - min by (queue) ({q.raw(contract.EXECUTION_OLDEST_START)})"
    return [
        panels.lines(
            "Attempts that fail",
            "The part of all executions that ended as failure or discard. This is about attempts: a job that fails "
            "twice and then completes is a success.",
            [range_query(f"{failed} / ({ended} > 0)", "failed attempts")],
            unit=theme.PERCENT,
            width=8,
            highest=1,
            colors={"failed attempts": "orange"},
            connect=True,
        ),
        panels.lines(
            "Attempts per job",
            "Executions for each job that came to its end. 1 means that nothing is retried.",
            [range_query(f"{ended} / ({terminal} > 0)", "attempts")],
            width=8,
            colors={"attempts": "purple"},
            connect=True,
        ),
        panels.lines(
            "Rate limits",
            "Executions that ended in failure or discard because of somebody's rate limit, exactly, in the time of "
            "each bar.",
            [range_query(queries.per_interval(q, contract.JOB_RATE_LIMITED, "queue"), "{{queue}}")],
            width=8,
            stacked=True,
            bars=True,
            interval="1m",
            no_value="No rate limit was met",
            per=("queue", q),
        ),
        panels.lines(
            "Enqueued and ended",
            "Times a job was put on a queue by an instrumented process, and executions that ended, a minute. Where "
            "the first stays above the second, a backlog grows.",
            [
                range_query(f"60 * sum by ({by}) ({q.rate(contract.JOBS_ENQUEUED, '$__rate_interval')})", "enqueued"),
                range_query(f"60 * {ended}", "ended"),
            ],
            unit=theme.PER_MINUTE,
            width=8,
            colors={"enqueued": "yellow", "ended": "green"},
        ),
        panels.lines(
            "Age of the oldest running execution",
            "Without data where nothing runs at the moment.",
            [range_query(f"({oldest}) / 60", "{{queue}}")],
            unit=theme.MINUTES,
            width=8,
            no_value="Nothing runs",
            per=("queue", q),
        ),
    ]


def _percentiles(q: PromQL, family: contract.Family) -> list[tuple[str, str]]:
    return [(q.quantile(level, family, "$__rate_interval", ()), name) for name, level in _LEVELS.items()]
