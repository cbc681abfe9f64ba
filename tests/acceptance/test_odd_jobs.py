"""Rows 1 to 24 again, for jobs and worker classes that do odd things: RQ goes on as without us, and all is counted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from rq import Queue, Retry
from rq.command import send_command

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs, odd_jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import FORKING, WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)
every_forking_worker = pytest.mark.parametrize("kind", FORKING)


def _messages(stage: Stage) -> list[str]:
    return [entry.get("message", "") for entry in stage.log()]


def _attributes(stage: Stage) -> dict[str, dict[str, object]]:
    return {entry["job"]: json.loads(entry.get("attributes", "{}")) for entry in stage.log()}


# what they say


@pytest.mark.row(4)
@every_worker
def test_a_message_that_cannot_be_encoded_is_escaped(theatre: Theatre, kind: str) -> None:
    """An exception whose text UTF-8 does not have is a failure like any other, with an escape in its message."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 2, "ValueError", odd_jobs.HALF, retry=Retry(max=1))
        stage.run(kind)
        assert stage.status() == "finished"
        if stage.instrumented:
            assert _messages(stage) == ["x\\udcffy", ""]

    assert theatre.play(scene) == told(failure=1, completed=1, errors={"ValueError": 1})


@pytest.mark.row(6)
@every_worker
def test_a_client_with_another_encoding_is_served(theatre: Theatre, kind: str) -> None:
    """A message that the application's client cannot encode is recorded, and RQ is not hindered."""

    def scene(stage: Stage) -> None:
        stage.enqueue(odd_jobs.fail_in_euros, retry=Retry(max=1))
        stage.run(kind, url=f"{stage.server.tcp_url}?encoding=latin-1")
        assert stage.status() == "finished"
        if stage.instrumented:
            assert _messages(stage) == ["12 €", ""]

    assert theatre.play(scene) == told(failure=1, completed=1, errors={"ValueError": 1})


@pytest.mark.row(1)
@every_worker
def test_an_attribute_never_fails_a_job(theatre: Theatre, kind: str) -> None:
    """Whatever a job gives to ``set_attribute``, it is completed, and what is kept is bounded."""

    def scene(stage: Stage) -> None:
        ids = {stage.enqueue(odd_jobs.attribute, name).id: name for name in odd_jobs.ATTRIBUTES}
        stage.run(kind)
        assert {stage.status(job_id) for job_id in ids} == {"finished"}
        if stage.instrumented:
            kept = _attributes(stage)
            assert kept == {job_id: odd_jobs.ATTRIBUTES[name][2] for job_id, name in ids.items()}

    assert theatre.play(scene) == told(completed=len(odd_jobs.ATTRIBUTES))


@pytest.mark.row(2, 3)
@every_worker
def test_a_verdict_that_says_too_little_or_too_much_is_one(theatre: Theatre, kind: str) -> None:
    """A verdict of a class that does not say its reason, and one whose detail cannot be encoded, hold."""

    def scene(stage: Stage) -> None:
        for function in (
            odd_jobs.cancel_with_half_a_character,
            odd_jobs.cancel_without_a_reason,
            odd_jobs.discard_with_half_a_character,
            odd_jobs.discard_without_a_reason,
        ):
            stage.enqueue(function, retry=Retry(max=1))
        stage.run(kind)
        assert [stage.status(f"job-{number}") for number in (1, 2, 3, 4)] == ["canceled"] * 2 + ["failed"] * 2
        assert stage.connection.hget("rq:job:job-1", "jobtelemetry_cancel_detail") == b"x\\udcffy"
        assert _messages(stage) == ["x\\udcffy", "", "x\\udcffy", ""]

    assert theatre.play(scene, like_rq=False) == told(
        cancelled=2,
        discard=2,
        reasons={"movie_not_matched": 1, "unspecified": 1},
        errors={"bad_payload": 1, "unspecified": 1},
    )


@pytest.mark.row(4, 6)
@every_worker
def test_an_exception_that_raises_when_looked_at_is_counted_at_once(theatre: Theatre, kind: str) -> None:
    """An exception without a text, a name or contents has its own error type, with and without retries left."""

    def scene(stage: Stage) -> None:
        for error in odd_jobs.ERRORS:
            stage.enqueue(odd_jobs.fail, error)
            stage.enqueue(odd_jobs.fail, error, 2, retry=Retry(max=1))
        stage.run(kind)
        if stage.instrumented:
            assert stage.told().running == 0

    number = len(odd_jobs.ERRORS)
    assert theatre.play(scene) == told(
        discard=number, failure=number, completed=number, errors=dict.fromkeys(odd_jobs.ERRORS, 2)
    )


@pytest.mark.row(18)
@every_worker
def test_a_module_that_raises_when_asked_for_a_job_is_a_discard(theatre: Theatre, kind: str) -> None:
    """A job that its module refuses with an error of its own has failed of that, under its own name."""
    path = "support.imports_nothing.refresh"

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(path)
        stage.run(kind)
        if stage.instrumented:
            assert [entry["worker"] for entry in stage.log()] == [path]

    assert theatre.play(scene) == told(discard=1, errors={"ImportError": 1})


@pytest.mark.row(23)
def test_a_synchronous_queue_takes_odd_jobs_too(theatre: Theatre) -> None:
    """What a job on a synchronous queue raises or sets changes nothing for RQ, and is counted."""

    def scene(stage: Stage) -> None:
        queue = Queue("default", connection=stage.connection, is_async=False)
        for error in odd_jobs.ERRORS:
            assert queue.enqueue(odd_jobs.fail, error, job_id=stage.next_id()).get_status() == "failed"
        for name in odd_jobs.ATTRIBUTES:
            assert queue.enqueue(odd_jobs.attribute, name, job_id=stage.next_id()).get_status() == "finished"

    assert theatre.play(scene) == told(
        discard=len(odd_jobs.ERRORS), completed=len(odd_jobs.ATTRIBUTES), errors=dict.fromkeys(odd_jobs.ERRORS, 1)
    )


@pytest.mark.row(23)
def test_a_synchronous_verdict_may_be_odd(theatre: Theatre) -> None:
    """A ``Cancel`` on a synchronous queue holds, whatever its detail and without a reason."""

    def scene(stage: Stage) -> None:
        queue = Queue("default", connection=stage.connection, is_async=False)
        for function in (odd_jobs.cancel_with_half_a_character, odd_jobs.cancel_without_a_reason):
            assert queue.enqueue(function, job_id=stage.next_id()).get_status() == "canceled"

    assert theatre.play(scene, like_rq=False) == told(cancelled=2, reasons={"movie_not_matched": 1, "unspecified": 1})


# what they do


@pytest.mark.row(1)
@every_forking_worker
@pytest.mark.parametrize("attribute", [False, True], ids=["silent", "with an attribute"])
def test_nothing_is_written_into_a_jobs_own_files(theatre: Theatre, kind: str, attribute: bool) -> None:
    """A job that closes every descriptor and opens files under their numbers finds in them what it wrote."""

    def scene(stage: Stage) -> None:
        stage.enqueue(odd_jobs.take_all_descriptors, attribute)
        stage.run(kind)
        files = list((stage.folder / "files").iterdir())
        assert len(files) == 40
        assert [file.read_bytes() for file in files if file.stat().st_size] == []

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(15)
@every_forking_worker
def test_an_orphaned_horse_is_not_killed_by_what_it_says(theatre: Theatre, kind: str) -> None:
    """A job that asked to be killed by SIGPIPE outlives its worker, also if it sets an attribute then."""

    def scene(stage: Stage) -> None:
        stage.enqueue(odd_jobs.speak_into_a_broken_pipe)
        worker = stage.worker(kind)
        stage.meet()
        stage.bury(worker)
        stage.go()
        eventually(lambda: stage.status() == "finished", "the orphan's end", seconds=10)
        stage.let_heartbeats_expire("worker-1")
        stage.run(kind)

    assert theatre.play(scene) == told(completed=1)


@pytest.mark.row(11, 12)
@every_forking_worker
@pytest.mark.parametrize("how", ["SIGKILL", "1", "0"])
def test_a_job_that_deletes_itself_and_dies_is_not_completed(theatre: Theatre, kind: str, how: str) -> None:
    """A job that RQ has forgotten when its process dies is counted by how that died."""

    def scene(stage: Stage) -> None:
        stage.enqueue(odd_jobs.forget_itself_and_die, how)
        stage.run(kind)
        assert stage.status() == "gone"

    error = "WorkHorseKilled" if how == "SIGKILL" else "WorkHorseExited"
    assert theatre.play(scene) == told(discard=1, errors={error: 1})


@pytest.mark.row(13)
@every_forking_worker
def test_a_job_that_is_deleted_and_stopped_is_stopped(theatre: Theatre, kind: str) -> None:
    """A job that an operator first deletes and then stops is counted as stopped."""

    def scene(stage: Stage) -> None:
        job = stage.enqueue(jobs.meet)
        stage.worker(kind)
        stage.meet()
        job.delete()
        send_command(stage.connection, "worker-1", "stop-job", job_id=job.id)
        stage.settle()
        assert stage.status() == "gone"

    assert theatre.play(scene) == told(stopped=1)


@pytest.mark.row(1, 6)
@every_worker
@pytest.mark.parametrize("then", ["return", "fail"])
def test_a_lost_running_table_loses_no_ending(theatre: Theatre, kind: str, then: str) -> None:
    """An execution whose entry somebody deletes while it runs is counted once; that the table was gone is said."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, then=then)
        stage.worker(kind)
        stage.meet()
        stage.connection.delete(Keys().running)
        stage.go()
        stage.settle()

    expected = told(completed=1) if then == "return" else told(discard=1, errors={"ValueError": 1})
    assert theatre.play(scene) == replace(expected, lost="the running table was gone")


@pytest.mark.row(14)
@every_worker
def test_one_entry_that_nobody_can_read_hides_no_other(theatre: Theatre, kind: str) -> None:
    """A label that is not UTF-8 and an entry that is not ours keep nobody from being read and reconciled."""
    with theatre.stage().open() as stage:
        for name in ("first", "second"):
            stage.enqueue(jobs.meet, name)
            worker = stage.worker(kind)
            horse = stage.meet(name)
            worker.kill()
            stage.kill(horse)
            worker.wait()
        stage.connection.hset("rq:job:job-1", "jobtelemetry_worker", b"m\xf3dulo.f")
        stage.connection.hset(Keys().running, "not ours", "{}")
        stage.let_heartbeats_expire("worker-1", "worker-2")
        assert {execution.job_id for execution in stage.snapshot().running} == {"job-1", "job-2"}
        assert len(reconcile(stage.connection, Keys(), Limits())) == 2
        assert stage.told() == told(discard=2, errors={"AbandonedJobError": 2}, reconciled=2)
        assert stage.connection.hkeys(Keys().running) == [b"not ours"]


# what they are called


@pytest.mark.row(24)
@every_worker
def test_the_delay_of_an_earlier_job_is_not_waiting(theatre: Theatre, kind: str) -> None:
    """A job that was once scheduled under its id and is now enqueued at once has waited since then."""

    def scene(stage: Stage) -> None:
        yesterday = datetime.now(timezone.utc) - timedelta(days=1)
        stage.queue().enqueue_at(yesterday, jobs.fail, job_id="nightly")
        stage.worker(kind, with_scheduler=True)
        eventually(lambda: stage.status("nightly") == "failed", "the scheduled job")
        stage.settle()
        stage.queue().enqueue(jobs.complete, job_id="nightly")
        eventually(lambda: stage.calls == 2, "the other")
        stage.settle()
        if stage.instrumented:
            assert all(histogram.sum < 60 for histogram in stage.snapshot().waits.values())
            assert [entry["attempt"] for entry in stage.log()] == ["1", "1"]

    assert theatre.play(scene) == told(discard=1, completed=1, errors={"ValueError": 1})


@pytest.mark.row(5)
@every_worker
def test_a_new_job_under_an_old_id_starts_at_the_first_attempt(theatre: Theatre, kind: str) -> None:
    """A job made anew under the id of one that was discarded begins again; RQ's own retries go on."""

    def scene(stage: Stage) -> None:
        stage.worker(kind)
        for round_ in (1, 2, 3):
            stage.queue().enqueue(jobs.fail, job_id="nightly", retry=Retry(max=1))
            eventually(lambda round_=round_: stage.calls == 2 * round_, "both attempts")
            stage.settle()
        if stage.instrumented:
            attempts = [(entry["state"], entry["attempt"]) for entry in stage.log()]
            assert attempts == [("failure", "1"), ("discard", "2")] * 3

    assert theatre.play(scene) == told(failure=3, discard=3, errors={"ValueError": 6})


# who runs them


@pytest.mark.row(1)
def test_a_path_without_end_leaves_room_for_the_horse(theatre: Theatre) -> None:
    """A ``SpawnWorker`` whose ``sys.path`` has a thousand entries works, and its jobs are counted."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.run("CrowdedSpawnWorker")
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "failed")

    assert theatre.play(scene).states == {"completed": 1, "discard": 1}


def _enqueue_all_kinds(stage: Stage) -> None:
    stage.enqueue(jobs.complete)
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
    stage.enqueue(jobs.come_again, 1, 1)
    stage.enqueue(jobs.cancel)
    stage.enqueue(jobs.discard, retry=Retry(max=1))
    stage.enqueue(jobs.die, "SIGKILL")
    stage.enqueue(jobs.die, "exit")


@pytest.mark.row(1, 2, 3, 4, 8, 11, 12)
@pytest.mark.parametrize("kind", ["ByNameWorker", "OnItsOwnWorker"])
def test_a_worker_class_may_call_rqs_methods_in_its_own_way(theatre: Theatre, kind: str) -> None:
    """A subclass that calls RQ's methods by the class's name, or has an ``execute_job`` of its own, is served."""

    def scene(stage: Stage) -> None:
        _enqueue_all_kinds(stage)
        stage.run(kind)

    assert theatre.play(scene, like_rq=False) == told(
        completed=3,
        failure=1,
        snoozed=1,
        cancelled=1,
        discard=3,
        reasons={"movie_not_matched": 1},
        errors={"ValueError": 1, "bad_payload": 1, "WorkHorseKilled": 1, "WorkHorseExited": 1},
    )


@pytest.mark.row(1, 2, 4)
def test_two_jobs_at_once_in_one_worker_are_counted_once_each(theatre: Theatre) -> None:
    """A worker class that executes jobs in threads has each of them counted, and its audit in balance."""

    def scene(stage: Stage) -> None:
        stage.worker("ThreadedWorker")
        for number in (1, 3, 5):
            for name, then in ((f"{number}", "return"), (f"{number + 1}", "cancel" if number == 1 else "fail")):
                stage.enqueue(jobs.meet, name, then)
                stage.meet(name)
            stage.go(f"{number + 1}")
            eventually(lambda number=number: stage.status(f"job-{number + 1}") != "started", "its end")
            stage.go(f"{number}")
            eventually(lambda number=number: stage.status(f"job-{number}") == "finished", "its end")
        eventually(lambda: not stage.told().misaudited, "the audit")

    assert theatre.play(scene, like_rq=False) == told(
        completed=3, cancelled=1, discard=2, reasons={"movie_not_matched": 1}, errors={"ValueError": 2}
    )


def _over_a_moment(stage: Stage, path: str, name: str) -> tuple[float, float]:
    """Let a job run for a moment and end as its name says; how long it waited at most, and ran at least."""
    began = time.time()
    stage.enqueue(path, name, name)
    stage.meet(name)
    met = time.time()
    eventually(lambda: time.time() > met + 0.2, "a moment")
    ran = time.time() - met
    stage.go(name)
    stage.settle()
    return met - began, ran


@pytest.mark.row(1, 2, 6)
@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_a_job_that_instruments_its_worker_is_timed_right(theatre: Theatre, kind: str) -> None:
    """On a plain worker, the job whose import instruments it has run since RQ started it, and waited until then."""
    with theatre.stage(instrumented=False).open() as stage:
        stage.worker(kind)
        eventually(lambda: stage.is_idle("worker-1"), "the worker")
        waited = ran = 0.0
        for then in ("return", "fail"):
            at_most, at_least = _over_a_moment(stage, "support.instruments_itself.meet", then)
            waited, ran = waited + at_most, ran + at_least
        found = stage.told()
        assert (found.states, found.errors) == ({"completed": 1, "discard": 1}, {"ValueError": 1})
        assert not found.misaudited
        assert sum(histogram.sum for histogram in stage.snapshot().durations.values()) >= ran
        assert sum(histogram.sum for histogram in stage.snapshot().waits.values()) <= waited
