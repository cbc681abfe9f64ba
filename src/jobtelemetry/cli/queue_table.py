"""How queues look in a terminal."""

from __future__ import annotations

from jobtelemetry.cli import formats
from jobtelemetry.cli.terminal import NOTHING, STYLES, Column
from jobtelemetry.exporter.formats import duration, short_number
from jobtelemetry.outcomes import State
from jobtelemetry.questions.queues import QueueLine


def columns(now: float) -> list[Column[QueueLine]]:
    """The columns; ages count from ``now``, Unix time in seconds."""

    def status(name: str, title: str = "", style: str = "", spare: int = 0) -> Column[QueueLine]:
        def value(line: QueueLine) -> int:
            return line.state.jobs.get(name, 0)

        return Column(
            title or name,
            lambda line: f"{value(line):,}",
            lambda line: str(value(line)),
            right=True,
            style=lambda line: style if value(line) else "dim",
            spare=spare,
        )

    def oldest(line: QueueLine) -> str:
        at = line.state.oldest_enqueued_at
        return NOTHING if at is None else duration(max(0.0, now - at))

    return [
        Column("queue", lambda line: line.state.name, wide=10),
        status("queued"),
        status("started", spare=6),
        status("scheduled", spare=3),
        status("deferred", spare=2),
        status("failed", style=STYLES[State.DISCARD]),
        Column(
            "blocked",
            lambda line: f"{line.state.blocked or 0:,}",
            lambda line: "" if line.state.blocked is None else str(line.state.blocked),
            right=True,
            style=lambda line: STYLES[State.FAILURE] if line.state.blocked else "dim",
            spare=8,
        ),
        Column("oldest", oldest, lambda line: formats.plain_moment(line.state.oldest_enqueued_at), right=True),
        Column("in/min", lambda line: _rate(line.rate_in), lambda line: _plain(line.rate_in), right=True, spare=5),
        Column("out/min", lambda line: _rate(line.rate_out), lambda line: _plain(line.rate_out), right=True, spare=5),
        Column("empty in", _drained, lambda line: formats.plain_seconds(line.drained_in), right=True, spare=4),
        Column(
            "RQ workers",
            lambda line: str(line.listening),
            right=True,
            style=lambda line: STYLES[State.DISCARD] if line.waiting and not line.listening else "",
        ),
        Column(
            "scheduler",
            lambda line: "up" if line.state.scheduler_up else NOTHING,
            lambda line: "up" if line.state.scheduler_up else "",
            spare=1,
        ),
        Column(
            "overdue",
            lambda line: f"{line.state.overdue_scheduled:,}",
            lambda line: str(line.state.overdue_scheduled),
            right=True,
            style=lambda line: STYLES[State.FAILURE] if line.state.overdue_scheduled else "dim",
            spare=7,
        ),
    ]


def _rate(rate: float | None) -> str:
    return NOTHING if rate is None else short_number(rate * 60)


def _plain(rate: float | None) -> str:
    return "" if rate is None else f"{rate * 60:.3f}"


def _drained(line: QueueLine) -> str:
    if line.drained_in is not None:
        return duration(line.drained_in)
    if line.waiting and line.shrinking is not None:
        return "grows" if line.shrinking < 0 else "stands"
    return NOTHING
