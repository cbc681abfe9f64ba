"""Since when RQ workers wait for jobs, and what RQ's rate limits hold back."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import rq

from jobtelemetry.diagnosis.coverage import check_coverage
from jobtelemetry.exporter import families
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from support import jobs
from support.stage import Stage, Theatre

needs_rate_limits = pytest.mark.rq(">=3")


def figures(stage: Stage, family: str) -> dict[tuple[str, ...], float]:
    """What a family shows: label values -> value."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in families.build([families.Scrape(stage.snapshot(), 0.0)])
        if metric.name == f"jobtelemetry_{family}"
        for sample in metric.samples
    }


def told(stage: Stage, check: str) -> str:
    """What the doctor says of it."""
    return "".join(finding.summary for finding in check_coverage(stage.snapshot()) if finding.check == check)


def test_an_rq_worker_idles_since_it_did_something(theatre: Theatre) -> None:
    """Not while it works, and from its last job on, however often it says that it lives; also of jobs RQ counts not."""
    with theatre.stage().open() as stage:
        reader = Reader(stage.connection, Keys())

        def idle_since() -> float | None:
            (worker,) = reader.read().rq_workers
            return worker.idle_since

        begin = reader.read().taken_at
        stage.run("Worker")
        first = idle_since()
        assert first is not None
        assert begin - 1 < first <= reader.read().taken_at
        later = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        stage.connection.hset("rq:worker:worker-1", "last_heartbeat", later)
        assert idle_since() == first, "it has done nothing"
        stage.enqueue(jobs.meet, "job", "return")
        stage.meet()
        assert idle_since() is None
        stage.go()
        stage.settle()
        second = idle_since()
        assert second is not None
        assert second > first
        stage.enqueue(jobs.cancel)
        stage.settle()
        third = idle_since()
        assert third is not None
        assert third > second, "RQ counts no cancelled job; we do"
        assert figures(stage, "rq_worker_longest_idle_timestamp_seconds")["default",] >= second


def test_the_doctor_names_who_takes_nothing(theatre: Theatre) -> None:
    """By name and host, where a job has been waiting all the while; nobody where the queue is empty."""
    with theatre.stage().open() as stage:
        worker = stage.run("Worker")
        stage.bury(worker)  # it takes nothing, and RQ has not noticed
        stage.connection.hset("rq:worker:worker-1", "last_heartbeat", "2026-01-01T00:00:00.000000Z")
        assert told(stage, "idle") == "", "nothing waits"
        job = stage.enqueue(jobs.complete)
        stage.connection.hset(f"rq:job:{job.id}", "enqueued_at", "2026-01-01T00:10:00.000000Z")
        host = stage.connection.hget("rq:worker:worker-1", "hostname").decode()
        assert told(stage, "idle") == f"jobs wait on default, and 1 RQ worker take none: worker-1 on {host}"


@needs_rate_limits
def test_what_a_rate_limit_holds_back_is_shown_by_limit(theatre: Theatre) -> None:
    """Held and allowed jobs, since when the first is held, and who has the slots; gone when all have run."""
    with theatre.stage().open() as stage:
        limit, other = rq.RateLimit("api", 2), rq.RateLimit("mail", 1)
        found = [stage.enqueue(jobs.complete, rate_limit=limit) for _ in range(5)]
        stage.enqueue(jobs.complete, rate_limit=other)
        held = figures(stage, "rate_limit_jobs")
        assert held == {("api", "held"): 3, ("api", "allowed"): 2, ("mail", "held"): 0, ("mail", "allowed"): 1}
        since = figures(stage, "rate_limit_oldest_job_timestamp_seconds")
        assert set(since) == {("api",)}
        assert 0 <= stage.snapshot().taken_at - since["api",] < 60
        assert figures(stage, "queue_jobs")["", "rate_limited"] == 3
        assert told(stage, "rate limits") == ""
        stage.connection.zadd("rq:rl:api:rate_limited", {found[2].id: since["api",] - 2000})
        assert told(stage, "rate limits").startswith("api has held 3 jobs back, the first for 2,00")
        assert f"2 of 2 may run: {found[0].id}, {found[1].id}" in told(stage, "rate limits")
        stage.run("SimpleWorker")
        assert figures(stage, "rate_limit_oldest_job_timestamp_seconds") == {}
        assert not stage.snapshot().rate_limited


@needs_rate_limits
def test_a_limit_of_a_wrong_clock_and_very_many_limits_are_bounded(theatre: Theatre) -> None:
    """A hold from the future began now; a limit for every customer does not fill Prometheus."""
    with theatre.stage().open() as stage:
        for number in range(104):
            stage.connection.sadd("rq:rl-keys", f"customer-{number:03}")
            stage.connection.zadd(f"rq:rl:customer-{number:03}:rate_limited", {f"job-{number}": 4e9})
        snapshot = stage.snapshot()
        assert all(limit.oldest == snapshot.taken_at for limit in snapshot.rate_limits)
        held = figures(stage, "rate_limit_jobs")
        assert len(held) == 2 * 101
        assert held["__other__", "held"] == 4
