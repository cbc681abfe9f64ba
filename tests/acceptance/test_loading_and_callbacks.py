"""Rows 18, 21 and 22: what surrounds the job's function fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from rq import Callback, Retry

from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.workers import WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)


@pytest.fixture
def film() -> Iterator[object]:
    """An argument whose class the producer has and the worker has not."""
    module = ModuleType("films_of_the_producer")
    exec("class Film: pass", module.__dict__)
    sys.modules[module.__name__] = module
    yield module.Film()
    del sys.modules[module.__name__]


@pytest.mark.row(18)
@every_worker
def test_a_function_that_cannot_be_imported_is_a_discard(theatre: Theatre, kind: str) -> None:
    """A job whose function or module is not there has failed, under the name that it would have had."""
    paths = ["support.gone.process_showtime", "support.jobs.gone"]

    def scene(stage: Stage) -> None:
        stage.unreached = 2
        for path in paths:
            stage.enqueue(path)
        stage.run(kind)
        if stage.instrumented:
            assert [entry["worker"] for entry in stage.log()] == paths

    # RQ looks for the longest path that it can import, and says ValueError when nothing is left.
    assert theatre.play(scene) == told(discard=2, errors={"ValueError": 2})


@pytest.mark.row(18)
@every_worker
def test_arguments_that_cannot_be_loaded_are_a_discard(theatre: Theatre, kind: str, film: object) -> None:
    """A job whose arguments cannot be loaded has failed, under its own name."""

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(jobs.complete, film)
        stage.run(kind)
        if stage.instrumented:
            assert [entry["worker"] for entry in stage.log()] == ["support.jobs.complete"]

    assert theatre.play(scene) == told(discard=1, errors={"DeserializationError": 1})


@pytest.mark.row(18)
@every_worker
def test_a_job_that_cannot_be_loaded_is_retried(theatre: Theatre, kind: str, film: object) -> None:
    """A job that cannot be loaded and has retries left fails once per attempt."""

    def scene(stage: Stage) -> None:
        stage.unreached = 2
        stage.enqueue(jobs.complete, film, retry=Retry(max=1))
        stage.run(kind)

    assert theatre.play(scene) == told(failure=1, discard=1, errors={"DeserializationError": 2})


@pytest.mark.row(18)
@every_worker
def test_a_result_that_cannot_be_saved_is_completed(theatre: Theatre, kind: str) -> None:
    """A job whose result cannot be pickled is a finished one to RQ, and completed."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.unpicklable)
        stage.run(kind)
        assert stage.status() == "finished"

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(21)
@every_worker
def test_a_success_callback_that_raises_fails_the_job(theatre: Theatre, kind: str) -> None:
    """A job whose success callback raises has failed, and is retried if it has retries left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete, on_success=Callback(jobs.raising_success_callback), retry=Retry(max=1))
        stage.run(kind, exception_handler=True)

    assert theatre.play(scene) == told(failure=1, discard=1, errors={"ShowtimeNotFound": 2})


@pytest.mark.row(22)
@every_worker
def test_a_failure_callback_that_raises_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that raises and whose failure callback raises too has failed once, with the callback's error."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail, on_failure=Callback(jobs.raising_failure_callback), retry=Retry(max=1))
        stage.run(kind, exception_handler=True)

    assert theatre.play(scene) == told(failure=1, discard=1, errors={"ShowtimeNotFound": 2})
