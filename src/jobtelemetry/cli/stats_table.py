"""How ``jobtelemetry stats`` looks: one table on a wide terminal, two on a narrow one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from jobtelemetry.cli import formats
from jobtelemetry.cli.terminal import STYLES, Column, moment, show_table
from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS
from jobtelemetry.outcomes import State
from jobtelemetry.questions.stats import WorkerStats

#: Narrower than this, the columns do not fit beside each other.
_ROOMY = 150
_RUN, _WAIT = DURATION_BUCKETS[-1], WAIT_BUCKETS[-1]


def _state_column(state: State) -> Column[WorkerStats]:
    return Column(
        state.value,
        lambda line: f"{line.counts[state]:,}",
        lambda line: str(line.counts[state]),
        right=True,
        style=lambda line: STYLES[state] if line.counts[state] else "dim",
    )


_WORKER: Column[WorkerStats] = Column(
    "worker",
    lambda line: formats.short(line.worker) if line.worker else "Total",
    lambda line: line.worker or "Total",
    wide=12,
)
_COUNTS: tuple[Column[WorkerStats], ...] = (
    Column("executions", lambda line: f"{line.executions:,}", lambda line: str(line.executions), right=True),
    *map(_state_column, State),
)
_RATIOS: tuple[Column[WorkerStats], ...] = (
    Column("success", lambda s: formats.percent(s.success), lambda s: formats.plain_ratio(s.success), right=True),
    Column("match", lambda s: formats.percent(s.match), lambda s: formats.plain_ratio(s.match), right=True),
)
_TIMES: tuple[Column[WorkerStats], ...] = (
    Column("mean", lambda s: formats.seconds(s.mean), lambda s: formats.plain_seconds(s.mean), right=True, spare=1),
    Column("p50", lambda s: formats.seconds(s.p50, _RUN), lambda s: formats.plain_seconds(s.p50), right=True, spare=3),
    Column("p95", lambda s: formats.seconds(s.p95, _RUN), lambda s: formats.plain_seconds(s.p95), right=True),
    Column(
        "wait p95",
        lambda s: formats.seconds(s.wait_p95, _WAIT),
        lambda s: formats.plain_seconds(s.wait_p95),
        right=True,
    ),
    Column(
        "last completed",
        lambda s: moment(s.last_completed),
        lambda s: formats.plain_moment(s.last_completed),
        right=True,
        spare=2,
    ),
)
COLUMNS = (_WORKER, *_COUNTS, *_RATIOS, *_TIMES)


def show(out: Console, lines: Sequence[WorkerStats]) -> None:
    """Show the lines; the last one is the total, which a single worker does not need."""
    rows, total = lines[:-1], lines[-1] if len(lines) > 2 else None
    if out.width >= _ROOMY:
        show_table(out, COLUMNS, rows, total)
        return
    counts = (
        _COUNTS[0],
        *(
            column
            for state, column in zip(State, _COUNTS[1:], strict=True)
            if state.row.always_shown or lines[-1].counts[state]
        ),
    )
    show_table(out, (_WORKER, *counts), rows, total)
    out.print()
    show_table(out, (_WORKER, *_RATIOS, *_TIMES), rows, total)
