"""How RQ workers look in a terminal."""

from __future__ import annotations

from jobtelemetry.cli import formats
from jobtelemetry.cli.terminal import NOTHING, STYLES, Column
from jobtelemetry.exporter.formats import duration, size
from jobtelemetry.outcomes import State
from jobtelemetry.questions.rq_workers import RQWorker


def columns(now: float) -> list[Column[RQWorker]]:
    """The columns; ages count from ``now``, Unix time in seconds."""

    def since(at: float | None) -> str:
        return NOTHING if at is None else duration(max(0.0, now - at))

    def job(worker: RQWorker) -> str:
        name = f"{formats.short(worker.job_worker)} " if worker.job_worker else ""
        return f"{name}{worker.job}" if worker.job else NOTHING

    return [
        Column("RQ worker", lambda w: w.name, wide=12),
        Column("host", lambda w: w.hostname or NOTHING, lambda w: w.hostname, spare=5),
        Column("pid", lambda w: str(w.pid or NOTHING), lambda w: str(w.pid or ""), right=True),
        Column("queues", lambda w: ",".join(w.queues), wide=8),
        Column("state", lambda w: w.state, style=lambda w: "bold" if w.state == "busy" else ""),
        Column("current job", job, lambda w: w.job, wide=12),
        Column("for", lambda w: since(w.job_since), lambda w: formats.plain_moment(w.job_since), right=True),
        Column(
            "heartbeat", lambda w: since(w.heartbeat), lambda w: formats.plain_moment(w.heartbeat), right=True, spare=6
        ),
        Column("up", lambda w: since(w.born), lambda w: formats.plain_moment(w.born), right=True, spare=7),
        Column("memory", lambda w: size(w.memory), lambda w: str(w.memory or ""), right=True, spare=4),
        Column("version", lambda w: w.app_version or NOTHING, lambda w: w.app_version, wide=8, spare=3),
        Column("RQ", lambda w: w.rq_version or NOTHING, lambda w: w.rq_version, spare=2),
        Column("Python", lambda w: w.python_version or NOTHING, lambda w: w.python_version, spare=1),
        Column(
            "instrumented",
            lambda w: "yes" if w.instrumented else "NO",
            lambda w: "yes" if w.instrumented else "no",
            style=lambda w: "" if w.instrumented else STYLES[State.DISCARD],
        ),
    ]
