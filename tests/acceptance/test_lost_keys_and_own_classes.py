"""Rows 29 to 41: where a count cannot be right, somebody says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from rq import Callback
from rq.version import VERSION

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from jobtelemetry.store.snapshot import Snapshot
from support import jobs, own_workers
from support.stage import Stage, Theatre
from support.told import listen, told
from support.waiting import eventually
from support.workers import FORKING, WORKERS
from tracing.collector import Collector
from tracing.conftest import Traced

RQ_3 = int(VERSION.partition(".")[0]) >= 3
KEYS = Keys()
every_worker = pytest.mark.parametrize("kind", WORKERS)
every_forking_worker = pytest.mark.parametrize("kind", FORKING)
forking_and_not = pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])


def counted(snapshot: Snapshot) -> int:
    """Executions that are served."""
    return sum(counter.value for counter in snapshot.executions.values())


def announced(snapshot: Snapshot) -> bool:
    """Whether anything says that numbers may be missing."""
    return not snapshot.proven


def right_or_announced(stage: Stage, warm: Reader, truth: int) -> None:
    """For who reads for the first time and for who has read before."""
    seen = warm.read()
    cold = stage.snapshot()
    for name, snapshot in (("warm", seen), ("cold", cold)):
        assert counted(snapshot) <= truth, (name, snapshot.executions)
        assert counted(snapshot) == truth or announced(snapshot), (name, counted(snapshot), truth)


# 29


@pytest.mark.row(29)
@every_forking_worker
@pytest.mark.parametrize("closing", [False, True], ids=["", "closing descriptors"])
def test_a_job_that_daemonises_is_one_execution(theatre: Theatre, kind: str, closing: bool) -> None:
    """The horse leaves with exit code 0 and its grandchild ends the job: one execution, completed."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_workers.daemonise, closing)
        stage.run(kind)
        eventually(lambda: stage.status() == "finished", "the end in the grandchild")
        stage.enqueue(jobs.complete)
        stage.settle()
        if stage.instrumented:
            reconcile(stage.connection, KEYS, Limits())

    assert theatre.play(scene, like_rq=False) == told(completed=2)


@pytest.mark.row(29)
@every_forking_worker
def test_a_job_that_daemonises_and_fails_is_one_execution(theatre: Theatre, kind: str) -> None:
    """So it is when the grandchild fails it."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_workers.daemonise_and_fail)
        stage.run(kind)
        eventually(lambda: stage.status() == "failed", "the end in the grandchild")
        if stage.instrumented:
            reconcile(stage.connection, KEYS, Limits())

    assert theatre.play(scene, like_rq=False) == told(discard=1, errors={"ValueError": 1})


# 30


def ours(connection: Redis) -> dict[str, list[str]]:
    """Our keys, by what they are."""
    found: dict[str, list[str]] = {}
    for key in sorted(connection.scan_iter("rq:telemetry:*")):
        name = key.decode()
        found.setdefault(name.split(":")[2], []).append(name)
    found["everything"] = [name for names in found.values() for name in names]
    return found


def _some(stage: Stage) -> int:
    stage.enqueue(jobs.complete)
    stage.enqueue(jobs.fail)
    stage.enqueue(jobs.cancel)
    return 3


@pytest.mark.row(30)
@every_worker
@pytest.mark.parametrize("how", ["deleted", "another type"])
@pytest.mark.parametrize(
    "name", ["meta", "accounts", "sets", "set", "traces", "running", "closed", "log", "everything"]
)
def test_a_key_is_lost_while_a_worker_runs(theatre: Theatre, kind: str, how: str, name: str) -> None:
    """Whatever of ours is evicted or replaced, numbers are right or somebody says so, at once and after more jobs."""
    with theatre.stage().open() as stage:
        truth = _some(stage)
        stage.run(kind)
        warm = Reader(stage.connection, KEYS)
        assert warm.read().proven
        for key in ours(stage.connection).get(name, [f"rq:telemetry:{name}"]):
            stage.connection.delete(key)
            if how == "another type":
                stage.connection.set(key, "not ours")
        truth += _some(stage)
        stage.settle()
        assert stage.calls == truth
        right_or_announced(stage, warm, truth)
        if how == "another type":
            for key in stage.connection.scan_iter("rq:telemetry:*", _type="string"):
                stage.connection.delete(key)
        truth += _some(stage)
        stage.settle()
        right_or_announced(stage, warm, truth)
        warm.tend()
        right_or_announced(stage, warm, truth)
        before = counted(stage.snapshot())
        _some(stage)
        stage.settle()
        assert counted(stage.snapshot()) == before + 3


# 31


@pytest.mark.row(31)
@every_worker
@pytest.mark.parametrize("then", ["return", "fail"])
@pytest.mark.parametrize("what", ["entry and execution", "everything"])
def test_an_execution_vanishes_under_its_job(theatre: Theatre, kind: str, then: str, what: str) -> None:
    """Without its entry and RQ's execution, or without anything at all, it is counted once or shown to be missing."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        worker = stage.run(kind)
        stage.enqueue(jobs.meet, then=then)
        stage.meet()
        warm = Reader(stage.connection, KEYS)
        warm.read()
        if what == "everything":
            stage.connection.flushall()
        else:
            stage.connection.delete(KEYS.running, *stage.connection.scan_iter("rq:execution:*"))
        stage.go()
        eventually(lambda: not worker.alive or stage.connection.hget("rq:worker:worker-1", "state") == b"idle", "idle")
        right_or_announced(stage, warm, 2)
        if what != "everything":
            assert counted(stage.snapshot()) + stage.snapshot().unrecorded == 2


# 32


@contextmanager
def remembered(connection: Redis) -> Iterator[None]:
    """In the end everything is as it was at the beginning, as after a restore of an older dump."""
    dumps = {key: (connection.dump(key), max(0, connection.pttl(key))) for key in connection.scan_iter("*")}
    yield
    connection.flushall()
    for key, (dump, ttl) in dumps.items():
        connection.restore(key, ttl, dump)


@pytest.mark.row(32)
@every_worker
@pytest.mark.parametrize("lost", [1, 3])
def test_an_older_state_is_restored(theatre: Theatre, kind: str, lost: int) -> None:
    """A reader that saw more says so, and so does the next execution of a live worker; ``_created`` moves."""
    with theatre.stage().open() as stage:
        _some(stage)
        stage.run(kind)
        warm = Reader(stage.connection, KEYS)
        with remembered(stage.connection):
            for _ in range(lost):
                stage.enqueue(jobs.complete)
            stage.settle()
            before = warm.read()
            assert before.proven
            assert counted(before) == 3 + lost
        seen = warm.read()
        assert announced(seen)
        assert seen.counts_lost == lost
        assert seen.created > before.created
        stage.enqueue(jobs.complete)
        stage.settle()
        cold = stage.snapshot()
        assert cold.counts_lost_at is not None
        assert cold.counts_lost == lost
        assert cold.created > before.created
        assert cold.generation_started > before.generation_started
        assert counted(cold) == 4
        warm.tend()
        assert (counted(warm.read()), warm.read().counts_lost) == (4, lost)


# 33


@pytest.mark.row(33)
@pytest.mark.skipif(RQ_3, reason="RQ 3's perform_job takes the execution that execute_job has made")
@pytest.mark.parametrize("kind", ["OnlyPerforms", "OnlyPerformsForking"])
def test_a_class_that_only_performs_is_counted(theatre: Theatre, kind: str) -> None:
    """A worker class whose ``execute_job`` calls nothing but ``perform_job``."""
    with theatre.stage().open() as stage:
        for function in (jobs.complete, jobs.complete, jobs.fail, jobs.cancel):
            stage.enqueue(function)
        stage.run(kind)
        stage.enqueue(jobs.fail, "ShowtimeNotFound")
        expected = told(
            completed=2,
            cancelled=1,
            discard=2,
            errors={"ValueError": 1, "ShowtimeNotFound": 1},
            reasons={"movie_not_matched": 1},
        )
        eventually(lambda: stage.told() == expected, "five executions; such a worker never says that it is busy")


@pytest.mark.row(33)
@pytest.mark.skipif(not RQ_3, reason="RQ 2 allows it")
def test_rq_3_does_not_have_such_a_class(theatre: Theatre) -> None:
    """On RQ 3 it fails at its first job, and nothing of it is counted."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.worker("OnlyPerforms", burst=True).wait()
        assert stage.told().executions == 0


# 34


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["FailsByItself", "FailsByItselfHere"])
def test_a_class_that_fails_jobs_by_itself(theatre: Theatre, kind: str) -> None:
    """Without ``super()``, with RQ's parts: states, errors and accounts are right."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail):
            stage.enqueue(function)
        stage.run(kind)
        assert stage.status("job-2") == "failed"

    assert theatre.play(scene) == told(completed=1, discard=1, errors={"ValueError": 1})


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", ["FailsUncounted", "FailsUncountedHere"])
def test_a_class_that_fails_jobs_and_counts_none(theatre: Theatre, kind: str) -> None:
    """Without any of RQ's parts: never abandoned, and no account is credited with what RQ did not count."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail):
            stage.enqueue(function)
        stage.run(kind)
        stage.enqueue(jobs.complete)
        stage.settle()
        stage.let_heartbeats_expire()
        if stage.instrumented:
            reconcile(stage.connection, KEYS, Limits())

    assert theatre.play(scene) == told(completed=2, discard=1, errors={"ValueError": 1})


# 35


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["DeletesTheJob", "DeletesTheJobHere"])
def test_a_perform_job_that_deletes_the_job(theatre: Theatre, kind: str) -> None:
    """A success of which RQ keeps nothing is no discard, and a failure is one, of its own error."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.worker(kind)  # without RQ's part they stay in its intermediate queue
        eventually(lambda: stage.calls == 2 and stage.is_idle("worker-1"), "two jobs")
        assert stage.status("job-1") == stage.status("job-2") == "gone"

    assert theatre.play(scene, like_rq=False) == told(completed=1, discard=1, errors={"ValueError": 1})


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["HasWrappingJobs", "HasWrappingJobsHere", "HasCallingJobs"])
def test_a_job_class_performs_by_itself(theatre: Theatre, kind: str) -> None:
    """``Cancel`` and ``Discard`` are honoured, raised and returned."""
    with theatre.stage().open() as stage:
        stage.enqueue(own_workers.quietly_complete)
        stage.enqueue(own_workers.quietly_cancel)
        stage.enqueue(own_workers.quietly_return_cancel)
        stage.enqueue(own_workers.quietly_discard)
        stage.run(kind)
        assert stage.told() == told(
            completed=1,
            cancelled=2,
            discard=1,
            reasons={"movie_not_matched": 2},
            errors={"bad_payload": 1},
        )
        assert stage.status("job-2") == stage.status("job-3") == "canceled"


# 36


@pytest.mark.row(36)
@pytest.mark.parametrize("kind", ["PrefixedWorker", "PrefixedWorkerHere"])
@pytest.mark.parametrize("instrumented", [True, False], ids=["instrumented", "bare"])
def test_a_class_with_keys_of_its_own_is_seen(theatre: Theatre, kind: str, instrumented: bool) -> None:
    """A worker whose class, and whose queue's class, has a prefix of its own is listed and audited."""
    with theatre.stage().open() as stage:
        queue = own_workers.PrefixedQueue("default", connection=stage.connection)
        for function in (jobs.complete, jobs.fail, jobs.complete):
            queue.enqueue(function, job_id=stage.next_id())
        stage.worker(kind, instrumented=instrumented)
        eventually(lambda: stage.calls == 3, "three jobs")
        key = "cinema:worker:worker-1"
        eventually(lambda: stage.connection.hget(key, "state") == b"idle", "an idle worker")
        snapshot = stage.snapshot()
        (worker,) = snapshot.rq_workers
        assert worker.name.endswith(key)
        assert (worker.succeeded_by_rq, worker.failed_by_rq) == (2, 1)
        assert worker.instrumented is instrumented
        if instrumented:
            assert snapshot.proven
            assert listen(stage.connection).states == {"completed": 2, "discard": 1}
        else:
            assert (snapshot.uninstrumented, snapshot.unrecorded) == (1, 3)


# 37


@pytest.mark.row(37)
@forking_and_not
@pytest.mark.parametrize("then", ["return", "cancel", "fail"])
@pytest.mark.parametrize("clock", own_workers.CLOCKS)
def test_a_job_leaves_the_clock_mocked(theatre: Theatre, kind: str, clock: str, then: str) -> None:
    """Durations and ends are right, and RQ's registries are what they were."""

    def scene(stage: Stage) -> None:
        if stage.instrumented:
            for number in range(3):
                stage.queue().enqueue(jobs.cancel, job_id=f"earlier-{number}")
            stage.unreached = 0
            stage.run(kind)
        stage.enqueue(own_workers.leave_clock, clock, then)
        stage.enqueue(jobs.complete)
        worker = stage.worker(kind, name="late", burst=True, logging_level="CRITICAL")
        if stage.instrumented:
            assert stage.calls >= 3
        worker.wait()

    if kind == "SimpleWorker" and clock in ("nan", "raising") and then != "return":
        pytest.skip("time.time is called by logging, and what RQ logs of the error then raises in its worker's process")
    with theatre.stage().open() as stage:
        scene(stage)
        eventually(lambda: counted(stage.snapshot()) == stage.calls == 5, "five executions")
        snapshot = stage.snapshot()
        assert snapshot.proven, stage.told()
        if clock not in ("nan", "raising"):  # with which logging itself raises
            assert not any(snapshot.handler_errors.values()), snapshot.handler_errors
        assert all(0 <= found.sum < 60 for found in snapshot.durations.values())
        assert all(0 <= found.sum < 60 for found in snapshot.waits.values())
        now = float(stage.connection.time()[0])
        ends = [float(entry["ended"]) for entry in stage.log()]
        assert all(now - 120 < end < now + 2 for end in ends), ends
        canceled = stage.connection.zcard("rq:canceled:default")
        assert canceled == 3 + (then == "cancel")
        reconcile(stage.connection, KEYS, Limits())
        assert stage.connection.zcard("rq:canceled:default") == canceled


# 39


@pytest.mark.row(39)
@pytest.mark.parametrize("kind", ["InPlaceWorker", "OwnForkWorker", "MultiprocessingWorker"])
def test_a_horse_of_its_own_has_its_span(theatre: Theatre, kind: str) -> None:
    """In place, by a fork of its own, by ``multiprocessing``: one CONSUMER span for each execution, counted once."""
    collector = Collector()
    try:
        with theatre.stage().open() as stage:
            for function in (jobs.complete, jobs.fail, jobs.cancel):
                stage.enqueue(function)
            Traced(stage, collector).worker(kind, burst=True).wait()
            assert stage.told() == told(
                completed=1, discard=1, cancelled=1, errors={"ValueError": 1}, reasons={"movie_not_matched": 1}
            )
            assert len(collector.wait_for(3)) == 3
    finally:
        collector.close()


# 40


@pytest.mark.row(40)
@every_worker
def test_an_exception_handler_puts_the_job_back(theatre: Theatre, kind: str) -> None:
    """An attempt after which the job runs again is a failure, and not a discard."""
    if kind == "SpawnWorker" and not RQ_3:
        pytest.skip("RQ 2 hands a spawned work-horse no exception handlers")

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 3)
        stage.run(kind, putting_back=True)
        assert stage.status() == "finished"

    assert theatre.play(scene, like_rq=False) == told(failure=2, completed=1, errors={"ValueError": 2})


@pytest.mark.row(40)
@every_worker
def test_a_failure_callback_puts_the_job_back(theatre: Theatre, kind: str) -> None:
    """So it is with ``on_failure``."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.fail_until, 2, on_failure=Callback(own_workers.put_back_once))
        stage.run(kind)
        eventually(lambda: stage.calls == 2, "the second attempt")
        stage.settle()

    assert theatre.play(scene, like_rq=False) == told(failure=1, completed=1, errors={"ValueError": 1})


# 41


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
        assert (snapshot.uninstrumented, snapshot.unrecorded, counted(snapshot)) == (1, 2, 0)
        assert re.search(rf"counts nothing in this process: .*{re.escape(hook)}", child.output)
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
