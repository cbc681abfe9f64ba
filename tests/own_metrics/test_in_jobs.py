"""What jobs measure is written with their end, once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rq import Callback, Retry

from jobtelemetry.contract import Kind
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Change, Definition, Measurements, measure_command
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from jobtelemetry.store.scripts import run
from support import jobs, measuring_jobs
from support.measured import samples
from support.proxy import Proxy
from support.stage import Stage
from support.waiting import eventually
from support.workers import FORKING, WORKERS

every_worker = pytest.mark.parametrize("kind", WORKERS)
SOLD = "cinema_tickets_total{film=Alien}"


def sold(stage: Stage) -> float:
    """What the counter has."""
    return samples(stage.snapshot()).get(SOLD, 0.0)


@pytest.mark.parametrize("kind", FORKING[:1])
def test_another_definition_is_told_once_in_the_log(stage: Stage, kind: str) -> None:
    """A deploy that changes a metric says so in its RQ worker's log, once, and how it was; later jobs are silent."""
    seats = Definition("cinema_seats", Kind.GAUGE, "Seats.", ("hall",))
    before = Measurements([Change(seats, seats.series(["1"]), 1, set={"value": "7"})])
    run(stage.connection, measure_command(Keys(), before, writer="old", batch=1, families=9, series=9))
    for _ in range(3):
        stage.enqueue(measuring_jobs.sell)
    worker = stage.run(kind)
    (line,) = [line for line in worker.output.splitlines() if "defined differently from before" in line]
    assert "cinema_seats" in line
    assert "gauge with labels hall" in line


def in_ledger(stage: Stage) -> int:
    """What the jobs have written down outside of Redis."""
    return sum(int(line.rpartition(" ")[2]) for line in stage.book("ledger") if " sold " in line)


@every_worker
@pytest.mark.parametrize("then", ["return", "fail", "cancel"])
def test_what_a_job_measures_is_written_with_its_end(stage: Stage, kind: str, then: str) -> None:
    """Counter, gauge and histogram of an execution are there when it is counted, however it ended."""
    stage.enqueue(measuring_jobs.sell, 3, then=then)
    stage.enqueue(measuring_jobs.sell, 2, "Brazil")
    stage.run(kind)
    found = samples(stage.snapshot())
    assert found == {
        "cinema_tickets_total{film=Alien}": 3.0,
        "cinema_tickets_total{film=Brazil}": 2.0,
        "cinema_seats{}": 98.0,
        **{
            f"cinema_price_euros_bucket{{film={film},le={bound}}}": float(number)
            for film, sold in (("Alien", 3), ("Brazil", 2))
            for bound, number in (("5.0", 0), ("10.0", sold), ("20.0", sold), ("+Inf", sold))
        },
        "cinema_price_euros_count{film=Alien}": 3.0,
        "cinema_price_euros_count{film=Brazil}": 2.0,
        "cinema_price_euros_sum{film=Alien}": 22.5,
        "cinema_price_euros_sum{film=Brazil}": 15.0,
    }
    assert stage.snapshot().proven


@every_worker
def test_nothing_is_written_before_the_end(stage: Stage, kind: str) -> None:
    """A counter never runs ahead of the executions that it is about."""
    stage.enqueue(measuring_jobs.sell, 3, then="meet")
    stage.worker(kind)
    stage.meet()
    assert samples(stage.snapshot()) == {}
    stage.go()
    stage.settle()
    assert sold(stage) == 3


@every_worker
def test_every_attempt_of_a_retried_job_counts(stage: Stage, kind: str) -> None:
    """What failed attempts measured is counted as well, as it is with prometheus_client in a thread."""
    stage.enqueue(measuring_jobs.sell_once_more, 2, 3, retry=Retry(max=3))
    stage.run(kind)
    assert sold(stage) == in_ledger(stage) == 6


@every_worker
def test_threads_and_callbacks_of_a_job_belong_to_it(stage: Stage, kind: str) -> None:
    """Threads that a job starts measure for it, and so does its success callback."""
    stage.enqueue(measuring_jobs.sell_in_threads, 4, 50, on_success=Callback(measuring_jobs.sold))
    stage.run(kind)
    assert sold(stage) == 201
    assert stage.connection.zcard(Keys().batches) == 0  # all of it with the execution


@every_worker
def test_processes_that_a_job_forks_write_by_themselves(stage: Stage, kind: str) -> None:
    """A process of multiprocessing has a copy of what its parent measured, and writes only its own."""
    stage.enqueue(measuring_jobs.sell_in_processes, 3)
    stage.run(kind)
    eventually(lambda: sold(stage) == 3, "what they measured")


@every_worker
@pytest.mark.parametrize("marker", ["successful_job_count", "failed_job_count"])
def test_a_transaction_that_is_sent_twice_counts_once(stage: Stage, proxy: Proxy, kind: str, marker: str) -> None:
    """The reply to the end is lost, and it is sent again."""
    stage.enqueue(measuring_jobs.sell, 5, then="fail" if marker.startswith("failed") else "return")
    proxy.lose_reply_to(marker.encode())
    stage.run(kind, url=proxy.url, retries=3)
    assert proxy.cuts == 1
    assert sold(stage) == 5
    assert stage.snapshot().proven


@pytest.mark.parametrize("kind", FORKING)
def test_what_a_killed_horse_has_measured_is_lost_and_said(stage: Stage, kind: str) -> None:
    """It dies with the horse; how many executions that happened to is a counter."""
    stage.enqueue(measuring_jobs.sell, 5, then="die")
    stage.enqueue(measuring_jobs.sell, 2)
    stage.enqueue(jobs.die, "kill")
    stage.run(kind)
    snapshot = stage.snapshot()
    assert samples(snapshot)[SOLD] == 2
    assert snapshot.own_unwritten == 1
    assert snapshot.proven


@every_worker
def test_an_end_that_comes_late_is_measured_all_the_same(stage: Stage, proxy: Proxy, kind: str) -> None:
    """An execution that was given up and then ends by itself has measured what it has measured, once."""
    stage.enqueue(measuring_jobs.sell, 4, then="meet")
    stage.worker(kind, url=proxy.url)
    stage.meet()
    proxy.sever()
    stage.let_heartbeats_expire("worker-1")
    reconcile(stage.connection, Keys(), Limits())
    assert samples(stage.snapshot()) == {}
    proxy.mend()
    stage.go()
    eventually(lambda: stage.snapshot().late == 1, "the late ending")
    assert sold(stage) == 4


def test_a_synchronous_queue_counts_in_the_process_that_enqueues(stage: Stage) -> None:
    """With its execution, and not by the thread that writes what a web process measures."""
    stage.queue(is_async=False).enqueue(measuring_jobs.sell, 3)
    assert sold(stage) == 3
    stage.queue(is_async=False).enqueue(measuring_jobs.sell, 2, then="fail")
    assert sold(stage) == 5
    assert stage.connection.zcard(Keys().batches) == 0


@every_worker
def test_redis_restarts_lose_nothing(durable: Stage, kind: str) -> None:
    """A Redis that is killed while a job runs, and keeps its data, has everything that the job measured."""
    durable.enqueue(measuring_jobs.sell, 3, then="meet")
    for _ in range(3):
        durable.enqueue(measuring_jobs.sell, 2)
    durable.worker(kind)
    durable.meet()
    durable.server.kill()
    durable.server.restart()
    durable.go()
    durable.settle()
    assert sold(durable) == in_ledger(durable) == 9
    assert durable.snapshot().proven


def test_jobs_that_measure_nothing_import_nothing(stage: Stage) -> None:
    """The module is loaded by whoever asks for it, and by nobody else."""
    program = (
        "import sys, jobtelemetry; jobtelemetry.instrument(); import jobtelemetry.rq.recording;"
        "print('jobtelemetry.own_metrics' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=os.environ)
    assert found.stdout.strip() == "False"
