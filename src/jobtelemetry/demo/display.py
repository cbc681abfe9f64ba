"""How the demo's figures look in a terminal, and as plain lines where there is none."""

from __future__ import annotations

import os
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobtelemetry.demo.summary import Summary, WorkerFigures
from jobtelemetry.outcomes import State

_PLAIN_WIDTH = 100
_ROOMY = 90


def console() -> Console:
    """The terminal, or a file with lines long enough for the table."""
    terminal = Console(highlight=False)
    if terminal.is_terminal or "COLUMNS" in os.environ:
        return terminal
    return Console(highlight=False, width=_PLAIN_WIDTH)


def table(summary: Summary, width: int) -> Table:
    """One row per worker: executions by state, and the ratios."""
    states = [state for state in State if state.row.always_shown or _total(summary, state)]
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, int(width >= _ROOMY), 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("worker", no_wrap=True)
    grid.add_column("runs", justify="right")
    for state in states:
        grid.add_column(state.value, justify="right", style=state.row.hue.value.terminal)
    grid.add_column("success", justify="right")
    grid.add_column("match", justify="right")
    grid.add_column("p95", justify="right")
    for worker, figures in sorted(summary.workers.items(), key=lambda item: (item[1].enqueued, item[0])):
        counts = [str(figures.states[state]) for state in states]
        ratios = [percent(figures.success_ratio), _match(figures)]
        grid.add_row(
            _short(worker), str(figures.executions), *counts, *ratios, _seconds(figures.run_time_quantile(0.95))
        )
    return grid


def verdict(summary: Summary) -> list[str]:
    """The same in words: what was cancelled and why, and whether anything went unrecorded."""
    lines = []
    for worker, figures in summary.workers.items():
        if figures.states[State.CANCELLED]:
            parts = [f"{figures.states[state]} {state}" for state in State if figures.states[state]]
            lines.append(f"{_short(worker)}: {figures.executions} = {' + '.join(parts)}")
            why = _reasons(summary, worker)
            lines.append(f"match ratio {percent(figures.match_ratio)}; cancelled on purpose: {why}")
    says = "counted executions that jobtelemetry did not" if summary.unrecorded else "and jobtelemetry count the same"
    return [*lines, f"unrecorded {summary.unrecorded}: RQ {says}"]


def percent(ratio: float | None) -> str:
    """``57.9 %``, or a dash where there is nothing to divide."""
    return "-" if ratio is None else f"{ratio:.1%}".replace("%", " %")


class Progress:
    """What is shown while the pipeline runs: a live table in a terminal, else a line for every tenth of the way."""

    def __init__(self, console: Console, address: str) -> None:
        self._console = console
        self._address = address
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._last_tenth = -1

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, summary: Summary) -> None:
        """Show the newest figures."""
        if self._live:
            self._live.update(self._view(summary), refresh=True)
        elif summary.enqueued and (tenth := summary.executions * 10 // summary.enqueued) != self._last_tenth:
            self._console.print(_line(summary))
            self._last_tenth = tenth

    def _view(self, summary: Summary) -> RenderableType:
        way = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=max(1, summary.enqueued), completed=summary.executions, width=40)
        way.add_row(bar, f"{summary.executions} of {summary.enqueued} jobs")
        title = Text(f"Cinema City, as {self._address}/metrics shows it", style="bold")
        return Group(title, table(summary, self._console.width), way)


def _line(summary: Summary) -> str:
    parts = [f"{total} {state}" for state in State if (total := _total(summary, state))]
    return f"{summary.executions} of {summary.enqueued} jobs ended: {', '.join(parts) or 'none yet'}"


def _total(summary: Summary, state: State) -> int:
    return sum(figures.states[state] for figures in summary.workers.values())


def _reasons(summary: Summary, worker: str) -> str:
    reasons = {reason: count for (who, reason), count in summary.cancellations.items() if who == worker and count}
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())


def _match(figures: WorkerFigures) -> str:
    """The match ratio of a worker that cancels; for others it would only say 100 %."""
    return percent(figures.match_ratio) if figures.states[State.CANCELLED] else "-"


def _short(worker: str) -> str:
    return worker.rpartition(".")[2]


def _seconds(duration: float | None) -> str:
    if duration is None:
        return "-"
    return f"{duration * 1000:.0f} ms" if duration < 1 else f"{duration:.1f} s"
