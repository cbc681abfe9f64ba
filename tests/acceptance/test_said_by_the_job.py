"""Rows 1 to 9: the job itself says how it ends."""

from __future__ import annotations

import pytest
from rq import Callback, Retry

from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.workers import WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)
raised_or_returned = pytest.mark.parametrize("returned", [False, True], ids=["raised", "returned"])


@pytest.mark.row(1)
@every_worker
def test_a_job_that_returns_is_completed(theatre: Theatre, kind: str) -> None:
    """A job that returns is completed, also if nobody keeps its result."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete, 7, on_success=Callback(jobs.succeeded))
        stage.enqueue(jobs.complete, result_ttl=0)
        stage.run(kind)
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "gone")

    assert theatre.play(scene) == told(completed=2)


@pytest.mark.row(2)
@every_worker
@raised_or_returned
def test_a_cancel_is_neither_failure_nor_success(theatre: Theatre, kind: str, returned: bool) -> None:
    """A job that cancels itself is cancelled for its reason, whatever retries are left, and calls nobody."""

    def scene(stage: Stage) -> None:
        stage.enqueue(
            jobs.cancel,
            returned=returned,
            retry=Retry(max=3),
            on_failure=Callback(jobs.failed),
            on_success=Callback(jobs.succeeded),
        )
        stage.enqueue(jobs.complete, depends_on="job-1")
        stage.enqueue(jobs.cancel, "sold_out")
        stage.run(kind, exception_handler=True)
        assert (stage.status("job-1"), stage.status("job-2"), stage.status("job-3")) == (
            "canceled",
            "deferred",
            "canceled",
        )
        assert stage.job().retries_left == 3
        assert (stage.book("callbacks"), stage.book("handlers")) == ([], [])
        assert sorted(stage.queue().canceled_job_registry.get_job_ids()) == ["job-1", "job-3"]
        assert stage.queue().failed_job_registry.get_job_ids() == []
        assert stage.queue().started_job_registry.get_job_ids() == []

    expected = told(cancelled=2, reasons={"movie_not_matched": 1, "sold_out": 1})
    assert theatre.play(scene, like_rq=False) == expected


@pytest.mark.row(3)
@every_worker
@raised_or_returned
def test_a_discard_fails_at_once(theatre: Theatre, kind: str, returned: bool) -> None:
    """A job that discards itself has failed for its reason, whatever retries are left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.discard, returned=returned, retry=Retry(max=3), on_failure=Callback(jobs.failed))
        stage.run(kind)
        assert stage.status() == "failed"
        assert stage.queue().failed_job_registry.get_job_ids() == ["job-1"]
        assert stage.book("callbacks") == ["failure job-1 Discard"]

    assert theatre.play(scene, like_rq=False) == told(discard=1, errors={"bad_payload": 1})


@pytest.mark.row(4)
@every_worker
def test_an_exception_with_retries_left_is_a_failure(theatre: Theatre, kind: str) -> None:
    """A job that raises and will be retried has failed for now; its success afterwards is another execution."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 2, "ShowtimeNotFound", retry=Retry(max=2))
        stage.run(kind, exception_handler=True)

    assert theatre.play(scene) == told(failure=1, completed=1, errors={"ShowtimeNotFound": 1})


@pytest.mark.row(4)
@every_worker
def test_a_retry_with_an_interval_is_a_failure_too(theatre: Theatre, kind: str) -> None:
    """A job that raises and is scheduled to run again later has failed for now."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail, retry=Retry(max=2, interval=3600))
        stage.run(kind)
        assert stage.status() == "scheduled"

    assert theatre.play(scene) == told(failure=1, errors={"ValueError": 1})


@pytest.mark.row(5)
@every_worker
def test_attempts_are_numbered_from_one(theatre: Theatre, kind: str) -> None:
    """Every failure knows which attempt it was, so that the third can be told from the first."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 4, retry=Retry(max=3))
        stage.run(kind)
        if stage.instrumented:
            attempts = [(entry["state"], entry["attempt"]) for entry in stage.log()]
            assert attempts == [("failure", "1"), ("failure", "2"), ("failure", "3"), ("completed", "4")]

    assert theatre.play(scene) == told(failure=3, completed=1, errors={"ValueError": 3})


@pytest.mark.row(6)
@every_worker
def test_an_exception_without_retries_left_is_a_discard(theatre: Theatre, kind: str) -> None:
    """A job that raises and will not be retried is discarded: without retries, and after the last one."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail, "ShowtimeNotFound", on_failure=Callback(jobs.failed))
        stage.enqueue(jobs.fail, retry=Retry(max=1))
        stage.run(kind, exception_handler=True)

    assert theatre.play(scene) == told(discard=2, failure=1, errors={"ShowtimeNotFound": 1, "ValueError": 2})


@pytest.mark.row(7)
@every_worker
def test_a_rate_limit_is_a_failure(theatre: Theatre, kind: str) -> None:
    """A job that hits a rate limit and will be retried has failed for now, with the class of its error."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail, "RateLimited", 30.0, retry=Retry(max=1, interval=3600))
        stage.enqueue(jobs.fail, "TooManyRequests", "429", retry=Retry(max=1, interval=3600))
        stage.enqueue(jobs.fail_until, 2, "RuntimeError", "rate limit exceeded", retry=Retry(max=1))
        stage.run(kind)

    errors = {"RateLimited": 1, "TooManyRequests": 1, "RuntimeError": 1}
    assert theatre.play(scene) == told(failure=3, completed=1, errors=errors)


@pytest.mark.row(8)
@every_worker
def test_a_returned_retry_is_a_snooze(theatre: Theatre, kind: str) -> None:
    """A job that returns ``Retry`` within its maximum is snoozed, at once or for a while, and not failed."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.come_again, 1, 2)
        stage.enqueue(jobs.come_again, 1, 2, 3600)
        stage.run(kind)
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "scheduled")

    assert theatre.play(scene) == told(snoozed=2, completed=1)


@pytest.mark.row(9)
@every_worker
def test_a_returned_retry_too_many_is_a_discard(theatre: Theatre, kind: str) -> None:
    """A job that returns ``Retry`` beyond its maximum is discarded."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.come_again, 10, 2)
        stage.run(kind)
        assert stage.status() == "failed"

    assert theatre.play(scene) == told(snoozed=2, discard=1, errors={"MaxRetriesExceeded": 1})


MISTAKES = {"raised class": "unspecified", "returned class": "unspecified", "free text": "invalid_reason"}
every_mistake = pytest.mark.parametrize("how", MISTAKES)


@pytest.mark.row(38)
@every_worker
@every_mistake
def test_a_cancel_written_wrongly_is_a_cancellation(theatre: Theatre, kind: str, how: str) -> None:
    """Brackets forgotten or free text: the job is cancelled once, whatever retries are left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.mistaken, f"cancel {how}", retry=Retry(max=3))
        stage.run(kind)
        assert stage.status() == "canceled"
        detail = stage.connection.hget("rq:job:job-1", "jobtelemetry_cancel_detail")
        assert detail == (b"movie not matched: film 4711" if how == "free text" else b"")

    assert theatre.play(scene, like_rq=False) == told(cancelled=1, reasons={MISTAKES[how]: 1})


@pytest.mark.row(38)
@every_worker
@every_mistake
def test_a_discard_written_wrongly_is_a_discard(theatre: Theatre, kind: str, how: str) -> None:
    """The same mistakes with its twin: the job has failed once, whatever retries are left."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.mistaken, f"discard {how}", retry=Retry(max=3))
        stage.run(kind)
        assert stage.status() == "failed"

    assert theatre.play(scene, like_rq=False) == told(discard=1, errors={MISTAKES[how]: 1})
