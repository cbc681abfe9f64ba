"""The page of one worker: what a click on its name or on a red number leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobtelemetry.contract import DURATION_BUCKETS, le
from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element
from jobtelemetry.exporter.pages import charts, tables
from jobtelemetry.exporter.pages.frame import SLOW_REFRESH, Look, document, problem
from jobtelemetry.exporter.pages.listing import reach
from jobtelemetry.exporter.reasons import Reasons, reasons
from jobtelemetry.exporter.trends import MOST_WORKERS
from jobtelemetry.figures import WorkerFigures, fold, summarise
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.failures import group_failures

_MOST_FAILURES = 50
_MOST_GROUPS = 20
_MOST_RUNNING = 20


def render(look: Look, name: str, failed: Sequence[LogEntry], since: float | None) -> str | None:
    """The page; ``None`` where nobody knows such a worker.

    Args:
        look: What it shows.
        name: The worker's label.
        failed: Its failed executions, the newest first.
        since: From when on all of them are there, Unix time; ``None`` where the log is empty.
    """
    if look.snapshot is None:
        return document(look, name, "worker", element("h1", formats.cut(name)), *problem(look), refresh=SLOW_REFRESH)
    lines = summarise(look.snapshot)
    line = next((line for line in lines if line.worker == name), None)
    if line is None:
        return None
    short = formats.short_names(line.worker for line in lines)[name]
    why = reasons(look.snapshot).get(name, Reasons())
    body = [
        element("h1", formats.cut(short)),
        element("p", formats.cut(name, 500), class_="path") if short != name else Markup(""),
        *problem(look),
        *_findings(look, name),
        tables.one_worker(look, line),
        _trend(look, name),
        element("div", *_why(why), class_="pair"),
        *_failures(look, failed),
        reach(since),
        _run_times(line),
        _running(look, name),
    ]
    return document(look, short, "worker", *body, refresh=SLOW_REFRESH)


def missing(look: Look, name: str) -> str:
    """The answer where nobody knows such a worker."""
    said = element(
        "p",
        f"No worker is called “{formats.cut(name)}” here. ",
        element("a", "All workers", href=f"{look.root}workers"),
    )
    return document(look, "Unknown worker", "worker", element("h1", "Unknown worker"), said, refresh=SLOW_REFRESH)


def _findings(look: Look, name: str) -> list[Markup]:
    found = [finding for finding in look.trouble().findings if finding.worker == name]
    return [
        element("p", formats.cut(one.text, 400), class_=f"banner {one.level.value}", role="status") for one in found
    ]


def _trend(look: Look, name: str) -> Markup:
    if not look.trends.keeps(name):
        said = f"No trend: the exporter keeps those of {MOST_WORKERS} workers."
        return element("p", said, class_="aside")
    deploys = look.snapshot.deploys if look.snapshot else ()
    chart = charts.ended(look.trends.ended(look.now, name), "Executions that ended", deploys)
    return element("div", chart, class_="charts")


def _why(why: Reasons) -> list[Markup]:
    parts = []
    if why.errors:
        parts.append(tables.shares("Failed executions by error", "Error", why.errors, "discard"))
    if why.cancellations:
        parts.append(tables.shares("Cancelled executions by reason", "Reason", why.cancellations, "cancelled"))
    return parts


def _failures(look: Look, failed: Sequence[LogEntry]) -> list[Markup]:
    if not failed:
        return []
    groups = group_failures(failed)
    newest = failed[:_MOST_FAILURES]
    more = f" ({len(newest)} of {formats.number(len(failed))})" if len(newest) < len(failed) else ""
    return [
        tables.failures(look, groups[:_MOST_GROUPS], "Failures by message", one=True),
        tables.newest(look, newest, f"Newest failures{more}"),
    ]


def _run_times(line: WorkerFigures) -> Markup:
    if not any(line.run_time.values()):
        return Markup("")
    return tables.shares("Run time of all that ended", "Run time", _buckets(line.run_time), "completed")


def _buckets(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The buckets from the first to the last that holds anything."""
    folded = fold(counts, DURATION_BUCKETS)
    rows, lower = [], 0.0
    for bound in (*DURATION_BUCKETS, float("inf")):
        upper = "" if bound == float("inf") else formats.duration(bound)
        name = f"up to {upper}" if upper else f"more than {formats.duration(lower)}"
        rows.append((name, folded[le(bound, DURATION_BUCKETS)]))
        lower = bound
    held = [i for i, (_, count) in enumerate(rows) if count]
    return rows[held[0] : held[-1] + 1]


def _running(look: Look, name: str) -> Markup:
    runs = [run for run in look.snapshot.running if run.series.worker == name] if look.snapshot else []
    if not runs:
        return Markup("")
    runs.sort(key=lambda run: run.started_at)
    more = f" ({_MOST_RUNNING} of {formats.number(len(runs))})" if len(runs) > _MOST_RUNNING else ""
    return tables.running(look, runs[:_MOST_RUNNING], f"Running now{more}, the oldest first")
