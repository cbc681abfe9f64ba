"""``jobtelemetry.testing`` says of a job what a real worker says of it, without any server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import rq

import jobtelemetry
from jobtelemetry import Cancel, Discard, Outcome, State
from jobtelemetry.testing import assert_ended, execute, execute_to_the_end
from support import tested_jobs
from support.stage import Theatre


def test_each_verdict_and_error_has_its_state(execute_job) -> None:
    """Cancelled with its reason, discarded with its reason, failed with its class, completed."""

    def job(say: object) -> object:
        if isinstance(say, BaseException):
            raise say
        return say

    for say, outcome in (
        (7, Outcome(State.COMPLETED)),
        (Cancel("too_old"), Outcome(State.CANCELLED, reason="too_old")),
        (Discard("bad_payload"), Outcome(State.DISCARD, reason="bad_payload", error_type="bad_payload")),
        (KeyError("title"), Outcome(State.DISCARD, error_type="KeyError")),
        (SystemExit(3), Outcome(State.DISCARD, error_type="SystemExit")),
        (rq.Retry(max=2), Outcome(State.SNOOZED)),
    ):
        assert execute_job(job, say).outcome == outcome
    assert execute_job(lambda: Cancel("returned")).outcome == Outcome(State.CANCELLED, reason="returned")
    assert execute_job(job, OSError("disk"), retry=rq.Retry(max=1)).outcome == Outcome(
        State.FAILURE, error_type="OSError"
    )


def test_a_job_has_what_it_has_in_a_worker() -> None:
    """The current job with its meta, ``set_attribute``, a coroutine; and nothing of it is left behind."""

    async def job(title: str, *, year: int) -> None:
        await asyncio.sleep(0)
        current = rq.get_current_job()
        assert current is not None
        jobtelemetry.set_attribute("title", f"{title} {year} {current.meta['tenant']} {current.id}")

    event = execute(job, "Velvet", year=1999, meta={"tenant": "acme"}, job_id="film-7")
    assert_ended(event, "completed")
    assert event.attributes == {"title": "Velvet 1999 acme film-7"}
    assert (event.attempt, event.queue, event.job_id) == (1, "default", "film-7")
    assert event.worker.endswith("<locals>.job")
    assert rq.get_current_job() is None
    jobtelemetry.set_attribute("title", "outside of a job")
    assert event.attributes == {"title": "Velvet 1999 acme film-7"}


def test_every_attempt_of_a_job(execute_job_to_the_end) -> None:
    """A job that fails twice and then succeeds has three events; one that always fails ends as discard."""
    tries = iter((OSError("1"), OSError("2"), None))

    def flaky() -> None:
        if error := next(tries):
            raise error

    states = [event.outcome.state for event in execute_job_to_the_end(flaky, retry=rq.Retry(max=5))]
    assert states == [State.FAILURE, State.FAILURE, State.COMPLETED]
    events = execute_job_to_the_end("os.remove", "/nowhere/at/all", retry=rq.Retry(max=1))
    assert [(event.outcome.state, event.attempt, event.max_attempts) for event in events] == [
        (State.FAILURE, 1, 2),
        (State.DISCARD, 2, 2),
    ]
    states = [event.outcome for event in execute_job_to_the_end(lambda: rq.Retry(max=2))]
    assert states[:2] == [Outcome(State.SNOOZED)] * 2
    assert states[2] == Outcome(State.DISCARD, error_type="MaxRetriesExceeded")


def test_attempts_that_are_started_outside_of_rq_can_be_told(execute_job_to_the_end) -> None:
    """What the decorator says of attempts holds here too."""

    @jobtelemetry.job(max_attempts=3)
    def job() -> None:
        raise OSError("disk")

    states = [event.outcome.state for event in execute_job_to_the_end(job)]
    assert states == [State.FAILURE, State.FAILURE, State.DISCARD]


def test_an_assertion_says_how_it_ended_and_why() -> None:
    """The message has state, class and text of the error, and the job's traceback is its cause."""
    event = execute(json.loads, "free")
    with pytest.raises(
        AssertionError,
        match=r"loads to end as cancelled, reason 'free'; it ended as discard \(JSONDecodeError\): Exp",
    ) as raised:
        assert_ended(event, "cancelled", reason="free")
    assert raised.value.__cause__ is event.error
    with pytest.raises(AssertionError, match="it ended as cancelled"):
        assert_ended(execute(lambda: Cancel("a")), State.CANCELLED, reason="b")
    with pytest.raises(ValueError, match="succeeded"):
        assert_ended(event, "succeeded")


def test_a_job_that_asks_redis_is_told_that_there_is_none() -> None:
    """``save_meta`` of the current job does not reach whatever listens on this machine."""

    def job() -> None:
        rq.get_current_job().save_meta()

    event = execute(job)
    assert_ended(event, "discard", error_type="ConnectionError")
    assert "no Redis" in event.message


@pytest.mark.parametrize("instrumented", [False, True])
def test_a_worker_says_the_same(theatre: Theatre, instrumented: bool) -> None:
    """Of each of these jobs, ``execute`` and a real worker say the same states, reasons and error types."""
    if instrumented:
        jobtelemetry.instrument()  # in the process of the unit tests, by the application that they import
    retries = (None, rq.Retry(max=1))
    with theatre.stage().open() as stage:
        for function in tested_jobs.EVERY:
            for retry in retries:
                stage.enqueue(function, retry=retry)
        stage.run()
        told = stage.told()
    outcomes = [
        event.outcome
        for function in tested_jobs.EVERY
        for retry in retries
        for event in execute_to_the_end(function, retry=retry)
    ]
    assert told.states == Counter(str(outcome.state) for outcome in outcomes)
    assert told.reasons == Counter(outcome.reason for outcome in outcomes if outcome.state is State.CANCELLED)
    assert told.errors == Counter(outcome.error_type for outcome in outcomes if outcome.state.failed)


def test_pytest_finds_the_fixture_by_itself(tmp_path: Path) -> None:
    """A test of somebody else's needs no import and no conftest, and fails with the job's own traceback."""
    (tmp_path / "test_theirs.py").write_text(
        "from jobtelemetry.testing import assert_ended\n"
        "def test_right(execute_job):\n    assert_ended(execute_job(len, 'abc'), 'completed')\n"
        "def test_wrong(execute_job):\n    assert_ended(execute_job(len, 3), 'completed')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert "1 failed, 1 passed" in ran.stdout
    assert "it ended as discard (TypeError): object of type 'int' has no len()" in ran.stdout


def test_the_plugin_is_light() -> None:
    """Where jobtelemetry is installed, every pytest loads it: it imports neither RQ nor Redis nor an SDK."""
    program = (
        "import sys, jobtelemetry.pytest_plugin; "
        "print([n for n in ('rq', 'redis', 'prometheus_client', 'opentelemetry', 'sentry_sdk') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_brackets_and_reasons_that_are_missing_are_judged_as_in_a_worker() -> None:
    """A returned class is a verdict, and what is no reason has the name that a worker counts it under."""
    assert_ended(execute(lambda: Cancel), "cancelled", reason="unspecified")
    assert_ended(execute(lambda: Discard("what a day")), "discard", reason="invalid_reason")
