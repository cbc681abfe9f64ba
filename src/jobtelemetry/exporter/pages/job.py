"""The page of one job: what ``jobtelemetry show`` says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element
from jobtelemetry.exporter.pages import tables
from jobtelemetry.exporter.pages.frame import SLOW_REFRESH, Look, document, problem
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.selection import written
from jobtelemetry.questions.story import RQJob, Story

_COLUMNS = (
    "Ended",
    "state",
    "attempt",
    "waited",
    "ran",
    "processor",
    "memory",
    "why",
    "RQ worker",
    "trace",
    "attributes",
)
_MOST = 50
_LONGEST_TRACEBACK = 20_000
_LONGEST_LINE = 2000


def render(look: Look, story: Story) -> str:
    """The page."""
    if not story.known:
        return missing(look, story)
    body = [
        element("h1", formats.cut(story.job)),
        *problem(look),
        element("dl", *_facts(look, story), class_="facts"),
        _attempts(look, story),
        *_traceback(story),
        *_relatives(look, story),
        element("p", f"The same in a terminal: jobtelemetry show {formats.cut(story.job)}", class_="aside"),
    ]
    return document(look, f"Job {story.job}", "job", *body, refresh=SLOW_REFRESH)


def missing(look: Look, story: Story) -> str:
    """The answer where nobody knows such a job."""
    said = [element("p", f"Neither RQ nor the newest part of the execution log has a job “{formats.cut(story.job)}”.")]
    if story.near:
        said.append(element("ul", *(element("li", look.job_link(job)) for job in story.near)))
    return document(
        look, "Unknown job", "job", element("h1", "Unknown job"), *problem(look), *said, refresh=SLOW_REFRESH
    )


def _facts(look: Look, story: Story) -> Iterator[Markup]:
    if story.worker:
        yield _fact("worker", look.worker_link(story.worker, formats.cut(story.worker)))
    last = story.attempts[-1] if story.attempts else None
    if queue := last.queue if last else story.rq.queue if story.rq else "":
        yield _fact("queue", formats.cut(queue))
    if story.rq is None:
        yield _fact("RQ now", "no longer has it: its result expired, or it was deleted")
        return
    yield _fact("RQ now", _now(story.rq))
    for name, at in (("created", story.rq.created_at), ("enqueued", story.rq.enqueued_at)):
        if at is not None:
            yield _fact(name, tables.moment(at, look.now))
    for name, jobs in (("waits for", story.rq.dependencies), ("awaited by", story.rq.dependents)):
        if jobs:
            yield _fact(name, *(_related(look, job, story.rq.statuses) for job in jobs[:_MOST]))


def _related(look: Look, job: str, statuses: Mapping[str, str]) -> Markup:
    status = f" ({formats.cut(statuses[job], 20)}) " if job in statuses else " "
    return element("span", look.job_link(job), status)


def _now(job: RQJob) -> str:
    status = formats.cut(job.status, 20)
    if job.blocked_by:
        return f"{status}; it will never run: it waits for {formats.cut(job.blocked_by)}"
    return status if job.retries_left is None else f"{status}, {job.retries_left} retries left"


def _fact(name: str, *value: str) -> Markup:
    return element("div", element("dt", name), element("dd", *value))


def _attempts(look: Look, story: Story) -> Markup:
    rows = [_attempt(look, entry) for entry in story.attempts[-_MOST:]]
    parts = [tables.table("Attempts that ended", _COLUMNS, rows)] if rows else []
    if story.running:
        parts.append(tables.running(look, story.running[:_MOST], "Running now"))
    if not parts:
        parts.append(element("p", "No attempt has ended, as far as the newest part of the execution log tells."))
    return element("section", element("h2", "Attempts", class_="hidden"), *parts)


def _attempt(look: Look, entry: LogEntry) -> tuple[Markup, ...]:
    attributes = ", ".join(f"{key}={written(value)}" for key, value in entry.attributes.items())
    return (
        tables.moment(entry.ended_at, look.now),
        element("span", entry.state.value, class_=entry.state.value),
        element("span", str(entry.attempt or formats.NOTHING)),
        element("span", formats.duration(entry.wait)),
        element("span", formats.duration(entry.duration)),
        element("span", formats.duration(entry.cpu)),
        element("span", formats.size(entry.memory)),
        element("span", formats.cut(entry.why, 500) or formats.NOTHING, class_="said-by"),
        element("span", formats.cut(entry.rq_worker, 40) or formats.NOTHING, class_="id"),
        look.trace_link(entry.trace, whole=True),
        element("span", formats.cut(attributes, 500) or formats.NOTHING, class_="said-by"),
    )


def _traceback(story: Story) -> Iterator[Markup]:
    if story.traceback:
        text = story.traceback
        cut = text if len(text) <= _LONGEST_TRACEBACK else f"[the beginning is left out]\n{text[-_LONGEST_TRACEBACK:]}"
        code = element("code", "\n".join(formats.cut(line, _LONGEST_LINE) for line in cut.split("\n")))
        yield element("section", element("h2", "Traceback, as RQ kept it"), element("pre", code, tabindex="0"))


def _relatives(look: Look, story: Story) -> Iterator[Markup]:
    for title, entries in (("Enqueued by", story.relations.parents), ("Enqueued", story.relations.children)):
        if entries:
            items = [
                element(
                    "li",
                    look.job_link(entry.job),
                    f" {formats.cut(entry.worker.rpartition('.')[2], 60)} {entry.state.value}",
                )
                for entry in entries[:_MOST]
            ]
            yield element("section", element("h2", title), element("ul", *items))
