"""Rows 25 to 27: Redis restarts, a reply is lost, a worker is cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rq import Retry

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs
from support.proxy import Proxy
from support.servers import TcpServer
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually
from support.workers import WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)


@pytest.fixture
def proxy(tcp: TcpServer) -> Iterator[Proxy]:
    """Between worker and server."""
    with Proxy(tcp.port) as proxy:
        yield proxy


@pytest.mark.row(25)
@every_worker
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restart_of_redis_loses_nothing(durable: Theatre, kind: str, how: str) -> None:
    """A job during which Redis restarts or is SIGKILLed, and keeps its data, is counted once."""

    def scene(stage: Stage) -> None:
        stage.server.start()
        stage.enqueue(jobs.meet)
        stage.enqueue(jobs.fail)
        stage.worker(kind)
        stage.meet()
        if how == "kill":
            stage.server.kill()
        stage.server.restart()
        stage.go()
        stage.settle()

    assert durable.play(scene) == told(completed=1, discard=1, errors={"ValueError": 1})


@pytest.mark.row(25)
def test_a_job_that_ends_while_redis_is_away_is_counted_later(durable: Theatre) -> None:
    """A job that ends when nothing can be written is abandoned to RQ, and counted as that once Redis is back."""

    def scene(stage: Stage) -> None:
        stage.server.start()
        stage.enqueue(jobs.meet)
        worker = stage.worker("Worker", retries=0)
        stage.meet()
        stage.server.kill()
        stage.go()
        worker.wait()
        stage.server.restart()
        stage.let_heartbeats_expire("worker-1")
        stage.run()
        assert stage.status() == "failed"

    assert durable.play(scene) == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1)


#: What happens, the transaction whose reply is lost, and what is told. RQ's own command marks the transaction, so
#: that it is the same one without jobtelemetry.
LOST = {
    "start": ("complete", (), b"busy", told(completed=1)),
    "success": ("complete", (), b"successful_job_count", told(completed=1)),
    "failure": ("fail", (), b"failed_job_count", told(discard=1, errors={"ValueError": 1})),
    "cancel": ("cancel", (), b"canceled", told(cancelled=1, reasons={"movie_not_matched": 1})),
}


@pytest.mark.row(26)
@every_worker
@pytest.mark.parametrize("transaction", LOST)
def test_a_lost_reply_counts_once(theatre: Theatre, proxy: Proxy, kind: str, transaction: str) -> None:
    """A transaction that was applied and whose reply was lost is sent again, and counted once."""
    function, arguments, marker, expected = LOST[transaction]

    def scene(stage: Stage) -> None:
        cuts = proxy.cuts
        stage.enqueue(getattr(jobs, function), *arguments)
        proxy.lose_reply_to(marker)
        stage.run(kind, url=proxy.url, retries=3)
        assert proxy.cuts == cuts + 1
        if stage.instrumented:
            assert [entry["attempt"] for entry in stage.log()] == ["1"]

    assert theatre.play(scene, like_rq=transaction != "cancel") == expected


@pytest.mark.row(26)
@every_worker
def test_a_lost_reply_to_a_retry_counts_every_execution(theatre: Theatre, proxy: Proxy, kind: str) -> None:
    """A retry that RQ enqueues twice, because the reply to the first was lost, runs twice: each is counted once."""

    def scene(stage: Stage) -> None:
        cuts = proxy.cuts
        stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
        proxy.lose_reply_to(b"failed_job_count")
        stage.run(kind, url=proxy.url, retries=3)
        assert proxy.cuts == cuts + 1
        assert stage.calls == 3

    assert theatre.play(scene) == told(failure=1, completed=2, errors={"ValueError": 1})


@pytest.mark.row(26)
@every_worker
@pytest.mark.parametrize("transaction", ["success", "failure", "cancel"])
def test_a_lost_reply_without_another_try_counts_once(
    theatre: Theatre, proxy: Proxy, kind: str, transaction: str
) -> None:
    """The same with a connection that does not try again by itself."""
    function, arguments, marker, expected = LOST[transaction]

    def scene(stage: Stage) -> None:
        cuts = proxy.cuts
        stage.enqueue(getattr(jobs, function), *arguments)
        proxy.lose_reply_to(marker)
        stage.run(kind, url=proxy.url, retries=0)
        assert proxy.cuts == cuts + 1
        stage.let_heartbeats_expire()
        stage.run(kind)

    assert theatre.play(scene, like_rq=transaction != "cancel") == expected


@pytest.mark.row(26)
def test_a_lost_reply_to_the_start_leaves_an_abandoned_execution(theatre: Theatre, proxy: Proxy) -> None:
    """A worker that gives up because it does not know whether the execution exists leaves one that is abandoned."""

    def scene(stage: Stage) -> None:
        stage.unreached = 1
        stage.enqueue(jobs.complete)
        proxy.lose_reply_to(b"busy")
        stage.worker(url=proxy.url, retries=0).wait()
        stage.let_heartbeats_expire("worker-1")
        stage.worker()
        eventually(lambda: stage.is_idle("worker-2"), "the second worker")

    assert theatre.play(scene) == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1)


@pytest.mark.row(27)
@every_worker
def test_a_late_ending_is_not_counted_again(theatre: Theatre, proxy: Proxy, kind: str) -> None:
    """A job declared abandoned while its worker was cut off, and that finishes later, is counted once, as abandoned."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet)
        stage.worker(kind, url=proxy.url)
        stage.meet()
        proxy.sever()
        stage.let_heartbeats_expire("worker-1")
        stage.worker(kind)
        eventually(lambda: stage.status() == "failed", "RQ's clean-up")
        proxy.mend()
        stage.go()
        eventually(lambda: stage.status() == "finished", "the late ending")
        eventually(lambda: stage.connection.ttl("rq:worker:worker-1") > 0, "its worker's heartbeat")
        stage.settle()

    assert theatre.play(scene) == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1, late=1)


@pytest.mark.row(27)
@every_worker
def test_a_late_ending_of_a_retried_job_is_not_counted_again(theatre: Theatre, proxy: Proxy, kind: str) -> None:
    """With retries left the job runs again meanwhile: two executions, two counts, and one that came late."""

    def scene(stage: Stage) -> None:
        stage.enqueue(jobs.meet_first, retry=Retry(max=1))
        stage.worker(kind, url=proxy.url)
        stage.meet()
        proxy.sever()
        stage.let_heartbeats_expire("worker-1")
        stage.worker(kind)
        eventually(lambda: stage.status() == "finished", "the second execution")
        proxy.mend()
        stage.go()
        eventually(lambda: stage.connection.hget("rq:worker:worker-1", "successful_job_count"), "the late ending")
        eventually(lambda: stage.connection.ttl("rq:worker:worker-1") > 0, "its worker's heartbeat")
        stage.settle()

    expected = told(failure=1, completed=1, errors={"AbandonedJobError": 1}, reconciled=1, late=1)
    assert theatre.play(scene) == expected


@pytest.mark.row(27)
def test_a_worker_that_gives_up_while_cut_off_leaves_a_late_ending(theatre: Theatre, proxy: Proxy) -> None:
    """RQ's heartbeats run out by themselves while the connection is cut, and the orphaned process ends late."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.meet)
        worker = stage.worker("ImpatientWorker", url=proxy.url, retries=0)
        stage.meet()
        proxy.sever()
        worker.wait()
        eventually(lambda: reconcile(stage.connection, Keys(), Limits()), "the abandoned execution")
        proxy.mend()
        stage.go()
        eventually(lambda: stage.told().late == 1, "the late ending")
        assert stage.told() == told(discard=1, errors={"AbandonedJobError": 1}, reconciled=1, late=1)
