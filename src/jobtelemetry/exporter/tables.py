"""The page's tables: workers, queues, RQ workers."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence

from jobtelemetry.contract import DURATION_BUCKETS, QUEUE_STATUSES, RQ_WORKER_STATUSES
from jobtelemetry.exporter import formats, verdict
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.figures import WorkerFigures, summarise, total
from jobtelemetry.outcomes import RATIOS, State
from jobtelemetry.store.snapshot import QueueState, RQWorkerState, Snapshot

_WORKER_COLUMNS = (
    "Worker",
    *(state.value for state in State),
    *(ratio.name for ratio in RATIOS),
    "p50",
    "p95",
    "running",
    "last completed",
)
#: Rate-limited jobs are known for all queues together only, and have a line of their own.
_QUEUE_STATUSES = tuple(status for status in QUEUE_STATUSES if status != "rate_limited")
_QUEUE_COLUMNS = (
    "Queue",
    *(status.replace("_", " ") for status in _QUEUE_STATUSES),
    "oldest job",
    "overdue",
    "scheduler",
)
_SUSPECT_COLUMNS = ("RQ worker", "queues", "status", "instrumented", "counted by RQ", "recorded", "unrecorded")
_MOST_SUSPECTS = 20


def workers(snapshot: Snapshot, now: float) -> Markup:
    """How the executions of each worker ended."""
    lines = summarise(snapshot)
    names = formats.short_names(line.worker for line in lines)
    rows = [_worker_row(line, _worker_name(line, names[line.worker]), now) for line in lines]
    everything = total(lines)
    foot = _worker_row(everything, join(element("span", everything.worker, class_="name"), _bar(everything)), now)
    return _table("Executions by worker", _WORKER_COLUMNS, rows, [foot] if len(lines) > 1 else [])


def queues(snapshot: Snapshot, now: float) -> Markup:
    """What RQ holds."""
    rows = [_queue_row(queue, now) for queue in sorted(snapshot.queues, key=lambda queue: queue.name)]
    return _table("Jobs by queue", _QUEUE_COLUMNS, rows)


def rq_workers(snapshot: Snapshot) -> Markup:
    """How many live RQ workers are in which status."""
    counts = Tally(worker.status or RQ_WORKER_STATUSES[0] for worker in snapshot.rq_workers)
    statuses = dict.fromkeys((*RQ_WORKER_STATUSES, *counts))
    row = (_name("All queues"), *(_count(counts[status]) for status in statuses), _count(len(snapshot.rq_workers)))
    return _table("RQ workers by status", ("Listening on", *statuses, "live"), [row])


def suspects(snapshot: Snapshot) -> Markup:
    """The RQ workers behind a blind spot; nothing where there is none."""
    found = verdict.suspects(snapshot)
    if not found:
        return Markup("")
    more = len(found) - _MOST_SUSPECTS
    caption = "RQ workers in the blind spot" + (f" (the first {_MOST_SUSPECTS} of {len(found)})" if more > 0 else "")
    return _table(caption, _SUSPECT_COLUMNS, [_suspect_row(worker) for worker in found[:_MOST_SUSPECTS]])


def _worker_row(line: WorkerFigures, name: Markup, now: float) -> Sequence[Markup]:
    return (
        name,
        *(_count(line.counts[state], kind=state.value) for state in State),
        *(element("span", formats.percent(ratio.of(line.counts))) for ratio in RATIOS),
        _run_time(line, 0.5),
        _run_time(line, 0.95),
        _count(line.running),
        _moment(line.last_completed, now),
    )


def _worker_name(line: WorkerFigures, short: str) -> Markup:
    queues = element("span", ", ".join(line.queues), class_="sub")
    return join(element("span", short, class_="name", title=line.worker), queues, _bar(line))


def _bar(line: WorkerFigures) -> Markup:
    """The shares of the states as a strip; the numbers beside it say the same to a screen reader."""
    parts = [
        element("i", class_=state.value, style=f"flex-grow:{line.counts[state]}")
        for state in State
        if line.counts[state]
    ]
    return element("span", *parts, class_="bar", aria_hidden="true")


def _run_time(line: WorkerFigures, q: float) -> Markup:
    seconds = line.run_time_quantile(q)
    if seconds is not None and seconds >= DURATION_BUCKETS[-1]:
        return element("span", f"> {formats.duration(DURATION_BUCKETS[-1])}")
    return element("span", formats.duration(seconds))


def _queue_row(queue: QueueState, now: float) -> Sequence[Markup]:
    scheduler = "up" if queue.scheduler_up else formats.NOTHING
    return (
        _name(queue.name),
        *(_count(queue.jobs.get(status, 0), kind=status) for status in _QUEUE_STATUSES),
        _moment(queue.oldest_enqueued_at, now),
        _count(queue.overdue_scheduled, kind="overdue"),
        element("span", scheduler),
    )


def _suspect_row(worker: RQWorkerState) -> Sequence[Markup]:
    return (
        _name(worker.name),
        element("span", ", ".join(worker.queues) or formats.NOTHING),
        element("span", worker.status or formats.NOTHING),
        element("span", "yes" if worker.instrumented else "no"),
        _count(worker.counted_by_rq),
        _count(worker.recorded),
        _count(worker.unrecorded, kind="unrecorded"),
    )


def _name(text: str) -> Markup:
    return element("span", text, class_="name")


def _count(value: int, kind: str = "") -> Markup:
    return element("span", formats.number(value), class_=f"count {kind}".strip() if value else "zero")


def _moment(moment: float | None, now: float) -> Markup:
    if moment is None:
        return element("span", formats.NOTHING)
    when = formats.iso(moment)
    return element("time", formats.ago(now - moment), datetime=when, title=when)


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]], foot: Iterable[Sequence[Markup]] = ()
) -> Markup:
    """A table that the style sheet turns into cards on a phone; the roles keep it a table for a screen reader."""
    heads = (element("th", column, scope="col", role="columnheader") for column in columns)
    head = element("thead", element("tr", *heads, role="row"), role="rowgroup")
    parts = [element("caption", caption), head, _body("tbody", columns, rows), _body("tfoot", columns, foot)]
    return element("div", element("table", *parts, role="table"), class_="scroll")


def _body(tag: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
    written = []
    for name, *cells in rows:
        first = element("th", name, scope="row", role="rowheader")
        rest = (
            element("td", cell, role="cell", data_label=column) for column, cell in zip(columns[1:], cells, strict=True)
        )
        written.append(element("tr", first, *rest, role="row"))
    return element(tag, *written, role="rowgroup") if written else Markup("")
