"""Groups, webhooks, stopped callbacks, rate limits and cron: each job is counted once, in the trace that sent it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from rq import Callback, Queue, Retry
from rq.command import send_stop_job_command
from rq.cron import CronScheduler
from rq.group import Group

from support import jobs
from support.receivers import Receiver
from support.told import told
from support.waiting import eventually
from tracing.collector import Collector, Received
from tracing.conftest import Traced

since_rq_3 = pytest.mark.rq(">=3")


def enqueued(traced: Traced) -> int:
    """Times that a job was put on a queue."""
    return sum(one.enqueued for one in traced.stage.snapshot().sets)


def each_under_its_producer(collector: Collector, number: int, name: str) -> dict[str, Received]:
    """The consumer spans by job, each of them a child of the span with this name that sent its job."""
    consumers = collector.wait_for(number)
    senders = {(span.trace_id, span.span_id): span.job for span in collector.of("producer") if span.name == name}
    assert len(senders) == number
    assert {(span.trace_id, span.parent): span.job for span in consumers} == senders
    return {span.job: span for span in consumers}


def test_a_group(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """The jobs of a group are counted like others, each in the trace of the span that created it."""
    stage = traced.stage
    group = Group.create(stage.connection, name="showtimes")
    functions = (jobs.complete, jobs.fail, jobs.cancel)
    group.enqueue_many(stage.queue(), [Queue.prepare_data(function, job_id=stage.next_id()) for function in functions])
    traced.run()
    spans = each_under_its_producer(collector, 3, "create default")
    assert {job: span.attributes["rq.job.state"] for job, span in spans.items()} == {
        "job-1": "completed",
        "job-2": "discard",
        "job-3": "cancelled",
    }
    assert enqueued(traced) == 3
    expected = told(completed=1, discard=1, cancelled=1, errors={"ValueError": 1}, reasons={"movie_not_matched": 1})
    assert stage.told() == expected
    assert {job.id for job in group.get_jobs()} == {"job-1", "job-2", "job-3"}


class Listener(Receiver):
    """Takes webhooks, and refuses those that are broken."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        super().__init__(self._hear)

    def _hear(self, path: str, body: bytes) -> int:
        self.heard.append(path)
        return 500 if "broken" in path else 204


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A receiver of webhooks."""
    listener = Listener()
    yield listener
    listener.close()


@since_rq_3
@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_webhooks(traced: Traced, collector: Collector, listener: Listener, kind: str) -> None:
    """What finished and what failed for good calls its webhook, a Cancel none; one that is refused changes no count."""
    from rq.webhook import Webhook

    stage = traced.stage

    def hooks(name: str) -> list[Webhook]:
        return [Webhook(f"{listener.url}/{name}/{status}", status, method="POST") for status in ("finished", "failed")]

    stage.enqueue(jobs.complete, webhooks=hooks("complete"))
    stage.enqueue(jobs.fail, webhooks=hooks("fail"))
    stage.enqueue(jobs.cancel, webhooks=hooks("cancel"))
    stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1), webhooks=hooks("retried"))
    stage.enqueue(jobs.complete, webhooks=hooks("broken"))
    traced.run(kind)
    states = sorted(span.attributes["rq.job.state"] for span in collector.wait_for(6))
    assert states == ["cancelled", "completed", "completed", "completed", "discard", "failure"]
    assert sorted(listener.heard) == ["/broken/finished", "/complete/finished", "/fail/failed", "/retried/finished"]
    assert stage.told() == told(
        completed=3,
        failure=1,
        discard=1,
        cancelled=1,
        errors={"ValueError": 2},
        reasons={"movie_not_matched": 1},
    )


def test_a_stopped_callback(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A stopped job has called its callback, is counted once as stopped, and its span has no error."""
    stage = traced.stage
    stage.enqueue(jobs.meet, retry=Retry(max=2), on_stopped=Callback(jobs.stopped))
    traced.worker()
    stage.meet()
    send_stop_job_command(stage.connection, "job-1")
    stage.settle()
    span = each_under_its_producer(collector, 1, "enqueue default")["job-1"]
    assert (span.attributes["rq.job.state"], span.status) == ("stopped", "unset")
    assert stage.book("callbacks") == ["stopped job-1"]
    assert stage.told() == told(stopped=1)


@since_rq_3
def test_a_rate_limit(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """What a limit holds back is enqueued once, runs once, and stays in the trace that sent it."""
    from rq import RateLimit

    stage = traced.stage
    limit = RateLimit("distributor", concurrency=1)
    stage.enqueue(jobs.meet, rate_limit=limit)
    stage.enqueue(jobs.complete, rate_limit=limit)
    stage.enqueue(jobs.fail, rate_limit=limit)
    assert stage.snapshot().rate_limited == 2
    traced.worker()
    stage.meet()
    stage.go()
    eventually(lambda: stage.calls == 3, "three executions")
    stage.settle()
    spans = each_under_its_producer(collector, 3, "enqueue default")
    waits = {job: span.attributes["rq.job.wait_time"] for job, span in spans.items()}
    assert waits["job-2"] >= spans["job-1"].end - spans["job-1"].start
    assert enqueued(traced) == 3
    assert stage.snapshot().rate_limited == 0
    assert stage.told() == told(completed=2, discard=1, errors={"ValueError": 1})


def test_cron(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """Each run of a cron job is a message of its own: counted as enqueued, and a trace from there to its end."""
    stage = traced.stage
    cron = CronScheduler(connection=stage.connection)
    cron.register(jobs.complete, queue_name="default", interval=3600)
    cron.register(jobs.cancel, queue_name="default", interval=3600)
    cron.enqueue_jobs()
    assert enqueued(traced) == 2
    traced.run()
    spans = each_under_its_producer(collector, 2, "enqueue default").values()
    assert len({span.trace_id for span in spans}) == 2
    assert sorted(span.attributes["rq.job.state"] for span in spans) == ["cancelled", "completed"]
    assert stage.told() == told(completed=1, cancelled=1, reasons={"movie_not_matched": 1})
