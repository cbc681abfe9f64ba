"""The endings that somebody else brings about: an operator, a signal, a death, a synchronous queue."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.utils import now
from rq.worker import Worker

from sinks import sentry_jobs as jobs
from sinks.conftest import Scene, job_of, said

WORKERS = ["rq.worker.Worker", "rq.worker.SimpleWorker"]


def start(scene: Scene, worker_class: str, job: Job) -> subprocess.Popen[bytes]:
    """A worker that is in the middle of a job."""
    process = scene.program(worker_class, "before", burst=False)
    scene.until(lambda: scene.connection.exists(f"attempts:{job.id}"), "the job's function begins")
    return process


def horse_of(process: subprocess.Popen[bytes]) -> int:
    """The process id of a worker's work-horse."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True)
    return int(children.stdout.split()[0])


def bury(scene: Scene, job: Job) -> None:
    """Let the keys expire by which RQ knows that an execution and its worker are alive."""
    for pattern in (f"rq:execution:{job.id}:*", "rq:worker:*"):
        for key in scene.connection.scan_iter(pattern):
            scene.connection.delete(key)


def test_a_stopped_job_never_reaches_sentry(scene: Scene) -> None:
    """An operator who stops a running job is not an error."""
    job = scene.queue.enqueue(jobs.takes_long, retry=Retry(max=1))
    process = start(scene, WORKERS[0], job)
    send_stop_job_command(scene.connection, job.id)
    scene.until(lambda: job.get_status() == "stopped", "the job is stopped")
    process.send_signal(signal.SIGTERM)
    scene.finish(process)
    assert scene.sentry.events == []
    assert "job stopped" in scene.output


def test_a_finishing_job_of_a_worker_that_is_told_to_end_is_not_reported(scene: Scene) -> None:
    """A warm shutdown waits for the job, which is completed."""
    job = scene.queue.enqueue(jobs.returns_when_told)
    process = start(scene, WORKERS[0], job)
    process.send_signal(signal.SIGTERM)
    scene.connection.set("go", 1)
    scene.finish(process)
    assert (job.get_status(), scene.sentry.events) == ("finished", [])


@pytest.mark.parametrize("worker_class", WORKERS)
@pytest.mark.parametrize(("retries", "told"), [(0, [("error", "discard", "1", "AbandonedJobError")]), (1, [])])
def test_an_abandoned_job_is_reported_by_the_exporter(
    scene: Scene, worker_class: str, retries: int, told: list[tuple[str, ...]]
) -> None:
    """A worker that is killed with its job is reported by whoever finds that out, as any other failure would be."""
    job = scene.queue.enqueue(jobs.takes_long, retry=Retry(max=retries) if retries else None)
    process = start(scene, worker_class, job)
    horse = horse_of(process) if worker_class == WORKERS[0] else None
    process.kill()
    process.wait()
    if horse is not None:
        os.kill(horse, signal.SIGKILL)
    bury(scene, job)
    reconcile(scene)
    assert [said(event) for event in scene.sentry.events] == told
    for event in scene.sentry.events:
        assert event["fingerprint"] == ["sinks.sentry_jobs.takes_long", "AbandonedJobError"]
        assert job_of(event) == job.id


def test_what_a_job_says_about_reporting_holds_when_it_is_abandoned(scene: Scene) -> None:
    """The decorator of an abandoned job is heard, though nobody who is left has ever loaded the job."""
    job = scene.queue.enqueue("sinks.sentry_jobs.takes_long_in_silence")
    process = start(scene, WORKERS[1], job)
    process.kill()
    process.wait()
    bury(scene, job)
    reconcile(scene)
    assert scene.sentry.events == []


def reconcile(scene: Scene) -> None:
    """Run an exporter until it has found one abandoned execution, and end it."""
    listen = ("--redis-url", scene.redis.url, "--listen", "127.0.0.1:0")
    exporter = scene.command("exporter", *listen, "--reconcile-interval", "0.05")
    scene.until(lambda: scene.connection.hget("rq:telemetry:meta", "reconciled") == b"1", "it is reconciled")
    exporter.send_signal(signal.SIGTERM)
    scene.finish(exporter)


def test_a_cold_shutdown_is_an_abandoned_job(scene: Scene) -> None:
    """Two signals end worker and job; the job is reported once it is found."""
    job = scene.queue.enqueue(jobs.takes_long)
    process = start(scene, WORKERS[0], job)
    process.send_signal(signal.SIGTERM)
    scene.until(lambda: "arm shut down" in scene.output, "the first signal arrives")
    scene.until(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None, "the second one ends it")
    bury(scene, job)
    reconcile(scene)
    assert [said(event) for event in scene.sentry.events] == [("error", "discard", "1", "AbandonedJobError")]


def test_a_job_stuck_in_the_intermediate_queue_is_reported(scene: Scene) -> None:
    """A job whose worker died before it started it is reported by the worker that cleans up."""
    job = scene.queue.enqueue(jobs.returns)
    intermediate = IntermediateQueue(scene.queue.key, scene.connection)
    scene.connection.lmove(scene.queue.key, intermediate.key)
    scene.connection.set(intermediate.get_first_seen_key(job.id), now().timestamp() - 120)
    scene.finish(scene.program(WORKERS[0], "before"))
    (event,) = scene.sentry.events
    assert (event["level"], event["tags"]["state"]) == ("error", "discard")
    assert event["fingerprint"] == ["sinks.sentry_jobs.returns", "StuckInIntermediateQueue"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_on_a_synchronous_queue_is_reported_once(scene: Scene, when: str) -> None:
    """A job that fails in the process that enqueues it is reported from there; a cancelled one is not."""
    scene.finish(scene.program("sync", when))
    (event,) = scene.sentry.events
    assert said(event) == ("error", "discard", "1", "ValueError")
    assert job_of(event) == "sync"


def test_a_requeued_job_goes_on_counting_its_attempts(scene: Scene) -> None:
    """The attempt is the number of the job's executions, also after somebody has requeued it by hand."""
    job = scene.queue.enqueue(jobs.fails)
    scene.finish(scene.program(WORKERS[0], "before"))
    job.requeue()
    scene.finish(scene.program(WORKERS[0], "before"))
    assert [said(event)[1:3] for event in scene.sentry.events] == [("discard", "1"), ("discard", "2")]


def test_attempts_count_across_abandoned_ones(scene: Scene) -> None:
    """An abandoned attempt that RQ repeats is one of the attempts."""
    job = scene.queue.enqueue(jobs.long_at_first_then_fails, retry=Retry(max=1))
    process = start(scene, WORKERS[1], job)
    process.kill()
    process.wait()
    bury(scene, job)
    reconcile(scene)
    registry = scene.queue.started_job_registry
    for member in scene.connection.zrange(registry.key, 0, -1):
        scene.connection.zadd(registry.key, {member: 1})
    worker = Worker([Queue(connection=scene.connection)], connection=scene.connection)
    worker.clean_registries()
    scene.until(lambda: job.get_status() == "queued", "RQ repeats it")
    scene.finish(scene.program(WORKERS[0], "before"))
    assert [said(event) for event in scene.sentry.events] == [("error", "discard", "2", "ValueError")]
