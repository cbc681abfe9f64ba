"""What the figures look like."""

import io

import pytest
from rich.console import Console

from jobtelemetry.demo import display
from jobtelemetry.demo.summary import Summary, WorkerFigures
from jobtelemetry.outcomes import State


def figures(completed: int, cancelled: int = 0, enqueued: int = 1274) -> Summary:
    worker = WorkerFigures(enqueued=enqueued)
    worker.states.update({State.COMPLETED: completed, State.CANCELLED: cancelled})
    summary = Summary(workers={"demo.jobs.ShowtimeProcessJob": worker}, up=True)
    summary.cancellations["demo.jobs.ShowtimeProcessJob", "movie_not_matched"] = cancelled
    return summary


def rendered(what, width=80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_table(width):
    """A row has the short name, the count of every state and both ratios, and fits an ordinary terminal."""
    table = rendered(display.table(figures(738, 536), width), width)
    row = next(line for line in table.splitlines() if line.startswith("ShowtimeProcessJob"))
    assert row.split()[1:6] == ["1274", "738", "536", "0", "0"]
    assert "100.0 %" in row
    assert "57.9 %" in row


def test_rare_states_have_a_column_when_they_happen():
    """``stopped`` is shown once an execution was stopped."""
    summary = figures(1)
    assert "stopped" not in rendered(display.table(summary, 120), 120)
    summary.workers["demo.jobs.ShowtimeProcessJob"].states[State.STOPPED] = 1
    assert "stopped" in rendered(display.table(summary, 120), 120)


def test_verdict():
    """In words: the sum, the reason, the ratio, and that nothing went unrecorded."""
    lines = display.verdict(figures(738, 536))
    assert lines[0] == "ShowtimeProcessJob: 1274 = 738 completed + 536 cancelled"
    assert lines[1] == "match ratio 57.9 %; cancelled on purpose: movie_not_matched 536"
    assert lines[2].startswith("unrecorded 0")


def test_verdict_on_a_blind_spot():
    """Unrecorded executions are said to be what they are."""
    summary = figures(1)
    summary.unrecorded = 3
    assert display.verdict(summary) == ["unrecorded 3: RQ counted executions that jobtelemetry did not"]


def test_plain_progress():
    """Without a terminal there is one line per tenth of the way, and no control characters."""
    console = Console(file=io.StringIO(), width=100)
    with display.Progress(console, "http://localhost") as progress:
        for completed in range(0, 101, 5):
            progress.show(figures(completed, enqueued=100))
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "0 of 100 jobs ended: none yet"
    assert lines[-1] == "100 of 100 jobs ended: 100 completed"
    assert len(lines) == 11
    assert "\x1b" not in console.file.getvalue()


def test_live_progress():
    """In a terminal the table is drawn in place and is gone when the progress ends."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with display.Progress(console, "http://localhost") as progress:
        progress.show(figures(5, enqueued=100))
        assert "ShowtimeProcessJob" in console.file.getvalue()
    assert console.file.getvalue().endswith("\x1b[2K")
