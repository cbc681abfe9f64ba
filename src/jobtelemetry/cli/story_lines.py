"""How the story of a job is told: what it is, then what happened in its order, then what is now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobtelemetry.cli import formats
from jobtelemetry.cli.terminal import NOTHING, STYLES, moment, printable
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.story import RQJob, Story

_MOST_RELATIVES = 5
_MOST_NAMED = 20
_INDENT = " " * 12


def lines(story: Story) -> Iterator[Text]:
    """The lines, in order."""
    yield Text(printable(story.job), style="bold")
    last = story.attempts[-1] if story.attempts else None
    yield from _facts(
        ("worker", story.worker),
        ("queue", last.queue if last else story.rq.queue if story.rq else ""),
        ("source", last.source if last else ""),
        ("times", time.strftime("UTC" if time.strftime("%z") == "+0000" else "%Z, UTC%z")),
    )
    yield Text("")
    if story.rq and story.rq.created_at is not None:
        yield _event(story.rq.created_at, "created")
    for number, attempt in enumerate(story.attempts):
        yield from _attempt(attempt, number + 1)
    for run in story.running:
        yield _event(run.started_at, f"attempt {run.attempt or '?'} started on {run.rq_worker} and still runs")
    if not story.attempts and not story.running:
        yield Text("no attempt has ended, as far as the execution log reaches")
    yield Text("")
    yield from _now(story.rq)
    yield from _relatives("parent", story.relations.parents)
    yield from _relatives("children", story.relations.children)
    if story.relations.family:
        yield from _facts(("trace", f"{story.relations.family:,} more executions in it"))
    if story.traceback:
        yield Text("")
        yield Text("traceback, as RQ kept it", style="dim")
        for line in story.traceback.splitlines():
            yield Text(f"  {printable(line)}")


def show_one(out: Console, line: Text) -> None:
    """A line of the story; what does not fit goes on below where it began."""
    if not line.plain.startswith(_INDENT):
        out.print(line, soft_wrap=True)
        return
    hanging = len(_INDENT) + len("message  ")
    grid = Table.grid()
    grid.add_column(width=hanging)
    grid.add_column(overflow="fold")
    grid.add_row(line[:hanging], line[hanging:])
    out.print(grid)


def _attempt(entry: LogEntry, number: int) -> Iterator[Text]:
    attempt = f"attempt {entry.attempt or number}"
    if entry.ready_at is not None:
        yield _event(entry.ready_at, f"{attempt} could run")
    if entry.started_at is not None:
        waited = f" after {formats.seconds(entry.wait)}" if entry.wait is not None else ""
        yield _event(entry.started_at, f"{attempt} started{waited} on {entry.rq_worker or 'an unknown RQ worker'}")
    ran = f" after {formats.seconds(entry.duration)}" if entry.duration is not None else ""
    yield _event(entry.ended_at, f"{attempt} ended{ran}: ").append(entry.state.value, STYLES[entry.state])
    for what, said in (
        ("reason", entry.reason),
        ("error", entry.error_type),
        ("message", entry.message),
        ("took", _took(entry)),
        ("with", formats.attributes(entry.attributes)),
        ("trace", entry.trace),
    ):
        if said:
            yield Text(f"{_INDENT}{what:<8} {printable(said)}")


def _took(entry: LogEntry) -> str:
    cpu = "" if entry.cpu is None else f"{formats.seconds(entry.cpu)} of processor time"
    memory = "" if entry.memory is None else f"{formats.size(entry.memory)} of memory at most"
    return ", ".join(filter(None, (cpu, memory)))


def _now(job: RQJob | None) -> Iterator[Text]:
    if job is None:
        yield from _facts(("RQ now", "no longer has it: its result expired, or it was deleted"))
        return
    retries = "" if job.retries_left is None else f", {job.retries_left} retries left"
    never = f"; it will never run: it waits for {job.blocked_by}" if job.blocked_by else ""
    yield from _facts(
        ("RQ now", f"{job.status}{retries}{never}"),
        ("waits for", _named(job.dependencies, job.statuses)),
        ("awaited by", _named(job.dependents, job.statuses)),
    )


def _named(jobs: Sequence[str], statuses: Mapping[str, str]) -> str:
    named = [f"{one} ({statuses[one]})" if one in statuses else one for one in jobs[:_MOST_NAMED]]
    more = len(jobs) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def _relatives(what: str, entries: Sequence[LogEntry]) -> Iterator[Text]:
    if not entries:
        return
    unsure = " (one of these: several ran when it was enqueued)" if what == "parent" and len(entries) > 1 else ""
    if len(entries) > _MOST_RELATIVES:
        kinds = Counter((formats.short(entry.worker), entry.state.value) for entry in entries)
        told = ", ".join(f"{count:,} {worker} {state}" for (worker, state), count in kinds.most_common())
        yield from _facts((what, f"{told}{unsure}"))
        return
    for entry in entries:
        yield from _facts((what, f"{formats.short(entry.worker)} {entry.job} {entry.state.value}{unsure}"))
        what, unsure = "", ""


def _facts(*facts: tuple[str, str]) -> Iterator[Text]:
    for name, value in facts:
        if value:
            yield Text.assemble((f"{name:<11} ", "dim"), printable(value))


def _event(when: float, what: str) -> Text:
    day = moment(when, time.time())
    if day == NOTHING:  # no moment that a calendar has
        return Text.assemble((f"{day} ", "dim"), printable(what))
    clock = f"{time.strftime('%H:%M:%S', time.localtime(when))}.{int(when % 1 * 1000):03d}"
    date = "" if len(day) == len("00:00:00") else f"{day[:10]} "
    return Text.assemble((f"{date}{clock} ", "dim"), printable(what))
