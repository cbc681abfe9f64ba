"""What ``jobtelemetry watch`` looks at, and how it is drawn on a terminal of any size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from jobtelemetry.cli import formats, queue_table, rq_worker_table
from jobtelemetry.cli.connecting import Target
from jobtelemetry.cli.stats_table import COLUMNS as STATS_COLUMNS
from jobtelemetry.cli.terminal import STYLES, Column, moment, printable, table_of
from jobtelemetry.exporter.logbook import Failed, Logbook
from jobtelemetry.exporter.trends import Lately, Trends
from jobtelemetry.exporter.trouble import Trouble, jobs
from jobtelemetry.exporter.verdict import Level, Verdict, audit
from jobtelemetry.outcomes import State
from jobtelemetry.questions.failures import FailureGroup, group_failures
from jobtelemetry.questions.queues import QueueLine, queue_lines
from jobtelemetry.questions.rq_workers import RQWorker, most_telling, read_rq_workers
from jobtelemetry.questions.stats import WorkerStats, from_counters
from jobtelemetry.store.read import Reader
from jobtelemetry.store.snapshot import Snapshot

#: RQ workers that are looked at: more than fit on a terminal.
_MOST_RQ_WORKERS = 100
#: Rows of a table where the height does not say.
_MOST_ROWS = 20
_LEVELS = {Level.GOOD: "green", Level.NEUTRAL: "", Level.WARNING: "yellow", Level.BAD: "bold red"}
_BEFORE = len("telemetry  !! ") - 1  # what stands before a verdict
_MARKS = {Level.GOOD: "ok", Level.NEUTRAL: "--", Level.WARNING: "! ", Level.BAD: "!!"}


@dataclass(frozen=True)
class Scene:
    """One look."""

    snapshot: Snapshot
    trouble: Trouble
    telemetry: Verdict
    workers: tuple[WorkerStats, ...]
    queues: tuple[QueueLine, ...]
    rq_workers: tuple[RQWorker, ...]
    failures: tuple[FailureGroup, ...]
    failures_since: float | None = None
    outage: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Unix times, seconds."""

        def told(level: Level, headline: str) -> dict[str, Any]:
            return {"level": level.value, "headline": headline}

        return {
            "taken_at": self.snapshot.taken_at,
            "redis": self.outage or None,
            "jobs": {
                **told(self.trouble.level, self.trouble.headline),
                "findings": [told(one.level, one.text) for one in self.trouble.findings],
            },
            "telemetry": told(self.telemetry.level, self.telemetry.headline),
            "workers": [line.as_dict() for line in _worst_first(self.workers)],
            "failures_since": self.failures_since,
            "failures": [group.as_dict() for group in self.failures],
            "queues": [line.as_dict() for line in self.queues],
            "rq_workers": [worker.as_dict() for worker in self.rq_workers],
        }

    def away(self, why: str) -> Scene:
        """The same, while Redis is away."""
        return replace(self, outage=why)


class Watcher:
    """Looks again and again, and remembers what it needs for rates and for what happened lately.

    Args:
        where: Which Redis.
    """

    def __init__(self, where: Target) -> None:
        self._where = where
        self._reader = Reader(where.connection, where.keys)
        self._trends = Trends()
        self._logbook = Logbook(where.connection, where.keys)
        self._sampled = float("-inf")

    def look(self) -> Scene:
        """Read everything once.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        connection, keys = self._where.connection, self._where.keys
        snapshot = self._reader.read()
        before, lately = self._trends.before(snapshot), self._trends.lately(snapshot)
        if snapshot.taken_at - self._sampled >= _SAMPLE_EVERY:
            self._trends.add(snapshot)
            self._sampled = snapshot.taken_at
        failed: Failed = self._logbook.look()
        asked = most_telling(snapshot.rq_workers)[:_MOST_RQ_WORKERS]
        return Scene(
            snapshot,
            jobs(snapshot, lately if lately.seconds else Lately(), failed),
            audit(snapshot),
            from_counters(snapshot, lambda series: True),
            queue_lines(snapshot, before),
            read_rq_workers(connection, keys, snapshot, asked),
            group_failures(failed.entries),
            failed.since,
        )


_SAMPLE_EVERY = 10.0


def drawn(scene: Scene, width: int, height: int | None) -> RenderableType:
    """The view.

    Args:
        scene: What is shown.
        width: Columns of the terminal.
        height: Its lines; ``None`` for as many as are needed, for a bounded number of rows in each table.
    """
    top = _title(scene)
    if height is not None:
        top.append("  Ctrl-C ends", "dim")
    head = [top, *_verdicts(scene, width)]
    now = scene.snapshot.taken_at
    parts: list[tuple[str, Sequence[Column[Any]], Sequence[Any]]] = [
        ("Workers", _worker_columns(width), _worst_first(scene.workers)),
        (_failures_title(scene), _failure_columns(), scene.failures),
        ("Queues", queue_table.columns(now), scene.queues),
        ("RQ workers", rq_worker_table.columns(now), scene.rq_workers),
    ]
    parts = [part for part in parts if part[2]]
    rooms = _rooms([len(rows) for _, _, rows in parts], None if height is None else height - len(head) - 1)
    body: list[RenderableType] = []
    for (title, columns, rows), room in zip(parts, rooms, strict=True):
        if room:
            left = f" ({len(rows) - room:,} more)" if len(rows) > room else ""
            body += [Text(f"\n{title}{left}", style="bold"), table_of(columns, rows[:room], width)]
    if not parts:
        body.append(Text("\nNothing has been recorded in this Redis yet: see 'jobtelemetry doctor'."))
    return Group(*head, *body)


def _failures_title(scene: Scene) -> str:
    if scene.failures_since is None:
        return "Failures"
    return f"Failures since {moment(scene.failures_since, scene.snapshot.taken_at)}"


def _rooms(wanted: Sequence[int], lines: int | None) -> list[int]:
    """How many rows each table may have: all get the same, and what one does not need goes to the others."""
    if lines is None:
        return [min(want, _MOST_ROWS) for want in wanted]
    rooms = [0] * len(wanted)
    left = lines - 4 * len(wanted)  # an empty line, a title, the head, a rule
    while left > 0 and any(room < want for room, want in zip(rooms, wanted, strict=True)):
        for i, want in enumerate(wanted):
            if left > 0 and rooms[i] < want:
                rooms[i] += 1
                left -= 1
    return rooms


def _title(scene: Scene) -> Text:
    text = Text.assemble(
        ("jobtelemetry ", "bold"), (moment(scene.snapshot.taken_at, time.time(), zone=True), ""), no_wrap=True
    )
    if scene.snapshot.created:
        text.append(f", counting since {moment(scene.snapshot.created, scene.snapshot.taken_at)}", "dim")
    return text


def _verdicts(scene: Scene, width: int) -> list[Text]:
    said = _wrapped("jobs", scene.trouble.level, scene.trouble.headline, width)
    said += [_verdict("", finding.level, finding.text) for finding in scene.trouble.findings[1:4]]
    said += _wrapped("telemetry", scene.telemetry.level, scene.telemetry.headline, width)
    if scene.outage:
        said.insert(0, _verdict("Redis", Level.BAD, f"away, these figures are old: {scene.outage}"))
    for line in said:
        line.truncate(width, overflow="ellipsis")
    return said


def _wrapped(about: str, level: Level, text: str, width: int) -> list[Text]:
    """What must be read to its end: it goes on below, for two more lines at most."""
    first, *others = wrap(text, max(20, width - _BEFORE), max_lines=3, placeholder=" ...") or [""]
    return [_verdict(about, level, first), *(Text(f"{'':{_BEFORE}}{printable(one)}", _LEVELS[level]) for one in others)]


def _verdict(about: str, level: Level, text: str) -> Text:
    return Text.assemble((f"{about:<10}", "dim"), (f"{_MARKS[level]} {printable(text)}", _LEVELS[level]), no_wrap=True)


def _worst_first(lines: Sequence[WorkerStats]) -> list[WorkerStats]:
    def order(line: WorkerStats) -> tuple[int, float, str]:
        return -line.counts[State.DISCARD], 2.0 if line.success is None else line.success, line.worker.casefold()

    return sorted((line for line in lines if line.worker), key=order)


def _worker_columns(width: int) -> list[Column[WorkerStats]]:
    """Those of ``stats``; the rarer states can be spared on a narrow terminal."""
    rare = {State.SNOOZED.value: 4, State.STOPPED.value: 4, "mean": 1, "wait p95": 5, "executions": 3}
    rare |= {"p50": 2, "last completed": 6, "match": 7, "p95": 8}
    return [replace(column, spare=rare.get(column.title, 0)) for column in STATS_COLUMNS]


def _failure_columns() -> list[Column[FailureGroup]]:
    return [
        Column("last seen", lambda group: moment(group.last)),
        Column("worker", lambda group: formats.short(group.worker), wide=10),
        Column("error", lambda group: group.error_type, wide=10),
        Column("message", lambda group: group.message, wide=10),
        Column("failed", lambda group: f"{group.count:,}", right=True, style=lambda group: STYLES[State.FAILURE]),
        Column(
            "for good",
            lambda group: f"{group.discards:,}",
            right=True,
            style=lambda group: STYLES[State.DISCARD] if group.discards else "dim",
        ),
        Column("example job", lambda group: group.example.job if group.example else "", spare=1),
    ]
