"""Every execution has exactly one CONSUMER span, whatever happens to it."""

from __future__ import annotations

import signal

import pytest
from opentelemetry.sdk.trace import TracerProvider
from rq import Retry
from rq.command import send_stop_job_command

from jobtelemetry.sinks.tracing import TracingSink
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs, odd_jobs
from support.waiting import eventually
from support.workers import FORKING, WORKERS
from tracing import traced_jobs
from tracing.collector import Collector
from tracing.conftest import Traced


@pytest.mark.parametrize("kind", WORKERS)
def test_each_execution_has_one_span_with_its_state(traced: Traced, collector: Collector, kind: str) -> None:
    """Completed, cancelled, snoozed, failed and discarded executions each have one span with the right status."""
    stage = traced.stage
    stage.enqueue(jobs.complete)
    stage.enqueue(jobs.cancel)
    stage.enqueue(jobs.come_again, 1, 3)
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
    stage.enqueue(jobs.fail)
    stage.enqueue(jobs.discard, retry=Retry(max=3))
    traced.run(kind)
    spans = collector.wait_for(8)
    found = sorted((span.job, span.attributes["rq.job.state"], span.status) for span in spans)
    assert found == [
        ("job-1", "completed", "unset"),
        ("job-2", "cancelled", "unset"),
        ("job-3", "completed", "unset"),
        ("job-3", "snoozed", "unset"),
        ("job-4", "completed", "unset"),
        ("job-4", "failure", "error"),
        ("job-5", "discard", "error"),
        ("job-6", "discard", "error"),
    ]
    assert len({span.span_id for span in spans}) == 8


@pytest.mark.parametrize("kind", WORKERS)
def test_attributes_follow_the_conventions(traced: Traced, collector: Collector, kind: str) -> None:
    """A span has the messaging attributes, RQ's facts and no arguments."""
    traced.stage.enqueue(jobs.cancel, job_timeout=77)
    traced.run(kind, environ={"OTEL_SERVICE_NAME": "cinema"})
    (span,) = collector.wait_for(1)
    wait = span.attributes.pop("rq.job.wait_time")
    assert 0 <= wait < 60
    assert span.attributes.pop("rq.job.cpu_time") > 0
    assert (span.attributes.pop("rq.job.peak_memory", None) is None) == (kind == "SimpleWorker")
    assert span.attributes.pop("rq.execution.id")
    assert span.attributes == {
        "messaging.system": "rq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": "job-1",
        "messaging.client.id": "worker-1",
        "rq.worker.name": "worker-1",
        "rq.job.func": "support.jobs.cancel",
        "rq.job.state": "cancelled",
        "rq.job.attempt": 1,
        "rq.job.max_attempts": 1,
        "rq.job.timeout": 77.0,
        "rq.job.cancel_reason": "movie_not_matched",
        "rq.job.cancel_detail": "no film is as similar as 0.60",
    }
    assert (span.name, span.kind, span.scope) == ("process default", "consumer", "jobtelemetry")
    assert span.resource["service.name"] == "cinema"
    assert span.end >= span.start


@pytest.mark.parametrize("kind", WORKERS)
def test_the_exception_is_recorded_once(traced: Traced, collector: Collector, kind: str) -> None:
    """A failed execution has its error type, one exception event with the stack trace, and the message as status."""
    traced.stage.enqueue(jobs.fail, "ShowtimeNotFound", "no showtime 7")
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert span.attributes["error.type"] == "ShowtimeNotFound"
    assert (span.status, span.description) == ("error", "no showtime 7")
    ((name, event),) = span.events
    assert (name, event["exception.type"]) == ("exception", "support.jobs.ShowtimeNotFound")
    assert event["exception.message"] == "no showtime 7"
    assert "in fail" in event["exception.stacktrace"]


@pytest.mark.parametrize("kind", FORKING)
@pytest.mark.parametrize(("how", "number"), [("SIGKILL", 9), ("SIGSEGV", 11), ("memory", 6)])
def test_a_killed_horse_has_its_span(traced: Traced, collector: Collector, kind: str, how: str, number: int) -> None:
    """A work-horse that is killed, segfaults or runs out of memory has a span with the signal."""
    traced.stage.enqueue(jobs.die, how)
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert span.status == "error"
    assert span.attributes["error.type"] == "WorkHorseKilled"
    assert span.attributes["rq.job.state"] == "discard"
    assert span.attributes["rq.horse.signal"] == number
    assert signal.Signals(number).name in span.description


@pytest.mark.parametrize("kind", FORKING)
def test_a_horse_that_exits_has_its_span(traced: Traced, collector: Collector, kind: str) -> None:
    """A job that calls ``os._exit(0)`` has a span with an error."""
    traced.stage.enqueue(jobs.die, "exit")
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert (span.status, span.attributes["error.type"]) == ("error", "WorkHorseExited")


@pytest.mark.parametrize("kind", WORKERS)
def test_a_timeout_has_its_span(traced: Traced, collector: Collector, kind: str) -> None:
    """A job that runs too long has a span with the timeout as its error and its real duration."""
    traced.stage.enqueue(jobs.hang_until, 9, job_timeout=1)
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert (span.status, span.attributes["error.type"]) == ("error", "JobTimeoutException")
    assert 0.9 < span.end - span.start < 20


@pytest.mark.parametrize("kind", FORKING)
def test_a_stopped_job_has_its_span(traced: Traced, collector: Collector, kind: str) -> None:
    """A job that an operator stops has a span without an error."""
    stage = traced.stage
    job = stage.enqueue(jobs.meet)
    traced.worker(kind)
    stage.meet()
    send_stop_job_command(stage.connection, job.id)
    (span,) = collector.wait_for(1)
    assert (span.status, span.attributes["rq.job.state"]) == ("unset", "stopped")


def test_an_unloadable_job_has_its_span(traced: Traced, collector: Collector) -> None:
    """A job whose function cannot be imported has a span with an error."""
    traced.stage.enqueue("cinema.gone.away")
    traced.run()
    (span,) = collector.wait_for(1)
    assert (span.status, span.attributes["rq.job.state"]) == ("error", "discard")


@pytest.mark.parametrize("kind", WORKERS)
def test_an_abandoned_execution_has_its_span(
    traced: Traced, collector: Collector, producing: TracerProvider, kind: str
) -> None:
    """When worker and horse are SIGKILLed, the reconciler makes the span, with the ids and parent it would have had."""
    stage = traced.stage
    job = stage.enqueue(jobs.meet)
    child = traced.worker(kind)
    horse = stage.meet()
    child.kill()
    stage.kill(horse)
    child.wait()
    (entry,) = stage.connection.hvals("rq:telemetry:running")
    stage.let_heartbeats_expire("worker-1")
    del stage._workers["worker-1"]
    traced.worker(name="worker-2")
    (span,) = collector.wait_for(1)
    producer = collector.one(lambda span: span.kind == "producer")
    assert (span.job, span.status, span.attributes["error.type"]) == (job.id, "error", "AbandonedJobError")
    assert (span.trace_id, span.parent) == (producer.trace_id, producer.span_id)
    assert span.span_id.encode() in entry
    assert span.end > span.start


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_a_late_ending_has_no_second_span(
    traced: Traced, collector: Collector, producing: TracerProvider, kind: str
) -> None:
    """An execution that was declared abandoned and ends later keeps the one span that the reconciler made."""
    stage = traced.stage
    stage.enqueue(jobs.meet)
    child = traced.worker(kind, burst=True)
    stage.meet()
    stage.let_heartbeats_expire("worker-1")
    (event,) = eventually(lambda: reconcile(stage.connection, Keys(), Limits()), "the abandoned execution")
    TracingSink()(event)
    collector.wait_for(1)
    stage.go()
    child.wait()
    (span,) = collector.wait_for(1)
    assert span.attributes["error.type"] == "AbandonedJobError"


def test_a_cold_shutdown_leaves_one_span(traced: Traced, collector: Collector) -> None:
    """A worker that is told twice to stop leaves its execution, and the span, to the reconciler."""
    stage = traced.stage
    stage.enqueue(jobs.meet)
    child = traced.worker()
    stage.meet()
    eventually(lambda: child.kill(signal.SIGTERM) or not child.alive, "the cold shutdown")  # RQ ignores a quick second
    assert collector.of("consumer") == []
    stage.let_heartbeats_expire("worker-1")
    del stage._workers["worker-1"]
    traced.worker(name="worker-2")
    (span,) = collector.wait_for(1)
    assert span.attributes["error.type"] == "AbandonedJobError"


@pytest.mark.parametrize("kind", WORKERS)
def test_spans_without_counting(traced: Traced, collector: Collector, kind: str) -> None:
    """Where jobtelemetry may not write to Redis, executions still have their spans, with RQ's idea of the ending."""
    traced.stage.connection.set("rq:telemetry:meta", "of another program")
    traced.stage.enqueue(jobs.complete)
    traced.stage.enqueue(jobs.fail)
    traced.run(kind)
    found = {span.job: (span.status, span.attributes["rq.job.state"]) for span in collector.wait_for(2)}
    assert found == {"job-1": ("unset", "completed"), "job-2": ("error", "discard")}


@pytest.mark.parametrize("kind", FORKING)
def test_an_orphaned_horse_makes_the_span_itself(traced: Traced, collector: Collector, kind: str) -> None:
    """When only the worker is SIGKILLed and its horse finishes, the horse exports the span: completed, once."""
    stage = traced.stage
    stage.enqueue(jobs.meet)
    child = traced.worker(kind)
    stage.meet()
    child.kill()
    child.wait()
    stage.go()
    (span,) = collector.wait_for(1)
    assert (span.status, span.attributes["rq.job.state"]) == ("unset", "completed")


@pytest.mark.parametrize("kind", FORKING)
@pytest.mark.parametrize("job", [odd_jobs.close_all_descriptors, odd_jobs.take_all_descriptors])
def test_a_horse_that_lost_its_pipe_has_one_span(traced: Traced, collector: Collector, kind: str, job) -> None:
    """A job that closes every descriptor cannot tell its worker how it ended; it has one span, the worker's."""
    traced.stage.enqueue(job)
    traced.stage.enqueue(jobs.complete)
    traced.run(kind)
    spans = collector.wait_for(2)
    assert sorted(span.job for span in spans) == ["job-1", "job-2"]
    assert {span.attributes["rq.job.state"] for span in spans} == {"completed"}
    assert traced.stage.told().handler_errors == {}


@pytest.mark.parametrize("kind", WORKERS)
def test_attributes_of_the_job(traced: Traced, collector: Collector, kind: str) -> None:
    """What a job says with ``set_attribute`` or on its current span is on the consumer span."""
    traced.stage.enqueue(traced_jobs.describe)
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert span.attributes["film.id"] == "tt0111161"
    assert span.attributes["film.length"] == 142
    assert span.attributes["film.genre"] == "drama"
    assert span.events == [("looked at", {"where": "database"})]


@pytest.mark.parametrize("kind", FORKING)
def test_attributes_outlive_the_horse(traced: Traced, collector: Collector, kind: str) -> None:
    """What a job said with ``set_attribute`` before its horse was killed is on the span and in the execution log."""
    traced.stage.enqueue(traced_jobs.describe, "tt1375666", die=True)
    traced.run(kind)
    (span,) = collector.wait_for(1)
    assert span.attributes["film.id"] == "tt1375666"
    (entry,) = traced.stage.log()
    assert "tt1375666" in entry["attributes"]


@pytest.mark.parametrize("kind", ["Worker", "SpawnWorker"])
def test_a_long_story_is_cut_and_not_lost(traced: Traced, collector: Collector, kind: str) -> None:
    """An exception whose message and stack trace do not fit through the pipe is shortened."""
    traced.stage.enqueue(traced_jobs.fail_long, 40_000)
    traced.run(kind)
    (span,) = collector.wait_for(1)
    ((_, event),) = span.events
    assert event["exception.type"] == "ValueError"
    assert 0 < len(event["exception.message"]) <= 2_000
    assert event["exception.stacktrace"]


def test_pending_spans_survive_the_end_of_the_worker(traced: Traced, collector: Collector) -> None:
    """A burst worker exports everything before it ends, whatever the delay of its batch processor is."""
    for _ in range(20):
        traced.stage.enqueue(jobs.complete)
    child = traced.worker(burst=True, environ={"OTEL_BSP_SCHEDULE_DELAY": "60000"})
    child.wait()
    assert len(collector.wait_for(20, seconds=1)) == 20


def test_a_synchronous_queue_has_its_spans(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A job of a queue with ``is_async=False`` has a producer span and a consumer span below it."""
    queue = traced.stage.queue(is_async=False)
    queue.enqueue(jobs.complete, job_id="job-1")
    queue.enqueue(jobs.fail, job_id="job-2")
    first, second = collector.wait_for(2)
    assert (first.status, second.status) == ("unset", "error")
    assert [span.span_id for span in collector.of("producer")] == [first.parent, second.parent]


def test_exemplars_carry_the_trace(traced: Traced, collector: Collector) -> None:
    """The executions counter and the duration histogram have the trace id of a sampled execution."""
    traced.stage.enqueue(jobs.complete)
    traced.run()
    (span,) = collector.wait_for(1)
    (key,) = traced.stage.connection.scan_iter("rq:telemetry:traces:*")
    exemplars = traced.stage.connection.hvals(key)
    assert exemplars
    assert all(value.startswith(f"{span.trace_id}|{span.span_id}|".encode()) for value in exemplars)
