"""Is anything wrong, and where?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, queries, tables, theme
from jobtelemetry.mixin.dashboards.frame import OUR_ALERTS, board_url, frame, row, scoped
from jobtelemetry.mixin.dashboards.panels import range_query
from jobtelemetry.mixin.dashboards.tables import Column
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL, in_state
from jobtelemetry.outcomes import MATCH, SUCCESS, State

_QUEUED = 'status="queued"'
#: The number of the panel with the alerts.
_ALERTS = 10


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "queue", "worker", "source")
    dashboard = frame(config, Board.OVERVIEW, "Is anything wrong, and where?", ("queue", "worker", "source"))
    for panel in figures(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_panel(throughput(q)).with_panel(alerts(q))
    dashboard = dashboard.with_row(row("Every worker")).with_panel(summary(q))
    dashboard = dashboard.with_row(row("Queues and RQ workers"))
    for panel in queue_panels(q):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def figures(q: PromQL) -> list[panels.PanelBuilder]:
    """The top line: green is good."""
    config = q.config
    burnt = names.discard_ratio(config.slo_window)
    left = f"1 - {burnt}{{{config.selector}, worker=~'$worker'{q.installation}}} / {1 - config.objective:.6g}"
    worst = f"clamp_min(min({left}), {theme.LEAST_BUDGET:g})"
    ours = f'ALERTS{{alertstate="firing", severity!="{config.severity_none}", {OUR_ALERTS}{q.installation}}}'
    ratio_steps = theme.steps(theme.BAD, (config.objective, theme.GOOD))
    objective = ("Open the objective", board_url(Board.HEALTH, q))
    telemetry = ("Is the telemetry complete?", board_url(Board.HEALTH, q))
    queues = ("Open the queues", board_url(Board.QUEUES, q))
    age = f"max(time() - min by ({q.by('queue')}) ({q.raw(contract.QUEUE_OLDEST_JOB)})) or vector(0)"
    return [
        panels.figure(
            "Success ratio",
            "Completed of all jobs that ended as completed or discard, in the time range. The objective is "
            f"{config.slo:g} %. Cancelled and stopped jobs are in neither part, retried attempts are not counted.",
            f"{queries.total(q, contract.JOB_EXECUTIONS, in_state(State.COMPLETED))}\n"
            f"/ ({queries.total(q, contract.JOB_EXECUTIONS, in_state(*SUCCESS.states))} > 0)",
            unit=theme.PERCENT,
            thresholds=ratio_steps,
            decimals=2,
            leads_to=objective,
        ),
        panels.figure(
            "Budget left",
            "The error budget of the worker that has least left: what part of the discards that the objective allows "
            f"in {spoken(config.slo_window)} is left. Below 0 the objective is missed; what is below "
            f"{theme.LEAST_BUDGET:.0%} reads {theme.LEAST_BUDGET:.0%}.",
            worst,
            unit=theme.PERCENT,
            thresholds=theme.steps(theme.BAD, (0, theme.WARN), (0.25, theme.GOOD)),
            decimals=0,
            leads_to=objective,
        ),
        panels.figure(
            "Alerts",
            "Alerts of this mixin that fire now, the watchdog not counted.",
            f"count(count by (alertname, severity, worker, queue) ({ours})) or vector(0)",
            thresholds=theme.steps(theme.GOOD, (1, theme.BAD)),
            leads_to=("Which?", f"{board_url(Board.OVERVIEW, q)}&viewPanel=panel-{_ALERTS}"),
        ),
        panels.figure(
            "Unrecorded",
            "The audit: executions that RQ counted for its live workers and jobtelemetry did not record. 0 is "
            "health, anything else a blind spot.",
            f"max({q.raw(contract.UNRECORDED_EXECUTIONS)})",
            thresholds=theme.steps(theme.GOOD, (1, theme.BAD)),
            leads_to=telemetry,
        ),
        panels.figure(
            "Executions",
            "Executions that ended in the time range, exactly.",
            queries.total(q, contract.JOB_EXECUTIONS),
        ),
        panels.figure(
            "Jobs waiting",
            "Jobs on the queues now.",
            f"sum(max by ({q.by('queue')}) ({q.raw(contract.QUEUE_JOBS, _QUEUED)}))",
            leads_to=queues,
        ),
        panels.figure(
            "Longest wait",
            f"How long the oldest job on a queue has waited. From {spoken(config.oldest_job_age)} on there is an "
            "alert.",
            age,
            unit=theme.SECONDS,
            thresholds=theme.steps(
                theme.GOOD,
                (seconds(config.oldest_job_age) / 3, theme.WARN),
                (seconds(config.oldest_job_age), theme.BAD),
            ),
            decimals=0,
            leads_to=queues,
        ),
        panels.figure(
            "RQ workers",
            "Live RQ worker processes, each counted once, of all queues.",
            f"sum({q.of(contract.RQ_WORKER_PROCESSES)})",
            thresholds=theme.steps(theme.BAD, (1, theme.GOOD)),
            leads_to=queues,
        ),
    ]


def throughput(q: PromQL) -> panels.PanelBuilder:
    """How executions end, over time."""
    return panels.lines(
        "Executions by state",
        "Executions that ended in the time of each bar, exactly. Cancelled is a decision of the job, failure will be "
        "retried, discard will not.",
        [range_query(queries.per_interval(q, contract.JOB_EXECUTIONS, "state"), "{{state}}")],
        colors=theme.STATE_COLORS,
        stacked=True,
        bars=True,
        interval="1m",
        width=9,
        height=9,
    )


def alerts(q: PromQL) -> panels.PanelBuilder:
    """Which alerts fire."""
    ours = f'ALERTS{{alertstate="firing", severity!="{q.config.severity_none}", {OUR_ALERTS}{q.installation}}}'
    began = ours.replace('ALERTS{alertstate="firing", ', "ALERTS_FOR_STATE{")
    published = q.config.runbook_url
    remedy, about = (
        ("A click on the name of an alert opens its runbook.", ("Open the runbook", f"{published}/${{__value.raw}}.md"))
        if published
        else (
            "`jobtelemetry runbook NAME` says what to do about an alert.",
            ("Open SLO and telemetry health", board_url(Board.HEALTH, q)),
        )
    )
    since = f"1000 * min by (alertname, severity, worker, queue) ({began} and ignoring (alertstate) {ours})"
    return tables.listing(
        "Alerts that fire",
        f"Empty in a healthy run. {remedy}",
        {"alertname": "Alert", "severity": "Severity", "worker": "Worker", "queue": "Queue"},
        [Column("Since", since, theme.FROM_NOW, decimals=None, width=110)],
        sort="Severity",
        descending=False,
        width=15,
        height=9,
        links={
            "Alert": about,
            "Worker": ("Open this worker", board_url(Board.WORKER, q, label="worker", value="${__value.raw}")),
            "Queue": ("Open this queue", board_url(Board.QUEUES, q, label="queue", value="${__value.raw}")),
        },
        widths={"Alert": 270, "Severity": 80, "Worker": 330},
        wrapped=("Worker", "Queue"),
        no_value="No alert fires",
    )


def summary(q: PromQL) -> panels.PanelBuilder:
    """What the SQL over the old table gave."""
    return tables.listing(
        "Summary",
        "Every worker's executions in the time range, as whole numbers: differences of the counters themselves and "
        "not increase(), which extrapolates. Success is completed of completed and discard; match is completed of "
        "completed and cancelled. p95 is the run time of all executions. The worst comes first: most discards, then "
        "the lowest success.",
        {"worker": "Worker"},
        summary_columns(q),
        sort="Discard",
        then=(("Success", False), ("Failure", True)),
        height=10,
        links={"Worker": ("Open this worker", board_url(Board.WORKER, q, label="worker", value="${__value.raw}"))},
    )


def summary_columns(q: PromQL) -> list[Column]:
    """The columns of the table, which a test holds against a demo run."""
    good = ((None, theme.BAD), (q.config.objective, theme.GOOD))
    why = ("Why? Open this worker", board_url(Board.WORKER, q, label="worker", value="${__data.fields.Worker}"))
    counts = [
        Column(
            state.value.capitalize(),
            queries.counted(q, contract.JOB_EXECUTIONS, "worker", in_state(state)),
            color=theme.STATE_COLORS[state.value],
            width=105,
            leads_to=why if state.failed else None,
        )
        for state in State
    ]
    running = f"sum by (worker) ({q.of(contract.EXECUTIONS_RUNNING)})"
    return [
        *counts,
        Column("Running", running, width=90),
        Column(
            "Success",
            queries.ratio(q, "worker", SUCCESS),
            theme.PERCENT,
            thresholds=good,
            decimals=2,
            width=100,
            leads_to=why,
        ),
        Column("Match", queries.ratio(q, "worker", MATCH), theme.PERCENT, decimals=1, width=90),
        Column(
            "p95",
            queries.quantile_in_range(q, 0.95, contract.JOB_DURATION, "worker"),
            theme.SECONDS,
            decimals=None,
            width=95,
        ),
        Column("Last completed", queries.last_completed(q, "worker"), theme.FROM_NOW, decimals=None, width=165),
    ]


def queue_panels(q: PromQL) -> list[panels.PanelBuilder]:
    """The queues in short; the dashboard of their own says more."""
    by = q.by("queue")
    head = f"min by ({by}) ({q.raw(contract.QUEUE_OLDEST_JOB)})"
    queued = f"max by ({by}) ({q.raw(contract.QUEUE_JOBS, _QUEUED)})"
    oldest = f"max by (queue) (time() - {head}) or sum by (queue) ({queued}) * 0"
    waiting = f"sum by (queue) ({queued})"
    workers = f"sum by (queue) (max by ({q.by('queue', 'status')}) ({q.raw(contract.RQ_WORKERS)}))"
    return [
        panels.lines(
            "Age of the oldest job",
            "How long the job at the head of each queue has waited.",
            [range_query(f"({oldest}) / 60", "{{queue}}")],
            unit=theme.MINUTES,
            width=8,
            per=("queue", q),
        ),
        panels.lines(
            "Jobs waiting",
            "Jobs on each queue.",
            [range_query(waiting, "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "RQ workers",
            "Live RQ workers that listen on each queue.",
            [range_query(workers, "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
    ]
