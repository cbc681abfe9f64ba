"""Retries by hand: a job that has just failed is put on a queue again by the user's own code."""

from __future__ import annotations

import pytest
from rq import Callback

from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import WORKERS


@pytest.mark.parametrize("kind", WORKERS)
def test_what_a_failure_callback_puts_back_was_not_given_up(theatre: Theatre, kind: str) -> None:
    """An attempt that is put back in the process that ran it is a failure and no discard."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 3, on_failure=Callback(jobs.put_back))
        stage.worker(kind)
        eventually(lambda: stage.calls == 3, "three attempts")
        stage.settle()

    assert theatre.play(scene, like_rq=False) == told(completed=1, failure=2, errors={"ValueError": 2})
