"""Rows 10 to 13: the job runs too long, dies, or is stopped."""

from __future__ import annotations

from importlib import metadata

import pytest
from rq import Callback, Retry
from rq.command import send_stop_job_command

from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import FORKING, WORKERS

RQ_3 = int(metadata.version("rq").split(".")[0]) >= 3
every_worker = pytest.mark.parametrize("kind", WORKERS)
every_forking_worker = pytest.mark.parametrize("kind", FORKING)


@pytest.mark.row(10)
@every_worker
def test_a_timeout_is_a_failure(theatre: Theatre, kind: str) -> None:
    """A job that runs longer than its timeout has failed, and is retried if it has retries left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.hang_until, 2, job_timeout=1, retry=Retry(max=1))
        stage.run(kind)

    assert theatre.play(scene) == told(failure=1, completed=1, errors={"JobTimeoutException": 1})


@pytest.mark.row(10)
def test_a_timeout_without_retries_is_a_discard(theatre: Theatre) -> None:
    """A job that runs longer than its timeout is discarded if it has no retries left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.hang_until, 2, job_timeout=1, on_failure=Callback(jobs.failed))
        stage.run()

    assert theatre.play(scene) == told(discard=1, errors={"JobTimeoutException": 1})


@pytest.mark.row(11)
@every_forking_worker
@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "memory"])
def test_a_work_horse_that_dies_is_counted(theatre: Theatre, kind: str, how: str) -> None:
    """A job whose process is killed, segfaults or runs out of memory has failed, once per attempt, and says by what."""
    said: set[str] = set()

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.die, how, retry=Retry(max=1))
        stage.run(kind)
        said.update(entry["message"] for entry in stage.log())

    assert theatre.play(scene) == told(failure=1, discard=1, errors={"WorkHorseKilled": 2})
    assert said == {f"killed by {how.replace('memory', 'SIGABRT')}"}


@pytest.mark.row(11)
@every_worker
def test_a_memory_limit_that_python_notices_is_an_exception(theatre: Theatre, kind: str) -> None:
    """A job that gets a ``MemoryError`` fails like any other."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.out_of_memory)
        stage.run(kind)

    assert theatre.play(scene) == told(discard=1, errors={"MemoryError": 1})


@pytest.mark.row(11)
@every_forking_worker
def test_a_work_horse_killed_from_outside_is_counted(theatre: Theatre, kind: str) -> None:
    """A job whose process is killed by somebody else, as the OOM killer does, has failed."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        stage.worker(kind)
        stage.kill(stage.meet())
        stage.settle()

    assert theatre.play(scene) == told(discard=1, errors={"WorkHorseKilled": 1})


@pytest.mark.row(12)
@every_forking_worker
@pytest.mark.parametrize("retry", [True, False], ids=["retried", "not retried"])
def test_a_silent_exit_is_counted_at_once(theatre: Theatre, kind: str, retry: bool) -> None:
    """A job that ends its process without a word has failed: known at once, and not again when RQ finds out."""
    state = "failure" if retry else "discard"

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.die, "exit", until=2, retry=Retry(max=1) if retry else None)
        worker = stage.run(kind)
        assert stage.status() == "started"
        if stage.instrumented:
            assert stage.told() == told(**{state: 1}, errors={"WorkHorseExited": 1})
        stage.bury(worker)
        stage.let_heartbeats_expire("worker-1")
        stage.run(kind)
        assert stage.status() == ("finished" if retry else "failed")

    assert theatre.play(scene) == told(
        **{state: 1}, **({"completed": 1} if retry else {}), errors={"WorkHorseExited": 1}
    )


@pytest.mark.row(12)
@every_forking_worker
def test_an_exit_with_a_code_is_an_exit(theatre: Theatre, kind: str) -> None:
    """A job that ends its process with an exit code was not killed: that is what a signal does."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.die, "exit 3", retry=Retry(max=1))
        stage.run(kind)
        assert stage.status() == "failed"

    assert theatre.play(scene) == told(failure=1, discard=1, errors={"WorkHorseExited": 2})


@pytest.mark.row(13)
@every_forking_worker
def test_a_stopped_job_is_no_failure(theatre: Theatre, kind: str) -> None:
    """A job that an operator stops is stopped, whatever retries are left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(
            jobs.meet, retry=Retry(max=2), on_stopped=Callback(jobs.stopped), on_failure=Callback(jobs.failed)
        )
        stage.worker(kind)
        stage.meet()
        send_stop_job_command(stage.connection, "job-1")
        eventually(lambda: stage.status() == "stopped", "the stop")
        stage.settle()

    assert theatre.play(scene) == told(stopped=1)


@pytest.mark.row(13)
@every_forking_worker
def test_a_stopped_callback_that_raises_is_as_in_rq(theatre: Theatre, kind: str) -> None:
    """RQ 3 forgives a stopped callback that raises; in RQ 2 the worker ends, and the execution is abandoned."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, on_stopped=Callback(jobs.raising_stopped_callback))
        worker = stage.worker(kind)
        stage.meet()
        send_stop_job_command(stage.connection, "job-1")
        eventually(lambda: stage.status() == "stopped" or not worker.alive, "the stop")
        if not worker.alive:
            stage.let_heartbeats_expire("worker-1")
            stage.run(kind)
        stage.settle()
        assert stage.status() == ("stopped" if RQ_3 else "failed")

    expected = told(stopped=1) if RQ_3 else told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1)
    assert theatre.play(scene) == expected


@pytest.mark.row(13)
@pytest.mark.parametrize("then", ["return", "fail"])
def test_a_worker_without_a_horse_stops_a_job_that_fails(theatre: Theatre, then: str) -> None:
    """A ``SimpleWorker`` cannot kill a job, so one that is to be stopped completes, or is stopped when it raises."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, then=then, retry=Retry(max=2))
        worker = stage.worker("SimpleWorker", logging_level="DEBUG")
        stage.meet()
        send_stop_job_command(stage.connection, "job-1")
        eventually(lambda: "stop-job" in worker.output, "the command's arrival")
        stage.go()
        stage.settle()

    assert theatre.play(scene) == (told(completed=1) if then == "return" else told(stopped=1))
