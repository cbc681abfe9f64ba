"""Rows 29 to 41: what nobody can report, what is lost under us, and worker classes that go their own way."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from rq import VERSION, Callback, Retry

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
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
every_forking_worker = pytest.mark.parametrize("kind", FORKING)
with_and_without_horse = pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])


def _executions(snapshot: Snapshot) -> int:
    return sum(counter.value for counter in snapshot.executions.values())


def _announced(snapshot: Snapshot) -> bool:
    return not snapshot.proven


def _as_rq_counted(stage: Stage) -> int:
    """Executions that RQ counted for its workers, by RQ's own hashes."""
    pipe = stage.connection.pipeline()
    for key in stage.connection.scan_iter("*:worker:*", _type="hash"):
        pipe.hmget(key, "successful_job_count", "failed_job_count")
    return sum(int(number or 0) for row in pipe.execute() for number in row)


# 29: jobs that leave


@pytest.mark.row(29)
@every_forking_worker
@pytest.mark.parametrize("then", ["return", "fail", "cancel"])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_that_daemonises_is_counted_as_it_ends(theatre: Theatre, kind: str, then: str, retries: int) -> None:
    """A job whose work-horse leaves in good order, and that goes on elsewhere, is one execution, as it ends there."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.daemonise, then, retry=Retry(max=1, interval=3600) if retries else None)
        stage.worker(kind)
        stage.meet()
        eventually(lambda: stage.is_idle("worker-1"), "the end of the work-horse")
        if stage.instrumented:
            assert stage.told().executions == 0
        stage.go()
        eventually(lambda: stage.status() not in ("started", "queued"), "the end of the job")
        # RQ sets the status of a retry before its transaction.
        eventually(lambda: not any(stage.connection.scan_iter("rq:execution:*")), "the end of the execution")
        stage.settle()

    expected = {
        "return": told(completed=1),
        "fail": told(errors={"ValueError": 1}, **{"failure" if retries else "discard": 1}),
        "cancel": told(cancelled=1, reasons={"movie_not_matched": 1}),
    }
    assert theatre.play(scene, like_rq=then != "cancel") == expected[then]


@pytest.mark.row(29)
@every_forking_worker
def test_a_daemon_that_closes_everything_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that closes its descriptors when it daemonises cannot be followed: it is counted once, whenever it ends."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.daemonise, "return", True)
        stage.worker(kind)
        stage.meet()
        eventually(lambda: stage.is_idle("worker-1"), "the end of the work-horse")
        stage.go()
        eventually(lambda: stage.status() == "finished", "the end of the job")
        stage.settle()
        if stage.instrumented:
            assert not stage.told().running

    found = theatre.play(scene)
    assert found.executions == 1
    assert not found.unrecorded
    assert not found.unbalanced


@pytest.mark.row(29)
@every_forking_worker
def test_a_job_that_returns_in_two_processes_is_one_execution(theatre: Theatre, kind: str) -> None:
    """A job that forks and returns twice is counted once, though RQ counts two successes, and the audit balances."""

    def scene(stage: Stage) -> None:
        stage.enqueue(own_ways.return_twice)
        stage.run(kind)

    assert theatre.play(scene) == told(completed=1)


# 30: keys that get lost

KEYS = {
    "meta": "meta",
    "accounts": "accounts",
    "sets": "sets",
    "running": "running",
    "closed": "closed",
    "log": "log",
    "label set": "set:support.jobs.complete|default",
    "traces": "traces:support.jobs.complete|default",
    "all": "",
}


def _ours(stage: Stage, key: str) -> list[str]:
    if KEYS[key]:
        return [f"rq:telemetry:{KEYS[key]}"]
    return [found.decode() for found in stage.connection.scan_iter("rq:telemetry:*")]


def _right_or_announced(stage: Stage, kept: Reader) -> None:
    """Both to somebody who looks for the first time and to somebody who has looked before."""
    number = _as_rq_counted(stage)
    for who, snapshot in (("anew", stage.snapshot()), ("again", kept.read())):
        assert _executions(snapshot) == number or _announced(snapshot), (who, number, snapshot)


def _lose_a_key(theatre: Theatre, kind: str, lose: Callable[[Stage, list[str]], None], key: str) -> None:
    def scene(stage: Stage) -> None:
        kept = Reader(stage.connection, Keys())
        for _ in range(3):
            stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.run(kind)
        if stage.instrumented:
            assert kept.read().proven
            lose(stage, _ours(stage, key))
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.settle()
        if stage.instrumented:
            _right_or_announced(stage, kept)
            for name in _ours(stage, key):  # a stranger's key in place of ours goes again
                if stage.connection.type(name) == b"string":
                    stage.connection.delete(name)
        stage.enqueue(jobs.complete)
        stage.settle()
        if stage.instrumented:
            _right_or_announced(stage, kept)
            stage.unreached = _executions(stage.snapshot()) - stage.calls

    theatre.play(scene)


@pytest.mark.row(30)
@every_worker
@pytest.mark.parametrize("key", KEYS)
def test_a_lost_key_is_made_up_for_or_announced(theatre: Theatre, kind: str, key: str) -> None:
    """Any key of ours may go while workers run: the counts are right, or it is said that they are not."""
    _lose_a_key(theatre, kind, lambda stage, keys: stage.connection.delete(*keys), key)


@pytest.mark.row(30)
@every_worker
@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_becomes_another_type_is_announced(theatre: Theatre, kind: str, key: str) -> None:
    """Any key of ours may become another program's while workers run: jobs do not care, and counts are right or not."""

    def replace(stage: Stage, keys: list[str]) -> None:
        for name in keys:
            stage.connection.delete(name)
            stage.connection.set(name, "another program's")

    _lose_a_key(theatre, kind, replace, key)


@pytest.mark.row(30)
@with_and_without_horse
@pytest.mark.parametrize("key", ["meta", "accounts", "sets", "label set", "all"])
def test_what_a_reader_noticed_is_written_down_and_the_next_loss_shows(theatre: Theatre, kind: str, key: str) -> None:
    """After a loss was tended to, the books agree again, since when counts are missing stays, and a new loss shows."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        for _ in range(3):
            stage.enqueue(jobs.complete)
        stage.run(kind)
        assert kept.read().proven
        for _ in range(2):
            stage.connection.delete(*_ours(stage, key))
            stage.enqueue(jobs.complete)
            eventually(lambda: kept.read().counts_lost_at or key == "sets", "somebody who notices")
            stage.settle()
            while kept.tend():
                kept.read()
            found = stage.snapshot()
            assert found.accounts_difference == 0
            assert _executions(found) == _as_rq_counted(stage) or found.counts_lost_at is not None
            stage.connection.hdel(Keys().meta, "lost_at", "lost", "lost_before", "why")
            found = kept.read()
            assert (found.counts_lost_at, found.accounts_difference) == (None, 0)


# 31, 32: more than our keys


@pytest.mark.row(31)
@every_worker
@pytest.mark.parametrize("then", ["return", "fail"])
def test_an_execution_that_rq_and_we_forgot_is_counted(theatre: Theatre, kind: str, then: str) -> None:
    """A job whose execution RQ and the running table have lost is counted once when it ends."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet, then=then)
        stage.worker(kind)
        stage.meet()
        for key in stage.connection.scan_iter("rq:execution*"):
            stage.connection.delete(key)
        stage.connection.delete(Keys().running)
        stage.go()
        stage.settle()

    expected = told(completed=1) if then == "return" else told(discard=1, errors={"ValueError": 1})
    assert theatre.play(scene, like_rq=False) == expected


@pytest.mark.row(31, 32)
@every_worker
def test_a_flushed_redis_is_announced_and_counting_goes_on(theatre: Theatre, kind: str) -> None:
    """After FLUSHALL under a live worker in a job, what it does later is counted, and the loss has a moment."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.complete)
        stage.run(kind)
        stage.enqueue(jobs.meet)
        stage.meet()
        assert _executions(kept.read()) == 2
        stage.connection.flushall()
        noticed = kept.read()
        assert noticed.counts_lost_at is not None
        assert noticed.counts_lost == 2
        stage.go()
        eventually(lambda: stage.connection.hget("rq:worker:worker-1", "state") == b"idle", "the end of the job")
        for _ in range(3):
            stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 6, "the jobs after it")
        eventually(lambda: stage.connection.hget("rq:worker:worker-1", "state") == b"idle", "the end of the last")
        for snapshot in (stage.snapshot(), kept.read()):
            assert snapshot.counts_lost_at is not None
            assert snapshot.counts_lost >= 2
            assert _executions(snapshot) >= 3
            assert snapshot.unrecorded + _executions(snapshot) == 4
            assert not snapshot.uninstrumented


def _copy(stage: Stage) -> dict[bytes, bytes]:
    return {key: stage.connection.dump(key) for key in stage.connection.scan_iter("*")}


def _restore(stage: Stage, copy: dict[bytes, bytes]) -> None:
    pipe = stage.connection.pipeline()
    pipe.flushall()
    for key, value in copy.items():
        pipe.restore(key, 0, value)
    pipe.execute()


def _created(snapshot: Snapshot) -> set[float]:
    return {counter.created for counter in snapshot.executions.values()}


@pytest.mark.row(32)
@every_worker
def test_an_older_state_is_announced_by_whom_has_seen_more(theatre: Theatre, kind: str) -> None:
    """Where an older state is restored, a reader and a worker that have seen more say so, and ``_created`` moves."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        for _ in range(2):
            stage.enqueue(jobs.complete)
        stage.run(kind)
        copy = _copy(stage)
        for _ in range(3):
            stage.enqueue(jobs.complete)
        stage.settle()
        before = kept.read()
        assert (_executions(before), before.proven) == (5, True)
        _restore(stage, copy)
        noticed = kept.read()
        assert (_executions(noticed), noticed.counts_lost) == (2, 3)
        assert noticed.counts_lost_at is not None
        assert min(_created(noticed)) > max(_created(before))
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 6, "another job")
        stage.settle()
        anew = stage.snapshot()
        assert (_executions(anew), anew.counts_lost, anew.accounts_difference, anew.unrecorded) == (3, 3, 0, 0)
        assert anew.counts_lost_at is not None
        assert min(_created(anew)) > max(_created(before))
        again = kept.read()
        assert (_executions(again), again.counts_lost, again.accounts_difference) == (3, 3, 0)
        assert min(_created(again)) > max(_created(before))


@pytest.mark.row(32)
def test_a_restored_rdb_is_announced(durable: Theatre) -> None:
    """A server that restarts from an older state is seen by a reader kept over it, and by no other RQ worker."""
    with durable.stage().open() as stage:
        stage.server.start()
        kept = Reader(stage.connection, Keys())
        stage.enqueue(jobs.complete)
        stage.run("SimpleWorker")
        copy = _copy(stage)
        stage.enqueue(jobs.complete)
        stage.settle()
        assert kept.read().proven
        _restore(stage, copy)
        stage.server.restart()
        noticed = eventually(kept.read, "the server")
        assert (noticed.counts_lost, _executions(noticed)) == (1, 1)


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
@pytest.mark.parametrize("kind", ["InPlace"] if RQ_3 else ["PerformsOnly", "InPlace"])
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


OWN_FAILURES = [
    f"{kind}{how}" for how in ("", "Simply") for kind in ("CleansAndCounts", "CleansOnly", "CountsOnly", "SaysOnly")
]


@pytest.mark.row(34)
@pytest.mark.parametrize("kind", OWN_FAILURES)
def test_a_class_that_handles_failures_itself_is_counted_as_far_as_it_says(theatre: Theatre, kind: str) -> None:
    """A worker class with a ``handle_job_failure`` of its own has its failures under their own names."""

    def scene(stage: Stage) -> None:
        for function in (jobs.complete, jobs.fail, jobs.fail):
            stage.enqueue(function)
        stage.run(kind)
        if stage.instrumented:
            (worker,) = stage.snapshot().rq_workers
            assert worker.succeeded == worker.succeeded_by_rq == 1
            # What it counts outside of the transaction of an ending is credited to nobody, and so shows.
            assert worker.failed == (0 if counts_alone else worker.failed_by_rq)
            assert worker.failed_by_rq == (2 if "Counts" in kind else 0)

    counts_alone = kind.startswith("CountsOnly")
    found = theatre.play(scene)
    assert (found.states, found.errors) == ({"completed": 1, "discard": 2}, {"ValueError": 2})
    assert found.unrecorded == (2 if counts_alone else 0)
    assert not found.unbalanced


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


@pytest.mark.row(35)
@pytest.mark.parametrize("kind", ["DeletesJobs", "DeletesJobsSimply"])
def test_a_class_that_deletes_its_jobs_has_them_counted(theatre: Theatre, kind: str) -> None:
    """A ``perform_job`` of its own that deletes every job: what they did is counted, and not what is left of them."""

    def scene(stage: Stage) -> None:
        _enqueue_each(stage)
        stage.run(kind)

    found = theatre.play(scene)
    assert found.states == {"completed": 2, "cancelled": 1, "discard": 2}
    assert found.reasons == {"movie_not_matched": 1}
    assert found.errors == {"ValueError": 1, "bad_payload": 1}
    assert not found.unrecorded
    assert not found.unbalanced


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
        stage.enqueue(jobs.cancel, "movie_not_matched", True)
        output = stage.run(kind, job_class=f"support.own_ways.{job_class}").output
        honoured = job_class != "DirectJob"
        assert stage.told() == told(
            completed=1 if honoured else 2,
            cancelled=2 if honoured else 1,
            discard=2,
            reasons={"movie_not_matched": 2 if honoured else 1},
            errors={"bad_payload": 1, "ValueError": 1},
        )
        assert ("past jobtelemetry" in output) != honoured


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


# 37: clocks

#: With a clock that is no number, RQ's own log line ends a process: a SimpleWorker, and a work-horse that has failed.
every_clock = pytest.mark.parametrize(
    ("kind", "clock"),
    [
        (kind, clock)
        for kind in WORKERS
        for clock in ("0", "nan", "1e12", "4e9")
        if (kind, clock) != ("SimpleWorker", "nan")
    ],
)


@pytest.mark.row(37)
@every_clock
def test_a_clock_that_a_job_left_changed_hurts_nobody(theatre: Theatre, kind: str, clock: str) -> None:
    """Jobs that leave ``time.time`` changed, and those after them, are timed right, and RQ's registries are whole."""

    def scene(stage: Stage) -> None:
        for then in ("return", "fail"):
            stage.enqueue(own_ways.leave_clock, clock, then)
            stage.enqueue(jobs.complete)
            stage.enqueue(jobs.fail)
        stage.run(kind)
        if stage.instrumented:
            _timed_right(stage)

    found = theatre.play(scene)
    errors = {"ValueError": 2, "WorkHorseExited": 1} if clock == "nan" else {"ValueError": 3}
    assert found == told(completed=3, discard=3, errors=errors)


def _timed_right(stage: Stage) -> None:
    snapshot = stage.snapshot()
    assert all(0 <= histogram.sum < 60 for histogram in snapshot.durations.values())
    assert all(0 <= histogram.sum < 60 for histogram in snapshot.waits.values())
    assert all(0 <= float(entry.get("duration", 0)) < 60_000_000 for entry in stage.log())
    assert all(snapshot.taken_at - 120 < float(entry["ended"]) <= snapshot.taken_at for entry in stage.log())
    assert all(snapshot.taken_at - 120 < moment <= snapshot.taken_at for moment in snapshot.last_completed.values())
    assert not snapshot.rejected


@pytest.mark.row(37)
@every_clock
def test_a_cancellation_with_a_changed_clock_leaves_rqs_registry_whole(theatre: Theatre, kind: str, clock: str) -> None:
    """RQ's registry keeps what was cancelled before, while, and after a job changed the clock."""
    with theatre.stage().open() as stage:
        for _ in range(3):
            stage.enqueue(jobs.cancel)
        stage.enqueue(own_ways.leave_clock, clock, "cancel")
        stage.enqueue(jobs.cancel)
        stage.enqueue(jobs.complete)
        stage.run(kind)
        stage.enqueue(jobs.cancel)
        stage.settle()
        registry = {job_id.decode() for job_id in stage.connection.zrange("rq:canceled:default", 0, -1)}
        assert registry == {f"job-{number}" for number in (1, 2, 3, 4, 5, 7)}
        assert all(0 < stage.connection.ttl(f"rq:job:{job_id}") <= 500 for job_id in registry)
        assert stage.told() == told(cancelled=6, completed=1, reasons={"movie_not_matched": 6})
        _timed_right(stage)


# 39: spans are in the tracing tests' own file for classes of RQ's; here for those that are not


@pytest.mark.row(39)
@pytest.mark.parametrize("kind", ["InPlace", "ByMultiprocessing", "OwnFork", "OnItsOwnWorker", "ByNameWorker"])
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
@every_worker
@pytest.mark.parametrize("how", ["handler", "callback"])
def test_a_job_that_is_put_back_was_not_given_up(theatre: Theatre, kind: str, how: str) -> None:
    """A job that an exception handler or a failure callback enqueues again has failed, and is no discard."""
    if kind == "SpawnWorker" and not RQ_3 and how == "handler":
        pytest.skip("RQ 2 hands a spawned work-horse no exception handlers")

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
@every_worker
def test_a_job_that_is_put_back_in_vain_is_a_discard_at_last(theatre: Theatre, kind: str) -> None:
    """The attempt after which nobody puts it back is the one that is discarded."""
    if kind == "SpawnWorker" and not RQ_3:
        pytest.skip("RQ 2 hands a spawned work-horse no exception handlers")

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
