"""Rows 30 to 32: whatever of the numbers is lost under us, they are right, or somebody says that they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jobtelemetry.store.books import acknowledge_losses
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import tidy
from jobtelemetry.store.snapshot import Snapshot
from support import jobs
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)
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


# our keys

KEYS = {
    "meta": "meta",
    "accounts": "accounts",
    "sets": "sets",
    "running": "running",
    "closed": "closed",
    "log": "log",
    "label set": "set:support.jobs.complete|default",
    "traces": "traces:support.jobs.complete|default",
    "label sets": "set:*",
    "all": "*",
}


def _ours(stage: Stage, key: str) -> list[str]:
    name = f"rq:telemetry:{KEYS[key]}"
    return [found.decode() for found in stage.connection.scan_iter(name)] if name.endswith("*") else [name]


def _right_or_announced(stage: Stage, kept: Reader) -> None:
    """Both to somebody who looks for the first time and to somebody who has looked before."""
    number = stage.calls
    for who, snapshot in (("anew", stage.snapshot()), ("again", kept.read())):
        assert _executions(snapshot) <= number, (who, snapshot)
        assert _executions(snapshot) == number or _announced(snapshot), (who, number, snapshot)


def _some(stage: Stage) -> None:
    for function in (jobs.complete, jobs.fail, jobs.cancel):
        stage.enqueue(function)


def _lose_a_key(theatre: Theatre, kind: str, lose: Callable[[Stage, list[str]], None], key: str) -> None:
    def scene(stage: Stage) -> None:
        kept = Reader(stage.connection, Keys())
        stage.enqueue(jobs.complete)
        _some(stage)
        stage.run(kind)
        if stage.instrumented:
            assert kept.read().proven
            lose(stage, _ours(stage, key))
        _some(stage)
        stage.settle()
        if stage.instrumented:
            _right_or_announced(stage, kept)
            for name in stage.connection.scan_iter("rq:telemetry:*", _type="string"):
                stage.connection.delete(name)  # a stranger's key in place of ours goes again
        _some(stage)
        stage.settle()
        if stage.instrumented:
            _right_or_announced(stage, kept)
            kept.tend()
            _right_or_announced(stage, kept)
        before = _executions(stage.snapshot())
        _some(stage)
        stage.settle()
        if stage.instrumented:
            assert _executions(stage.snapshot()) == before + 3
            stage.unreached = _executions(stage.snapshot()) - stage.calls

    theatre.play(scene, like_rq=False)


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
            acknowledge_losses(stage.connection, Keys())
            found = kept.read()
            assert (found.counts_lost_at, found.accounts_difference, found.proven) == (None, 0, True)


# more than our keys


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
    found = theatre.play(scene, like_rq=False)
    assert found.lost.startswith("the running table was gone")  # another one in it might have ended without a word
    assert replace(found, lost="") == expected


@pytest.mark.row(31, 32)
@every_worker
@pytest.mark.parametrize("then", ["return", "fail"])
def test_a_flushed_redis_is_announced_and_counting_goes_on(theatre: Theatre, kind: str, then: str) -> None:
    """After FLUSHALL under a live worker in a job, what it does later is counted, and the loss has a moment."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.complete)
        stage.run(kind)
        stage.enqueue(jobs.meet, then=then)
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
            # RQ lists it nowhere any more; it is seen, and it is not taken for one that is gone.
            assert [worker.name for worker in snapshot.rq_workers] == ["worker-1"]
            tidy(stage.connection, Keys())
        assert "RQ lost the same" in kept.read().counts_lost_why
        acknowledge_losses(stage.connection, Keys())
        assert kept.read().counts_lost_at is None
        stage.connection.flushall()
        calls = stage.calls
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == calls + 1, "one more job")
        eventually(lambda: stage.connection.hget("rq:worker:worker-1", "state") == b"idle", "its end")
        # RQ's hash had come anew before, so nobody can tell whether it has done so again.
        why = kept.read().counts_lost_why
        assert why
        assert "RQ still" not in why
        acknowledge_losses(stage.connection, Keys())
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 7, "one more")
        eventually(lambda: stage.is_idle("worker-1"), "its end")
        assert kept.read().proven


@pytest.mark.row(31, 32)
@with_and_without_horse
def test_a_bare_worker_is_seen_after_everything_was_flushed(theatre: Theatre, kind: str) -> None:
    """RQ lists it nowhere any more, and what it runs is not counted: that must be said."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.run(kind, instrumented=False)
        stage.connection.flushall()
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 2 and stage.is_idle("worker-1"), "another job")
        snapshot = stage.snapshot()
        assert (snapshot.uninstrumented, snapshot.unrecorded, snapshot.proven) == (1, 1, False)


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
@pytest.mark.parametrize("lost", [1, 3])
def test_an_older_state_is_announced_by_whom_has_seen_more(theatre: Theatre, kind: str, lost: int) -> None:
    """Where an older state is restored, a reader and a worker that have seen more say so, and ``_created`` moves."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        _some(stage)
        stage.run(kind)
        copy = _copy(stage)
        for _ in range(lost):
            stage.enqueue(jobs.complete)
        stage.settle()
        before = kept.read()
        assert (_executions(before), before.proven) == (3 + lost, True)
        _restore(stage, copy)
        noticed = kept.read()
        assert (_executions(noticed), noticed.counts_lost) == (3, lost)
        assert noticed.counts_lost_at is not None
        assert min(_created(noticed)) > max(_created(before))
        assert noticed.created > before.created
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 4 + lost, "another job")
        stage.settle()
        anew = stage.snapshot()
        assert (_executions(anew), anew.counts_lost, anew.accounts_difference, anew.unrecorded) == (4, lost, 0, 0)
        assert anew.counts_lost_at is not None
        assert min(_created(anew)) > max(_created(before))
        assert anew.created > before.created
        assert anew.generation_started > before.generation_started
        for _ in range(2):
            again = kept.read()
            assert (_executions(again), again.counts_lost, again.accounts_difference) == (4, lost, 0)
            assert min(_created(again)) > max(_created(before))
            kept.tend()


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
