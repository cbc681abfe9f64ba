"""The tables of the pages: workers, queues, RQ workers, failures. Each turns into cards on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobtelemetry.contract import DURATION_BUCKETS, OTHER, QUEUE_STATUSES
from jobtelemetry.exporter import formats, verdict
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.reasons import Reasons, reasons
from jobtelemetry.figures import WorkerFigures, summarise, total
from jobtelemetry.outcomes import RATIOS, Ratio, State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.failures import FailureGroup
from jobtelemetry.questions.queues import QueueLine
from jobtelemetry.questions.rq_workers import RQWorker
from jobtelemetry.store.snapshot import QueueState, RQWorkerState, RunningExecution, Snapshot

_WORKER_COLUMNS = (
    "Worker",
    *(state.value for state in State),
    *(ratio.name for ratio in RATIOS),
    "p50",
    "p95",
    "running",
    "last completed",
)
#: Shown where there is one such job; rate-limited jobs are known for all queues together, and have a line of their own.
_RARE_STATUSES = ("intermediate", "ready_to_enqueue")
_QUEUE_STATUSES = tuple(status for status in QUEUE_STATUSES if status != "rate_limited")
_RQ_WORKER_COLUMNS = ("RQ worker", "host", "pid", "queues", "state", "current job", "since", "heartbeat",
                      "memory", "version", "RQ", "instrumented")  # fmt: skip
_SUSPECT_COLUMNS = ("RQ worker", "queues", "status", "instrumented", "counted by RQ", "recorded", "unrecorded")
_FAILURE_COLUMNS = ("Worker", "error", "message", "failed", "for good", "first seen", "last seen", "example")
_NEWEST_COLUMNS = ("Ended", "state", "attempt", "error", "message", "ran", "job", "trace", "RQ worker")
_RUNNING_COLUMNS = ("Job", "queue", "attempt", "since", "RQ worker")
#: Columns of words, set to the left as the first one is; the others are numbers.
_WORDS = {"error", "message", "example", "state", "job", "trace", "RQ worker", "host", "queues", "current job", "queue",
          "status", "why", "attributes", "version", "type", "help", ""}  # fmt: skip
_MOST_SUSPECTS = 5
_MOST_REASONS = 3
_MOST_NAMED = 5


def worst_first(lines: Iterable[WorkerFigures]) -> list[WorkerFigures]:
    """By jobs lost, then by success ratio, then by name without regard to case."""

    def order(line: WorkerFigures) -> tuple[int, float, str]:
        return -line.counts[State.DISCARD], 2.0 if line.success is None else line.success, line.worker.casefold()

    return sorted(lines, key=order)


def workers(look: Look, snapshot: Snapshot, most: int | None = None) -> Markup:
    """How the executions of each worker ended, the worst first."""
    lines = worst_first(summarise(snapshot))
    names, why = formats.short_names(line.worker for line in lines), reasons(snapshot)
    rows = [
        _worker_row(line, _worker_name(look, line, names[line.worker], why.get(line.worker, Reasons())), look.now)
        for line in lines[:most]
    ]
    everything = total(lines)
    foot = _worker_row(everything, join(element("span", everything.worker, class_="name"), _bar(everything)), look.now)
    caption = f"Executions by worker{_of(len(rows), len(lines))}, the worst first"
    return table(caption, _WORKER_COLUMNS, rows, [foot] if len(lines) > 1 else [])


def one_worker(look: Look, line: WorkerFigures) -> Markup:
    """The figures of one worker."""
    return table("Executions", ("Queues", *_WORKER_COLUMNS[1:]), [_worker_row(line, _queues(line.queues), look.now)])


def queues(look: Look, lines: Sequence[QueueLine], most: int | None = None) -> Markup:
    """What RQ holds, and what goes in and out; what needs a look first."""
    shown = [status for status in _QUEUE_STATUSES if status not in _RARE_STATUSES or _any(lines, status)]
    columns = (
        "Queue",
        *(status.replace("_", " ") for status in shown),
        "oldest job",
        "in",
        "out",
        "empty in",
        "RQ workers",
        "scheduler",
        "overdue",
    )
    rows = [_queue_row(line, shown, look.now) for line in lines[:most]]
    return table(f"Jobs by queue{_of(len(rows), len(lines))}", columns, rows)


def rq_workers(look: Look, workers: Sequence[RQWorker], live: int) -> Markup:
    """What each RQ worker does."""
    rows = [_rq_worker_row(look, worker) for worker in workers]
    return table(f"RQ workers{_of(len(rows), live)}", _RQ_WORKER_COLUMNS, rows)


def suspects(look: Look, snapshot: Snapshot) -> Markup:
    """The RQ workers behind a blind spot; nothing where there is none."""
    found = verdict.suspects(snapshot)
    if not found:
        return Markup("")
    more = len(found) - _MOST_SUSPECTS
    caption = "RQ workers in the blind spot" + (f" (the first {_MOST_SUSPECTS} of {len(found)})" if more > 0 else "")
    shown = table(caption, _SUSPECT_COLUMNS, [_suspect_row(worker) for worker in found[:_MOST_SUSPECTS]])
    link = element("a", "All RQ workers, with host and process", href=f"{look.root}rq-workers")
    return join(shown, element("p", link, class_="aside"))


def failures(look: Look, groups: Sequence[FailureGroup], caption: str, *, one: bool = False) -> Markup:
    """Failures by worker, error and message; without the worker on the page of one."""
    names = formats.short_names(group.worker for group in groups)
    rows = [_failure_row(look, group, names[group.worker]) for group in groups]
    if one:
        return table(caption, ("Error", *_FAILURE_COLUMNS[2:]), [row[1:] for row in rows])
    return table(caption, _FAILURE_COLUMNS, rows)


def newest(look: Look, entries: Sequence[LogEntry], caption: str) -> Markup:
    """Executions that failed."""
    return table(caption, _NEWEST_COLUMNS, [_entry_row(look, entry) for entry in entries])


def running(look: Look, runs: Sequence[RunningExecution], caption: str) -> Markup:
    """Executions that have not ended."""
    rows = [
        (
            look.job_link(run.job_id),
            element("span", formats.cut(run.series.queue, 60)),
            element("span", str(run.attempt or formats.NOTHING)),
            moment(run.started_at, look.now),
            _text(run.rq_worker),
        )
        for run in runs
    ]
    return table(caption, _RUNNING_COLUMNS, rows)


def shares(caption: str, first: str, counts: Sequence[tuple[str, int]], kind: str, what: str = "executions") -> Markup:
    """Names with how often each came, and a strip for the eye."""
    whole, most = sum(count for _, count in counts), max((count for _, count in counts), default=1)
    rows = []
    for name, count in counts:
        width = f"width:{100 * count / most:.1f}%"
        strip = element("span", element("i", style=width, class_=kind), class_="strip", aria_hidden="true")
        share = element("span", formats.percent(count / whole if whole else None))
        label = "all others" if name == OTHER else formats.cut(name)
        rows.append((element("span", label, class_="name"), _count(count, kind), share, strip))
    return table(caption, (first, what, "share", ""), rows)


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]], foot: Iterable[Sequence[Markup]] = ()
) -> Markup:
    """A table that the style sheet turns into cards on a phone; the roles keep it a table for a screen reader."""
    heads = (element("th", column, scope="col", role="columnheader", **_side(column)) for column in columns)
    head = element("thead", element("tr", *heads, role="row"), role="rowgroup")
    parts = [element("caption", caption), head, _body("tbody", columns, rows), _body("tfoot", columns, foot)]
    return element(
        "div", element("table", *parts, role="table"), class_="scroll", role="region", tabindex="0", aria_label=caption
    )


def moment(at: float | None, now: float) -> Markup:
    """How long ago; the exact time for who points at it."""
    if at is None:
        return element("span", formats.NOTHING)
    when = formats.iso(at)
    return element("time", formats.ago(now - at), datetime=when, title=when)


def _worker_row(line: WorkerFigures, name: Markup, now: float) -> Sequence[Markup]:
    return (
        name,
        *(_count(line.counts[state], kind=state.value) for state in State),
        *(_ratio(line, ratio) for ratio in RATIOS),
        _run_time(line, 0.5),
        _run_time(line, 0.95),
        _count(line.running),
        moment(line.last_completed, now),
    )


def _worker_name(look: Look, line: WorkerFigures, short: str, why: Reasons) -> Markup:
    link = look.worker_link(line.worker, formats.cut(short, 120), class_="name", title=formats.cut(line.worker, 500))
    said = [link, _queues(line.queues)]
    for kind, counts in (("discard", why.errors), ("cancelled", why.cancellations)):
        if counts:
            told = ", ".join(f"{formats.cut(name, 60)} {formats.number(count)}" for name, count in _first(counts))
            more = len(counts) - _MOST_REASONS
            said.append(element("span", f"{told}{f', {more} more' if more > 0 else ''}", class_=f"why {kind}"))
    return join(*said, _bar(line))


def _first(counts: Sequence[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    return [("all others" if name == OTHER else name, count) for name, count in counts[:_MOST_REASONS]]


def _queues(names: Sequence[str], kind: str = "sub") -> Markup:
    """The first few; all of them for who points at it."""
    more = len(names) - _MOST_NAMED
    if more <= 1:
        return element("span", formats.cut(", ".join(names)) or formats.NOTHING, class_=kind)
    shown = f"{formats.cut(', '.join(names[:_MOST_NAMED]))} and {formats.number(more)} more"
    return element("span", shown, class_=kind, title=formats.cut(", ".join(names), 2000))


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


def _any(lines: Sequence[QueueLine], status: str) -> bool:
    return any(line.state.jobs.get(status) for line in lines)


def _queue_row(line: QueueLine, statuses: Sequence[str], now: float) -> Sequence[Markup]:
    queue = line.state
    if line.drained_in is not None:
        drained = element("span", formats.duration(line.drained_in))
    elif line.waiting and line.shrinking is not None:
        drained = element("span", "grows" if line.shrinking < 0 else "stands", class_="overdue")
    else:
        drained = element("span", formats.NOTHING)
    unattended = bool(line.waiting and not line.listening)
    return (
        _text(queue.name),
        *(
            join(
                _count(queue.jobs.get(status, 0), kind=status), _blocked(queue) if status == "deferred" else Markup("")
            )
            for status in statuses
        ),
        moment(queue.oldest_enqueued_at, now),
        element("span", formats.per_minute(line.rate_in)),
        element("span", formats.per_minute(line.rate_out)),
        drained,
        element("span", "none", class_="discard") if unattended else _count(line.listening),
        element("span", "up" if queue.scheduler_up else formats.NOTHING),
        _count(queue.overdue_scheduled, kind="overdue"),
    )


def _blocked(queue: QueueState) -> Markup:
    """Of the deferred jobs those that will never run; for who points at it, what some of them wait for."""
    if not queue.blocked:
        return Markup("")
    why = formats.cut("; ".join(queue.blocked_by), 500)
    return element("span", f"{formats.number(queue.blocked)} blocked", class_="why overdue", title=why)


def _rq_worker_row(look: Look, worker: RQWorker) -> Sequence[Markup]:
    job = element("span", formats.NOTHING)
    if worker.job:
        name = worker.job_worker.rpartition(".")[2]
        under = [element("span", formats.cut(name, 60), class_="sub")] if name else []
        job = join(look.job_link(worker.job), *under)
    python = [element("span", f"Python\u00a0{formats.cut(worker.python_version, 20)}", class_="sub")]
    return (
        _text(worker.name),
        element("span", formats.cut(worker.hostname, 60) or formats.NOTHING),
        element("span", str(worker.pid) if worker.pid is not None else formats.NOTHING),
        _queues(worker.queues, "wrap"),
        element("span", formats.cut(worker.state, 20) or formats.NOTHING),
        job,
        moment(worker.job_since, look.now) if worker.job else element("span", formats.NOTHING),
        moment(worker.heartbeat, look.now),
        element("span", formats.size(worker.memory)),
        element("span", formats.cut(worker.app_version, 40) or formats.NOTHING, class_="wrap"),
        join(
            element("span", formats.cut(worker.rq_version, 20) or formats.NOTHING),
            *python[: bool(worker.python_version)],
        ),
        element("span", "yes") if worker.instrumented else element("span", "no", class_="discard"),
    )


def _suspect_row(worker: RQWorkerState) -> Sequence[Markup]:
    return (
        _text(worker.name),
        _queues(worker.queues, "wrap"),
        element("span", formats.cut(worker.status, 20) or formats.NOTHING),
        element("span", "yes" if worker.instrumented else "no"),
        _count(worker.counted_by_rq),
        _count(worker.recorded),
        _count(worker.unrecorded, kind="unrecorded"),
    )


def _failure_row(look: Look, group: FailureGroup, short: str) -> Sequence[Markup]:
    example = look.job_link(group.example.job) if group.example else element("span", formats.NOTHING)
    return (
        look.worker_link(group.worker, formats.cut(short, 120), class_="name", title=formats.cut(group.worker, 500)),
        element("span", formats.cut(group.error_type, 80) or formats.NOTHING, class_="wrap"),
        element("span", formats.cut(group.message, 300) or formats.NOTHING, class_="said-by"),
        _count(group.count, kind="failure"),
        _count(group.discards, kind="discard"),
        moment(group.first, look.now),
        moment(group.last, look.now),
        example,
    )


def _entry_row(look: Look, entry: LogEntry) -> Sequence[Markup]:
    return (
        moment(entry.ended_at, look.now),
        element("span", entry.state.value, class_=entry.state.value),
        element("span", str(entry.attempt or formats.NOTHING)),
        element("span", formats.cut(entry.error_type or entry.reason, 80) or formats.NOTHING, class_="wrap"),
        element("span", formats.cut(entry.message, 300) or formats.NOTHING, class_="said-by"),
        element("span", formats.duration(entry.duration)),
        look.job_link(entry.job),
        look.trace_link(entry.trace),
        element("span", formats.cut(entry.rq_worker, 40) or formats.NOTHING, class_="id"),
    )


def _of(shown: int, whole: int) -> str:
    return f" ({formats.number(shown)} of {formats.number(whole)})" if shown < whole else ""


def _text(text: str) -> Markup:
    return element("span", formats.cut(text), class_="name")


def _ratio(line: WorkerFigures, ratio: Ratio) -> Markup:
    lost = ratio.beside.failed and line.counts[ratio.beside]
    return element("span", formats.percent(ratio.of(line.counts)), **({"class_": ratio.beside.value} if lost else {}))


def _count(value: int, kind: str = "") -> Markup:
    return element("span", formats.number(value), class_=f"count {kind}".strip() if value else "zero")


def _body(tag: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
    written = []
    for name, *cells in rows:
        first = element("th", name, scope="row", role="rowheader")
        rest = (
            element("td", cell, role="cell", data_label=column, **_side(column))
            for column, cell in zip(columns[1:], cells, strict=True)
        )
        written.append(element("tr", first, *rest, role="row"))
    return element(tag, *written, role="rowgroup") if written else Markup("")


def _side(column: str) -> dict[str, str]:
    return {"class_": "words"} if column in _WORDS else {}
