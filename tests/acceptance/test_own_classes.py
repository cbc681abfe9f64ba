"""Rows 33 to 36 and 39 to 41: worker, queue and job classes that go their own way, and an RQ that lacks something."""

from __future__ import annotations

import re
import signal

import pytest
from rq import VERSION, Callback, Retry

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from jobtelemetry.store.snapshot import Snapshot
from support import jobs, own_ways
from support.jobs import BOOKS
from support.nursery import Child
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import FORKING, WORKERS
from tracing.collector import Collector

RQ_3 = int(VERSION.partition(".")[0]) >= 3
every_worker = pytest.mark.parametrize("kind", WORKERS)
#: RQ 2 hands a spawned work-horse no exception handlers.
WITH_HANDLERS = [kind for kind in WORKERS if RQ_3 or kind != "SpawnWorker"]
with_and_without_horse = pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])


def _executions(snapshot: Snapshot) -> int:
    return sum(counter.value for counter in snapshot.executions.values())


# 33 to 35: worker and job classes


def _enqueue_each(stage: Stage) -> None:
    for function in (jobs.complete, jobs.complete, jobs.fail, jobs.cancel):
        stage.enqueue(function)
    stage.enqueue(jobs.discard, retry=Retry(max=1))


EACH = told(
    completed=2,
    cancelled=1,
    discard=2,
    reasons={"movie_not_matched": 1},
    errors={"ValueError": 1, "bad_payload": 1},
)


@pytest.mark.row(33)
@pytest.mark.parametrize("kind", ["InPlace"] if RQ_3 else ["PerformsOnly", "PerformsOnlySimply", "InPlace"])
def test_a_class_that_performs_and_nothing_else_is_counted_right(theatre: Theatre, kind: str) -> None:
    """A worker class that calls ``perform_job`` in its own process has every ending counted under its own name."""

    def scene(stage: Stage) -> None:
        _enqueue_each(stage)
        stage.worker(kind)
        eventually(lambda: stage.calls == 5, "all jobs")
        eventually(lambda: stage.connection.llen("rq:queue:default") == 0, "an empty queue")
        eventually(lambda: stage.status("job-5") == "failed", "the last one's end")
        if stage.instrumented:
            eventually(lambda: stage.told().executions == 5, "the last one's count")
            eventually(lambda: not stage.told().misaudited, "RQ's count, which up to 2.12 comes later")

    assert theatre.play(scene, like_rq=False) == EACH


@pytest.mark.row(33)
@pytest.mark.rq(">=3")  # RQ 2 allows it
def test_rq_3_does_not_have_such_a_class(theatre: Theatre) -> None:
    """On RQ 3, whose ``perform_job`` takes an execution, it fails at its first job, and nothing of it is counted."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.worker("PerformsOnlySimply", burst=True).wait()
        assert stage.told().executions == 0


OWN_FAILURES = [
    f"{kind}{how}" for how in ("", "Simply") for kind in ("CleansAndCounts", "CleansOnly", "CountsOnly", "SaysOnly")
]


@pytest.mark.row(34)
@pytest.mark.parametrize(
    "kind", [*OWN_FAILURES, *(f"Fails{what}{how}" for how in ("", "Simply") for what in ("ByItself", "Uncounted"))]
)
def test_a_class_that_handles_failures_itself_is_counted_as_far_as_it_says(theatre: Theatre, kind: str) -> None:
    """A worker class with a ``handle_job_failure`` of its own has its failures under their own names."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail, jobs.fail):
            stage.enqueue(function)
        stage.run(kind)
        assert stage.status("job-2") == "failed"
        if stage.instrumented:
            (worker,) = stage.snapshot().rq_workers
            assert worker.succeeded == worker.succeeded_by_rq == 1
            # What it counts outside of the transaction of an ending is credited to nobody, and so shows.
            assert worker.failed == (0 if counts_alone else worker.failed_by_rq)
            assert worker.failed_by_rq == (2 if "Counts" in kind or "ByItself" in kind else 0)
        stage.enqueue(jobs.complete)
        stage.settle()
        stage.let_heartbeats_expire()
        if stage.instrumented:
            reconcile(stage.connection, Keys(), Limits())

    counts_alone = kind.startswith("CountsOnly")
    found = theatre.play(scene)
    assert (found.states, found.errors) == ({"completed": 2, "discard": 2}, {"ValueError": 2})
    assert found.unrecorded == (2 if counts_alone else 0)
    assert not found.unbalanced
    assert not found.reconciled


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", OWN_FAILURES)
def test_a_retry_of_ones_own_is_a_failure_and_nothing_abandoned(theatre: Theatre, kind: str) -> None:
    """A job that a worker class puts back on its queue itself was not given up, and was not abandoned."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.fail_with_meta, 2)
        stage.run(kind)
        assert stage.status() == "finished"
        if stage.instrumented:
            stage.let_heartbeats_expire()
            reconcile(stage.connection, Keys(), Limits())

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"completed": 1, "failure": 1}, {"ValueError": 1})
    assert found.unrecorded == (1 if kind.startswith("CountsOnly") else 0)
    assert not found.unbalanced


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["RepeatsByItself", "RepeatsByItselfSimply"])
def test_a_success_that_a_class_puts_back_is_snoozed(theatre: Theatre, kind: str) -> None:
    """A job that returned and runs again by the hand of its worker class has not failed, and was not abandoned."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete)
        stage.run(kind)
        eventually(lambda: stage.calls == 2 and stage.status() == "finished", "the second time")
        stage.settle()
        if stage.instrumented:
            stage.let_heartbeats_expire()
            reconcile(stage.connection, Keys(), Limits())

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"snoozed": 1, "completed": 1}, {})
    assert not found.unrecorded
    assert not found.reconciled


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["FailsAndDeletes", "FailsAndDeletesSimply"])
def test_a_failure_that_a_class_deletes_is_counted_by_its_name(theatre: Theatre, kind: str) -> None:
    """What is counted for RQ outside of a transaction shows as unrecorded."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail):
            stage.enqueue(function)
        stage.run(kind)

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"completed": 1, "discard": 1}, {"ValueError": 1})
    assert found.unrecorded == 1
    assert not found.unbalanced


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["FailsAtFailing", "FailsAtFailingSimply"])
def test_an_error_in_a_class_own_failing_is_not_the_jobs(theatre: Theatre, kind: str) -> None:
    """The job failed of what it raised."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail)
        stage.enqueue(jobs.cancel)
        stage.run(kind)

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"cancelled": 1, "discard": 1}, {"ValueError": 1})
    assert not found.unrecorded


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["SaysOnly", "SaysOnlySimply", "CleansOnly", "CleansOnlySimply"])
def test_a_cancel_that_a_class_fails_is_a_failure_of_that_name(theatre: Theatre, kind: str) -> None:
    """A class that fails whatever is raised has failed a ``Cancel`` too, as RQ's status says, and it has its name."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.cancel)
        stage.enqueue(jobs.discard)
        stage.run(kind)
        assert stage.status() == "failed"

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"discard": 2}, {"Cancel": 1, "bad_payload": 1})
    assert not found.unrecorded


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["FinishesByItself", "FinishesByItselfSimply"])
def test_a_class_that_only_gives_a_status_is_counted_right(theatre: Theatre, kind: str) -> None:
    """Every ending has the job's own name, and RQ, which counts nothing, is credited with nothing."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail, jobs.complete):
            stage.enqueue(function)
        stage.worker(kind)
        stage.settle_late()
        if stage.instrumented:
            stage.let_heartbeats_expire()
            reconcile(stage.connection, Keys(), Limits())

    found = theatre.play(scene, like_rq=False)
    assert (found.states, found.errors) == ({"completed": 2, "discard": 1}, {"ValueError": 1})
    assert not found.unrecorded
    assert not found.reconciled


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", FORKING)
@pytest.mark.parametrize("program", ["true", "false"])
def test_a_horse_that_becomes_another_program_has_exited(theatre: Theatre, kind: str, program: str) -> None:
    """Nothing of it can report: it is counted once, as a work-horse that ended without RQ noticing."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.become, program)
        stage.enqueue(jobs.complete)
        stage.run(kind)

    assert theatre.play(scene, like_rq=False) == told(completed=1, discard=1, errors={"WorkHorseExited": 1})


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["DeletesJobs", "DeletesJobsSimply"])
def test_a_class_that_deletes_its_jobs_has_them_counted(theatre: Theatre, kind: str) -> None:
    """A ``perform_job`` of its own that deletes every job: what they did is counted, and not what is left of them."""

    def scene(stage: Stage) -> None:
        _enqueue_each(stage)
        stage.worker(kind)
        stage.settle_late()

    found = theatre.play(scene)
    assert found.states == {"completed": 2, "cancelled": 1, "discard": 2}
    assert found.reasons == {"movie_not_matched": 1}
    assert found.errors == {"ValueError": 1, "bad_payload": 1}
    assert not found.unrecorded
    assert not found.unbalanced


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["DeletesRashly", "DeletesRashlySimply"])
def test_a_class_that_deletes_its_jobs_rashly_has_them_counted(theatre: Theatre, kind: str) -> None:
    """So are they where it calls nothing of RQ's but ``Job.perform``, and RQ's intermediate queue keeps them."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.worker(kind)
        eventually(lambda: stage.calls == 2 and stage.is_idle("worker-1"), "two jobs")
        assert stage.status("job-1") == stage.status("job-2") == "gone"
        if stage.instrumented:
            eventually(lambda: stage.told().executions == 2, "the count of the second")

    assert theatre.play(scene, like_rq=False) == told(completed=1, discard=1, errors={"ValueError": 1})


@pytest.mark.row(35)
@every_worker
@pytest.mark.parametrize("then", ["return", "fail", "cancel", "discard"])
def test_a_job_that_deletes_itself_is_counted_by_what_it_did(theatre: Theatre, kind: str, then: str) -> None:
    """A job that RQ has forgotten when it returns or raises is counted as what it said."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.deletes_itself, then)
        stage.run(kind)

    expected = {
        "return": told(completed=1),
        "fail": told(discard=1, errors={"ValueError": 1}),
        "cancel": told(cancelled=1, reasons={"movie_not_matched": 1}),
        "discard": told(discard=1, errors={"bad_payload": 1}),
    }
    assert theatre.play(scene, like_rq=False) == expected[then]


@pytest.mark.row(35)
@with_and_without_horse
@pytest.mark.parametrize("job_class", ["CallingJob", "WrappingJob", "DirectJob"])
def test_a_job_class_with_a_perform_of_its_own_may_cancel(theatre: Theatre, kind: str, job_class: str) -> None:
    """A raised ``Cancel`` or ``Discard`` holds whatever ``Job.perform`` does; a returned one does or it is said."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.cancel, retry=Retry(max=1))
        stage.enqueue(jobs.discard, retry=Retry(max=2))
        stage.enqueue(jobs.fail)
        for _ in range(2):
            stage.enqueue(jobs.cancel, "movie_not_matched", True)
        output = stage.run(kind, job_class=f"support.own_ways.{job_class}").output
        honoured = job_class != "DirectJob"
        assert stage.told() == told(
            completed=1 if honoured else 3,
            cancelled=3 if honoured else 1,
            discard=2,
            reasons={"movie_not_matched": 3 if honoured else 1},
            errors={"bad_payload": 1, "ValueError": 1},
        )
        assert output.count("past jobtelemetry") == (0 if honoured else 1)


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["PerformsByItself", "PerformsByItselfSimply"])
def test_a_class_that_calls_the_function_itself_has_jobs_that_may_cancel(theatre: Theatre, kind: str) -> None:
    """A raised ``Cancel`` or ``Discard`` holds where nothing but RQ's ``handle_job_failure`` hears of it."""
    with theatre.stage().open() as stage:
        _enqueue_each(stage)
        stage.run(kind)
        assert stage.told() == EACH
        assert stage.status("job-4") == "canceled"


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["HasQuietJobs", "HasQuietJobsSimply", "HasCallingJobs"])
def test_a_job_class_that_hides_its_job_may_cancel(theatre: Theatre, kind: str) -> None:
    """So it is where the worker class brings the job class, and RQ knows no current job; raised and returned."""
    with theatre.stage().open() as stage:
        stage.enqueue(own_ways.quietly_complete)
        stage.enqueue(own_ways.quietly_cancel)
        stage.enqueue(own_ways.quietly_return_cancel)
        stage.enqueue(own_ways.quietly_discard)
        stage.run(kind)
        assert stage.told() == told(
            completed=1,
            cancelled=2,
            discard=1,
            reasons={"movie_not_matched": 2},
            errors={"bad_payload": 1},
        )
        assert stage.status("job-2") == stage.status("job-3") == "canceled"


# 36: prefixes


@pytest.mark.row(36)
@pytest.mark.parametrize("kind", ["TheatreWorker", "TheatreSimpleWorker"])
def test_a_class_with_a_prefix_of_its_own_is_counted_and_audited(theatre: Theatre, kind: str) -> None:
    """RQ workers and queues whose keys begin otherwise are seen, instrumented or not."""
    with theatre.stage().open() as stage:
        queue = own_ways.TheatreQueue("default", connection=stage.connection)
        for name, instrumented in (("worker-1", True), ("worker-2", False)):
            for function in (jobs.complete, jobs.fail):
                queue.enqueue(function)
            child = stage.worker(kind, name=name, instrumented=instrumented)
            key = f"theatre:worker:{name}"
            eventually(lambda: not len(queue), "an empty queue")
            eventually(lambda key=key: stage.connection.hget(key, "failed_job_count") == b"1", "its jobs")
            eventually(lambda key=key: stage.connection.hget(key, "state") == b"idle", "it")
            if instrumented:
                snapshot = stage.snapshot()
                assert (_executions(snapshot), snapshot.unrecorded, snapshot.uninstrumented) == (2, 0, 0)
                (worker,) = snapshot.rq_workers
                assert (worker.succeeded, worker.failed) == (1, 1)
                stage.bury(child)
        snapshot = stage.snapshot()
        assert _executions(snapshot) == 2
        assert {worker.name.rpartition(":")[2] for worker in snapshot.rq_workers} >= {"worker-2"}
        assert (snapshot.unrecorded, snapshot.uninstrumented) == (2, 1)


@pytest.mark.row(36)
@pytest.mark.parametrize("kind", ["TheatreWorker", "TheatreSimpleWorker"])
def test_a_bare_class_with_a_prefix_of_its_own_is_the_first_to_be_seen(theatre: Theatre, kind: str) -> None:
    """So it is where nothing was ever counted."""
    with theatre.stage().open() as stage:
        queue = own_ways.TheatreQueue("default", connection=stage.connection)
        for function in (jobs.complete, jobs.fail, jobs.complete):
            queue.enqueue(function)
        stage.worker(kind, instrumented=False)
        key = "theatre:worker:worker-1"
        eventually(lambda: stage.calls == 3, "three jobs")
        eventually(lambda: stage.connection.hget(key, "state") == b"idle", "an idle worker")
        snapshot = stage.snapshot()
        (worker,) = snapshot.rq_workers
        assert worker.name.endswith(key)
        assert (worker.succeeded_by_rq, worker.failed_by_rq, worker.instrumented) == (2, 1, False)
        assert (snapshot.uninstrumented, snapshot.unrecorded) == (1, 3)
        (shown,) = snapshot.queues
        assert (shown.name, shown.jobs["queued"], shown.jobs["finished"], shown.jobs["failed"]) == ("default", 0, 2, 1)


# 39: spans are in the tracing tests' own file for classes of RQ's; here for those that are not


@pytest.mark.row(39)
@pytest.mark.parametrize(
    "kind", ["InPlace", "ByMultiprocessing", "ByMultiprocessingInGroup", "OwnFork", "OnItsOwnWorker", "ByNameWorker"]
)
def test_a_class_that_starts_its_horses_itself_has_one_span_each(theatre: Theatre, kind: str) -> None:
    """However a worker class runs a job, each execution has one CONSUMER span, and one count."""
    collector = Collector()
    try:
        with theatre.stage().open() as stage:
            stage.environ = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_BSP_SCHEDULE_DELAY": "20",
                "JOBTELEMETRY_FLUSH_TIMEOUT": "30",
            }
            _enqueue_each(stage)
            has_horse = kind not in ("InPlace", "OnItsOwnWorker")  # the second ends no span of a killed one
            if has_horse:
                stage.enqueue(jobs.die, "SIGKILL")
            worker = _traced(stage, kind)
            stage.settle()
            number = 6 if has_horse else 5
            found = stage.told()
            assert found.executions == number
            assert (found.states["completed"], found.states["cancelled"]) == (2, 1)
            worker.kill(signal.SIGTERM)
            worker.wait()
            spans = collector.wait_for(number)
            assert sorted(span.job for span in spans) == [f"job-{one}" for one in range(1, number + 1)]
    finally:
        collector.close()


def _traced(stage: Stage, kind: str) -> Child:
    child = stage.nursery.start(
        "tracing.traced_worker:work",
        url=stage.server.tcp_url,
        queues=["default"],
        kind=kind,
        name="worker-1",
        instrumented=True,
        environ={BOOKS: str(stage.folder), **stage.environ},
    )
    stage._workers["worker-1"] = child
    return child


# 40: jobs that come back


@pytest.mark.row(40)
@pytest.mark.parametrize(
    ("how", "kind"), [*(("handler", kind) for kind in WITH_HANDLERS), *(("callback", kind) for kind in WORKERS)]
)
def test_a_job_that_is_put_back_was_not_given_up(theatre: Theatre, kind: str, how: str) -> None:
    """A job that an exception handler or a failure callback enqueues again has failed, and is no discard."""

    def scene(stage: Stage) -> None:
        callback = {"on_failure": Callback(own_ways.put_back_on_failure)} if how == "callback" else {}
        handler = {"exception_handler": "put_back"} if how == "handler" else {}
        stage.enqueue(jobs.fail_until, 3, **callback)
        stage.worker(kind, **handler)
        eventually(lambda: stage.calls == 3, "three executions")
        eventually(lambda: stage.status() == "finished", "its completion")
        stage.settle()

    assert theatre.play(scene) == told(completed=1, failure=2, errors={"ValueError": 2})


@pytest.mark.row(40)
@pytest.mark.parametrize("kind", WITH_HANDLERS)
def test_a_job_that_is_put_back_in_vain_is_a_discard_at_last(theatre: Theatre, kind: str) -> None:
    """The attempt after which nobody puts it back is the one that is discarded."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail)
        stage.worker(kind, exception_handler="put_back")
        eventually(lambda: stage.calls == 3, "three executions")
        stage.settle()

    assert theatre.play(scene) == told(failure=2, discard=1, errors={"ValueError": 3})


# 41: an RQ that lacks something


@pytest.mark.row(41)
@with_and_without_horse
def test_without_a_hook_nothing_is_counted_and_it_is_said(theatre: Theatre, kind: str) -> None:
    """On an RQ that calls a method by another name, jobs run as without us, and the blind spot says which."""
    with theatre.stage().open() as stage:
        for function in (jobs.complete, jobs.fail):
            stage.enqueue(function)
        child = stage.nursery.start(
            "support.own_ways:work_without_monitor",
            url=stage.server.tcp_url,
            queues=["default"],
            kind=kind,
            name="worker-1",
            instrumented=True,
            environ={BOOKS: str(stage.folder)},
        )
        stage._workers["worker-1"] = child
        stage.settle()
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "failed")
        assert "Worker.monitor_work_horse is not there" in child.output
        assert child.output.count("counts nothing in this process") == 1
        snapshot = stage.snapshot()
        assert (_executions(snapshot), snapshot.unrecorded, snapshot.uninstrumented) == (0, 2, 1)
        (worker,) = snapshot.rq_workers
        assert worker.missing


@pytest.mark.row(41)
@every_worker
@pytest.mark.parametrize("hook", ["BaseWorker.handle_job_failure", "BaseWorker.cleanup_execution", "Job._execute"])
def test_a_counting_hook_is_missing(theatre: Theatre, kind: str, hook: str) -> None:
    """The worker says it, runs its jobs as without jobtelemetry, and shows as uninstrumented with what it ran."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        child = stage.run(kind, missing_hook=hook)
        snapshot = stage.snapshot()
        assert (snapshot.uninstrumented, snapshot.unrecorded, _executions(snapshot)) == (1, 2, 0)
        assert re.search(rf"counts nothing in this process: .*{re.escape(hook)}", child.output)
        # Said once in each process that instruments itself, and not again for its RQ worker.
        horses = 2 if kind == "SpawnWorker" else 0
        assert len(re.findall(rf"{re.escape(hook)}_renamed", child.output)) <= 1 + horses
        assert (stage.status("job-1"), stage.status("job-2")) == ("finished", "failed")


@pytest.mark.row(41)
@every_worker
def test_a_hook_of_labels_is_missing(theatre: Theatre, kind: str) -> None:
    """One warning says what is off, and everything is counted."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        child = stage.run(kind, missing_hook="Job.func")
        assert "Job.func" in child.output
        assert stage.told() == told(completed=1)
