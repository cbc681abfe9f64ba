"""The audit: what RQ counted for its workers against what jobtelemetry recorded, while workers come and go."""

from __future__ import annotations

import signal

from jobtelemetry.store.books import account_names
from jobtelemetry.store.keys import DEPARTED, Keys
from support import jobs
from support.stage import Stage, Theatre
from support.waiting import eventually


def accounts(stage: Stage) -> set[str]:
    """Who has an account."""
    return account_names(stage.connection, Keys())


def looks(stage: Stage) -> tuple[int, int]:
    """RQ workers that nobody records, and executions that nobody recorded."""
    told = stage.told()
    return told.uninstrumented, told.unrecorded


def test_a_plain_worker_shows_within_one_read(theatre: Theatre):
    """An uninstrumented worker that joins the pool is a blind spot at once, and its jobs are when they have run."""
    with theatre.stage().open() as stage:
        stage.worker("SimpleWorker", on=("other",))
        eventually(lambda: stage.is_idle("worker-1"), "the instrumented worker")
        assert looks(stage) == (0, 0)
        plain = stage.worker("SimpleWorker", instrumented=False)
        eventually(lambda: stage.is_idle("worker-2"), "the plain worker")
        assert looks(stage) == (1, 0)
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.settle()
        assert looks(stage) == (1, 2)
        plain.kill(signal.SIGTERM)
        plain.wait()
        assert looks(stage) == (0, 0)


def test_a_worker_is_judged_by_its_birth_and_not_by_its_name(theatre: Theatre):
    """A plain worker under the name of an instrumented one that died is a blind spot, and the other way round none."""
    with theatre.stage().open() as stage:
        for number, instrumented in enumerate([True, False, True]):
            worker = stage.worker("SimpleWorker", name="pool-1", instrumented=instrumented)
            eventually(lambda: stage.is_idle("pool-1"), "the worker")
            stage.enqueue(jobs.complete)
            eventually(lambda number=number: stage.calls == number + 1, "its job")
            stage.settle()
            assert looks(stage) == ((0, 0) if instrumented else (1, 1))
            stage.bury(worker)
            stage.let_heartbeats_expire("pool-1")


def test_a_worker_that_ends_in_good_order_closes_its_account(theatre: Theatre):
    """After a clean end the name belongs to nobody, and what it counted is with the departed."""
    with theatre.stage().open() as stage:
        worker = stage.worker("SimpleWorker")
        eventually(lambda: stage.is_idle("worker-1"), "the worker")
        stage.enqueue(jobs.complete)
        eventually(lambda: stage.calls == 1, "its job")
        stage.settle()
        assert accounts(stage) == {"worker-1"}
        worker.kill(signal.SIGTERM)
        worker.wait()
        assert accounts(stage) == {DEPARTED}
        assert stage.told().states == {"completed": 1}


def test_accounts_of_dead_workers_are_folded(theatre: Theatre):
    """The account of a worker that was SIGKILLed goes into that of the departed once RQ has forgotten it."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        worker = stage.run("SimpleWorker")
        assert accounts(stage) == {"worker-1"}
        stage.bury(worker)
        stage.let_heartbeats_expire("worker-1")
        for name in ("worker-2", "worker-3"):  # RQ forgets it in the first one's maintenance, after ours
            stage.worker("SimpleWorker", name=name)
            eventually(lambda name=name: stage.is_idle(name), "maintenance")
        assert accounts(stage) == {DEPARTED}
        assert not stage.told().unbalanced


def test_a_worker_whose_hash_expired_under_it_is_no_blind_spot(theatre: Theatre):
    """Where RQ lost a live worker's counts, they and ours begin again together."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.run("Worker")
        stage.connection.delete("rq:worker:worker-1")
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        eventually(lambda: stage.calls == 3, "the jobs")
        stage.settle()
        assert looks(stage) == (0, 0)
        assert not stage.told().misaudited


def test_a_dead_worker_leaves_the_pool_and_its_counts_stay(theatre: Theatre):
    """What a worker recorded outlives it, and its end opens no gap."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        worker = stage.run("Worker")
        stage.bury(worker)
        assert looks(stage) == (0, 0)
        stage.let_heartbeats_expire("worker-1")
        assert looks(stage) == (0, 0)
        assert stage.told().states == {"completed": 1}
