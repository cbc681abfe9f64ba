"""Queues, RQ workers and the scheduler: does work get done as fast as it comes?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from jobtelemetry import contract
from jobtelemetry.contract import Family
from jobtelemetry.mixin import names
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import panels, queries, tables, theme
from jobtelemetry.mixin.dashboards.frame import board_url, frame, row, scoped
from jobtelemetry.mixin.dashboards.panels import range_query
from jobtelemetry.mixin.dashboards.tables import Column
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL

#: Statuses of jobs that have yet to run; the others only keep results.
_PENDING = "queued|intermediate|scheduled|deferred|ready_to_enqueue"


def make(config: MixinConfig) -> build.Dashboard:
    """The dashboard."""
    q = scoped(config, "queue")
    about = "Does work get done as fast as it comes, and who does it?"
    dashboard = frame(config, Board.QUEUES, about, ("queue",)).with_panel(table(q))
    dashboard = dashboard.with_row(row("Jobs"))
    for panel in jobs(q):
        dashboard = dashboard.with_panel(panel)
    dashboard = dashboard.with_row(row("RQ workers and scheduler"))
    for panel in workers(q):
        dashboard = dashboard.with_panel(panel)
    return dashboard


def table(q: PromQL) -> panels.PanelBuilder:
    """Every queue in a line."""
    late = seconds(q.config.oldest_job_age)
    ages = ((None, theme.NEUTRAL), (late / 3, theme.WARN), (late, theme.BAD))
    none = ((None, theme.BAD), (1, theme.GOOD))
    open_it = ("Only this queue", board_url(Board.QUEUES, q, label="queue", value="${__data.fields.Queue}"))
    up_or_down = [{"type": "value", "options": {"0": {"text": "none", "index": 0}, "1": {"text": "up", "index": 1}}}]
    return tables.listing(
        "Queues",
        "Every queue now. Oldest is how long the job at its head has waited; it is empty where none waits. Overdue "
        "are scheduled jobs whose time has come and that nothing moved. A queue needs a scheduler only for scheduled "
        "jobs and delayed retries.",
        {"queue": "Queue"},
        [
            Column("Waiting", _jobs(q, "queued"), width=110),
            Column(
                "Oldest",
                f"time() - {_least(q, contract.QUEUE_OLDEST_JOB)}",
                theme.SECONDS,
                thresholds=ages,
                width=110,
                leads_to=open_it,
            ),
            Column("Started", _jobs(q, "started"), width=110),
            Column("Scheduled", _jobs(q, "scheduled"), width=110),
            Column("Overdue", _most(q, contract.QUEUE_OVERDUE_SCHEDULED), color=theme.BAD, width=110, leads_to=open_it),
            Column("Deferred", _jobs(q, "deferred"), width=110),
            Column("Failed kept", _jobs(q, "failed"), width=110),
            Column("Cancelled kept", _jobs(q, "canceled"), width=120),
            Column("RQ workers", _workers(q), thresholds=none, width=110, leads_to=open_it),
            Column("Busy", _workers(q, 'status="busy"'), width=110),
            Column(
                "Scheduler",
                _most(q, contract.SCHEDULER_UP),
                thresholds=((None, theme.NEUTRAL), (1, theme.GOOD)),
                width=110,
                properties=(("mappings", up_or_down),),
            ),
        ],
        sort="Waiting",
        height=9,
        links={"Queue": ("Only this queue", board_url(Board.QUEUES, q, label="queue", value="${__value.raw}"))},
    )


def jobs(q: PromQL) -> list[panels.PanelBuilder]:
    """Depth, age, wait and traffic."""
    late = seconds(q.config.oldest_job_age)
    oldest = f"time() - {_least(q, contract.QUEUE_OLDEST_JOB)} or {_jobs(q, 'queued')} * 0"
    pending = f'status=~"{_PENDING}"'
    depth = f"sum by (status) (max by ({q.by('queue', 'status')}) ({q.raw(contract.QUEUE_JOBS, pending)}))"
    wait = q.rate(contract.JOB_WAIT, queries.RATE, suffix="_bucket")
    return [
        panels.lines(
            "Jobs that have yet to run, by status",
            "Of the queues that are chosen, all together. Deferred jobs wait for another job, scheduled ones for a "
            "time.",
            [range_query(depth, "{{status}}")],
            width=8,
            stacked=True,
            colors=theme.STATUS_COLORS,
            decimals=0,
        ),
        panels.lines(
            "Jobs waiting, by queue",
            "Jobs on each queue.",
            [range_query(_jobs(q, "queued"), "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "Age of the oldest job",
            "How long the job at the head of each queue has waited; 0 where none waits.",
            [range_query(f"({oldest}) / 60", "{{queue}}")],
            unit=theme.MINUTES,
            width=8,
            thresholds=theme.steps("transparent", (late / 60, theme.BAD)),
            per=("queue", q),
        ),
        panels.durations(
            "Wait, p95",
            "From when a job could run to its start: 95 % of the executions waited no longer.",
            [(f"histogram_quantile(0.95, sum by (queue, le) ({wait}))", "{{queue}}")],
            width=8,
            per=("queue", q),
        ),
        panels.lines(
            "Enqueued and ended",
            "Times a job was put on a queue by an instrumented process, and executions that ended, a minute. Where "
            "the first stays above the second, a backlog grows.",
            [
                range_query(queries.per_minute(q, contract.JOBS_ENQUEUED, q.by()), "enqueued"),
                range_query(queries.per_minute(q, contract.JOB_EXECUTIONS, q.by()), "ended"),
            ],
            unit=theme.PER_MINUTE,
            width=8,
            colors={"enqueued": "yellow", "ended": "green"},
        ),
        panels.lines(
            "Cancelled before they ran",
            "Jobs that job.cancel() took off a queue, a minute. 0 where nobody does so.",
            [range_query(queries.per_minute(q, contract.JOBS_CANCELLED_UNSTARTED, "queue"), "{{queue}}")],
            unit=theme.PER_MINUTE,
            width=8,
            per=("queue", q),
        ),
    ]


def workers(q: PromQL) -> list[panels.PanelBuilder]:
    """Who does the work, and who starts what is scheduled."""
    by_status = f"max by ({q.by('queue', 'status')}) ({q.raw(contract.RQ_WORKERS)})"
    late = names.late_ratio(q.config.latency_windows[0])
    oldest_held = q.of_installation().raw(contract.RATE_LIMIT_OLDEST_JOB)
    return [
        panels.lines(
            "RQ workers by status",
            "Live RQ workers; one that listens on several queues is counted on each of them.",
            [range_query(f"sum by (status) ({by_status})", "{{status}}")],
            width=8,
            stacked=True,
            colors=theme.STATUS_COLORS,
            decimals=0,
        ),
        panels.lines(
            "Saturation",
            "The part of each queue's RQ workers that is busy. A queue that stays at 100 % and grows needs more of "
            "them.",
            [range_query(f"{_workers(q, _BUSY)} / ({_workers(q)} > 0)", "{{queue}}")],
            unit=theme.PERCENT,
            width=8,
            highest=1,
            per=("queue", q),
        ),
        panels.lines(
            "Executions running",
            "Executions that started and have not ended, by worker.",
            [range_query(f"sum by (worker) ({q.of(contract.EXECUTIONS_RUNNING)})", "{{worker}}")],
            width=8,
            stacked=True,
            decimals=0,
            per=("worker", q),
        ),
        panels.lines(
            "Scheduled jobs that are overdue",
            "Their time has come, and no scheduler moved them to the queue. 0 is health.",
            [range_query(_most(q, contract.QUEUE_OVERDUE_SCHEDULED), "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "Deferred jobs that will never run",
            "A job that they depend on was cancelled, failed for good or is gone. 0 is health; empty where it is not "
            "known.",
            [range_query(_most(q, contract.QUEUE_BLOCKED_JOBS), "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "Age of the youngest RQ worker",
            "How long ago an RQ worker of each queue was last started. A line that does not get away from 0 is a crash "
            "loop; empty where it is not known.",
            [range_query(f"(time() - {_most(q, contract.RQ_WORKER_NEWEST_BIRTH)}) / 60", "{{queue}}")],
            unit=theme.MINUTES,
            width=8,
            per=("queue", q),
        ),
        panels.lines(
            "Time to drain",
            f"How long it takes to serve the jobs that wait on each queue at the rate of the last "
            f"{spoken(q.config.drain_window)}.",
            [
                range_query(
                    f"max by (queue) ({names.drain(q.config.drain_window)}{{queue=~'$queue'{q.installation}}}) / 60",
                    "{{queue}}",
                )
            ],
            unit=theme.MINUTES,
            width=8,
            thresholds=theme.steps("transparent", (seconds(q.config.drain_max_age) / 60, theme.BAD)),
            per=("queue", q),
        ),
        panels.lines(
            "Jobs that start late",
            f"The part of each queue's jobs that waited longer than {spoken(q.config.latency_target)}, over "
            f"{spoken(q.config.latency_windows[0])}. The line is what the objective of {q.config.latency_slo:g} % "
            "allows.",
            [range_query(f"max by (queue) ({late}{{queue=~'$queue'{q.installation}}})", "{{queue}}")],
            unit=theme.PERCENT,
            width=8,
            highest=1,
            thresholds=theme.steps("transparent", (1 - q.config.latency_slo / 100, theme.BAD)),
            per=("queue", q),
        ),
        panels.lines(
            "Scheduler",
            "Whether an RQ scheduler holds the lock of each queue: 1 or 0.",
            [range_query(_most(q, contract.SCHEDULER_UP), "{{queue}}")],
            width=8,
            highest=1,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "RQ workers that are not instrumented",
            "What they run is not recorded; where they are all that listen on a queue, nothing of it is. 0 is health.",
            [range_query(_most(q, contract.QUEUE_RQ_WORKERS_UNINSTRUMENTED), "{{queue}}")],
            width=8,
            decimals=0,
            per=("queue", q),
        ),
        panels.lines(
            "Longest idle",
            "How long the RQ worker of each queue that has been waiting longest for a job has done so. Where jobs wait "
            "all the while, it does not take them; empty where none waits.",
            [range_query(f"(time() - {_least(q, contract.RQ_WORKER_LONGEST_IDLE)}) / 60", "{{queue}}")],
            unit=theme.MINUTES,
            width=8,
            per=("queue", q),
        ),
        panels.lines(
            "Jobs that rate limits hold back",
            "By RateLimit, whatever queue is chosen: a limit has no queue. Empty where none is used.",
            [range_query(f"max by (rate_limit) ({q.of_installation().raw(contract.RATE_LIMIT_JOBS, _HELD)})", _LIMIT)],
            width=8,
            decimals=0,
            no_value="Nothing has been held back",
        ),
        panels.lines(
            "Held back by a rate limit, longest",
            "How long each RateLimit has been holding back the job that it has held longest.",
            [range_query(f"(time() - min by (rate_limit) ({oldest_held})) / 60", _LIMIT)],
            unit=theme.MINUTES,
            width=8,
            thresholds=theme.steps("transparent", (seconds(q.config.held_age) / 60, theme.BAD)),
            no_value="Nothing is held back",
        ),
        tables.listing(
            "Deploys",
            "The last versions of the application, where RQ workers are told theirs or a deploy was marked. They are "
            "the lines on all panels.",
            {"version": "Version"},
            [
                Column(
                    "Since", f"1000 * max by (version) ({q.raw(contract.DEPLOYED_AT)})", theme.FROM_NOW, decimals=None
                ),
                Column(
                    "Newest",
                    f"max by (version) ({q.raw(contract.DEPLOY_INFO)})",
                    properties=(
                        ("mappings", [{"type": "value", "options": {"1": {"text": "yes", "index": 0}}}]),
                        ("noValue", "-"),
                    ),
                ),
            ],
            sort="Since",
            width=8,
            height=8,
            no_value="No deploy is marked",
        ),
    ]


_BUSY = 'status="busy"'
_HELD = 'status="held"'
_LIMIT = "{{rate_limit}}"


def _jobs(q: PromQL, status: str) -> str:
    return _most(q, contract.QUEUE_JOBS, f'status="{status}"')


def _workers(q: PromQL, extra: str = "") -> str:
    return f"sum by (queue) (max by ({q.by('queue', 'status')}) ({q.raw(contract.RQ_WORKERS, extra)}))"


def _most(q: PromQL, family: Family, extra: str = "") -> str:
    return f"max by (queue) ({q.raw(family, extra)})"


def _least(q: PromQL, family: Family) -> str:
    return f"min by (queue) ({q.raw(family)})"
