"""What the row of a state says of RQ is what RQ does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rq import Retry
from rq.command import send_stop_job_command

from jobtelemetry import State
from support import jobs
from support.stage import Stage, Theatre
from support.waiting import eventually

_LATER = 3600


def _stop(stage: Stage) -> None:
    stage.enqueue(jobs.meet)
    stage.worker()
    stage.meet()
    send_stop_job_command(stage.connection, "job-1")


_WAYS: dict[State, Callable[[Stage], object]] = {
    State.COMPLETED: lambda stage: stage.enqueue(jobs.complete),
    State.CANCELLED: lambda stage: stage.enqueue(jobs.cancel),
    State.FAILURE: lambda stage: stage.enqueue(jobs.fail, retry=Retry(max=1, interval=_LATER)),
    State.DISCARD: lambda stage: stage.enqueue(jobs.fail),
    State.SNOOZED: lambda stage: stage.enqueue(jobs.come_again, 1, 3, _LATER),
    State.STOPPED: _stop,
}


@pytest.mark.parametrize("state", State)
def test_rq_has_the_status_and_the_count_that_the_row_says(theatre: Theatre, state: State) -> None:
    """The job's status afterwards, and as what RQ counted the execution for its worker."""
    with theatre.stage().open() as stage:
        _WAYS[state](stage)
        if state is not State.STOPPED:
            stage.worker()
        eventually(lambda: stage.told().states == {state.value: 1}, "the ending")
        stage.settle()  # up to RQ 2.12 it counts a failure a moment later
        assert stage.status() == (state.row.rq_status or "scheduled")
        counts = stage.connection.hmget("rq:worker:worker-1", "successful_job_count", "failed_job_count")
        wanted = [int(state.row.rq_counts == "successful"), int(state.row.rq_counts == "failed")]
        assert [int(count or 0) for count in counts] == wanted
