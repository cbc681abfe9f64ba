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


@pytest.mark.parametrize("kind", WORKERS)
def test_attempts_that_another_process_starts_can_be_told(theatre: Theatre, kind: str) -> None:
    """``@job(max_attempts=3)``: what fails before the third is a failure, whoever puts it back."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_three_times)
        stage.worker(kind)
        for attempt in range(1, 5):
            eventually(lambda attempt=attempt: stage.calls == attempt, f"attempt {attempt}")
            stage.settle()
            eventually(lambda: stage.status() == "failed")
            if attempt < 4:
                stage.job().requeue()

    assert theatre.play(scene, like_rq=False) == told(failure=2, discard=2, errors={"ValueError": 4})


def test_a_horse_that_is_killed_has_its_attempts_too(theatre: Theatre) -> None:
    """The parent, which never loads the function, knows the number from the job's hash."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.die_twice)
        stage.run("Worker")
        assert stage.status() == "failed"
        stage.job().requeue()
        eventually(lambda: stage.calls == 2 and stage.status() == "failed", "the second attempt")
        stage.settle()

    assert theatre.play(scene, like_rq=False) == told(failure=1, discard=1, errors={"WorkHorseKilled": 2})
