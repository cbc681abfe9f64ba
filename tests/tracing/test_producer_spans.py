"""Every way into a queue has its PRODUCER span, and every job carries the context of the one that sent it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from rq import Queue, Repeat, Retry
from rq.decorators import job as rq_job
from rq.job import Job
from rq.registry import FailedJobRegistry

from support import jobs
from support.stage import Stage
from support.waiting import eventually
from tracing import traced_jobs
from tracing.collector import Collector
from tracing.conftest import Traced

Way = Callable[[Queue], Any]

WAYS: dict[str, Way] = {
    "enqueue": lambda queue: queue.enqueue(jobs.complete),
    "enqueue_call": lambda queue: queue.enqueue_call(jobs.complete),
    "enqueue_job": lambda queue: queue.enqueue_job(Job.create(jobs.complete, connection=queue.connection)),
    "enqueue_at": lambda queue: queue.enqueue_at(datetime(2040, 1, 1, tzinfo=timezone.utc), jobs.complete),
    "enqueue_in": lambda queue: queue.enqueue_in(timedelta(days=1), jobs.complete),
    "delay": lambda queue: rq_job(queue, connection=queue.connection)(jobs.complete).delay(),
    "dependent": lambda queue: queue.enqueue(
        jobs.complete, depends_on=Job.create(jobs.complete, id="first", connection=queue.connection)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_into_a_queue(stage: Stage, collector: Collector, producing: TracerProvider, way: str) -> None:
    """One job gives one producer span, and carries its context."""
    queue = stage.queue()
    if way == "dependent":
        Job.create(jobs.complete, id="first", connection=stage.connection).save()
    job = WAYS[way](queue)
    (span,) = collector.of("producer")
    assert (span.name, span.job) == ("enqueue default", job.id)
    assert span.attributes["messaging.operation.type"] == "send"
    assert span.attributes["rq.job.func"] == "support.jobs.complete"
    assert Job.fetch(job.id, connection=stage.connection).meta["traceparent"].split("-")[1:3] == [
        span.trace_id,
        span.span_id,
    ]


def test_enqueue_many(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """Many jobs at once give one ``create`` span each and one ``send`` span that links to them."""
    queue = traced.stage.queue()
    queue.enqueue_many([Queue.prepare_data(jobs.complete, job_id=f"job-{number}") for number in range(5)])
    traced.run()
    consumers = collector.wait_for(5)
    creates = [span for span in collector.of("producer") if span.name == "create default"]
    assert {span.job for span in creates} == {f"job-{number}" for number in range(5)}
    assert {(span.trace_id, span.parent) for span in consumers} == {(span.trace_id, span.span_id) for span in creates}
    (send,) = [span for span in collector.of("client") if span.name == "send default"]
    assert send.attributes["messaging.batch.message_count"] == 5
    assert sorted(send.links) == sorted((span.trace_id, span.span_id) for span in creates)
    assert len(collector.of("producer")) == 5


def test_many_jobs_with_dependencies(stage: Stage, collector: Collector, producing: TracerProvider) -> None:
    """A deferred job of many carries a context too."""
    first = stage.enqueue(jobs.complete)
    (job,) = stage.queue().enqueue_many([Queue.prepare_data(jobs.complete, job_id="later", depends_on=first)])
    create = collector.one(lambda span: span.name == "create default")
    assert create.span_id in stage.job(job.id).meta["traceparent"]


def test_meta_of_the_user_is_theirs(stage: Stage, producing: TracerProvider) -> None:
    """A dict that is passed as ``meta`` is not changed, and what is in it arrives."""
    meta = {"source": "cinema-city"}
    first, second = (stage.enqueue(jobs.complete, meta=meta) for _ in range(2))
    assert meta == {"source": "cinema-city"}
    assert first.meta["source"] == second.meta["source"] == "cinema-city"
    assert first.meta["traceparent"] != second.meta["traceparent"]


def test_a_context_of_the_user_wins(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A context that the user put into ``meta`` stays there, and is the consumer's parent."""
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    job = traced.stage.enqueue(jobs.complete, meta={"traceparent": given})
    traced.run()
    (span,) = collector.wait_for(1)
    assert (span.trace_id, span.parent) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert traced.stage.job(job.id).meta == {"traceparent": given}


@pytest.mark.parametrize("meta", [{}, {"traceparent": "nonsense"}, {"traceparent": 7, 8: "x"}])
def test_without_a_context_the_consumer_starts_a_trace(
    traced: Traced, collector: Collector, meta: dict[Any, Any]
) -> None:
    """A job of a producer that is not traced has a consumer span without a parent."""
    traced.stage.enqueue(jobs.complete, meta=meta)
    traced.run()
    (span,) = collector.wait_for(1)
    assert span.parent == ""


def test_link_instead_of_parent(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """With ``JOBTELEMETRY_TRACE_RELATION=link`` the consumer starts a trace that links to the producer's."""
    traced.stage.enqueue(jobs.complete)
    traced.run(environ={"JOBTELEMETRY_TRACE_RELATION": "link"})
    (span,) = collector.wait_for(1)
    (producer,) = collector.of("producer")
    assert span.parent == ""
    assert span.trace_id != producer.trace_id
    assert span.links == [(producer.trace_id, producer.span_id)]


def test_retries_are_children_of_the_one_message(
    traced: Traced, collector: Collector, producing: TracerProvider
) -> None:
    """Every attempt is a span below the producer's, numbered, and RQ's retry is no message of its own."""
    traced.stage.enqueue(jobs.fail_until, 3, retry=Retry(max=5))
    traced.run()
    spans = collector.wait_for(3)
    (producer,) = collector.of("producer")
    assert {span.parent for span in spans} == {producer.span_id}
    assert sorted(span.attributes["rq.job.attempt"] for span in spans) == [1, 2, 3]


def test_meta_saved_by_the_job(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A job that saves its ``meta`` keeps its trace."""
    job = traced.stage.enqueue(traced_jobs.forget_meta, retry=Retry(max=1))
    traced.run()
    assert len({span.trace_id for span in collector.wait_for(2)}) == 1
    assert traced.stage.job(job.id).meta["seen"] is True


def test_repeat(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A repeated job is sent again from within its execution, in one trace."""
    traced.stage.enqueue(jobs.complete, repeat=Repeat(times=2))
    traced.run()
    consumers = collector.wait_for(3)
    eventually(lambda: len(collector.of("producer")) >= 3, "the repetitions' producer spans")
    assert len(collector.of("producer")) == 3
    assert len({span.trace_id for span in [*consumers, *collector.of("producer")]}) == 1


def test_requeue(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A failed job that is requeued has a producer span that links to the first, and continues its trace."""
    job = traced.stage.enqueue(jobs.fail_until, 2)
    traced.run()
    collector.wait_for(1)
    FailedJobRegistry(queue=traced.stage.queue()).requeue(job.id)
    consumers = collector.wait_for(2)
    first, second = collector.of("producer")
    assert second.links == [(first.trace_id, first.span_id)]
    assert {span.parent for span in consumers} == {first.span_id}


def test_scheduled_jobs(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A scheduled job is one message, sent when it was scheduled, whoever moves it to its queue."""
    traced.stage.queue().enqueue_at(datetime.now(timezone.utc), jobs.complete, job_id="job-1")
    traced.worker(with_scheduler=True)
    (span,) = collector.wait_for(1)
    (producer,) = collector.of("producer")
    assert span.parent == producer.span_id
    assert producer.attributes["rq.job.scheduled_at"] > 0


def test_dependents(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A dependent is a child of the span that created it, not of the job that released it."""
    first = traced.stage.enqueue(jobs.complete)
    traced.stage.enqueue(jobs.complete, depends_on=first)
    traced.run()
    consumers = {span.job: span.parent for span in collector.wait_for(2)}
    assert consumers == {span.job: span.span_id for span in collector.of("producer")}


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker", "SpawnWorker"])
def test_jobs_enqueued_in_jobs(traced: Traced, collector: Collector, producing: TracerProvider, kind: str) -> None:
    """Jobs that a job enqueues continue its trace: one trace from the request to the last job."""
    stage = traced.stage
    with trace.get_tracer("cinema", tracer_provider=producing).start_as_current_span("request"):
        stage.enqueue(traced_jobs.enqueue_more, stage.server.tcp_url, 3)
    traced.run(kind, on=("default", "more"))
    consumers = collector.wait_for(4)
    collector.wait_for(4, "producer")
    inner = eventually(lambda: len(collector.of("client")) == 3 and collector.of("client"), "the inner spans")
    spans = [*consumers, *collector.of("producer"), *inner]
    assert len({span.trace_id for span in spans}) == 1
    by_id = {span.span_id: span for span in spans}
    for span in consumers:
        assert by_id[span.parent].kind == "producer"
        assert by_id[span.parent].job == span.job


PROPAGATORS = {
    "tracecontext,baggage": (CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]), "baggage"),
    "b3": (B3SingleFormat(), "b3"),
    "b3multi": (B3MultiFormat(), "x-b3-traceid"),
}


@pytest.mark.parametrize("name", PROPAGATORS)
def test_propagators(
    traced: Traced, collector: Collector, producing: TracerProvider, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The context travels in whatever form the configured propagator gives it."""
    propagator, key = PROPAGATORS[name]
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: propagator)
    token = context.attach(baggage.set_baggage("tenant", "cinema"))
    job = traced.stage.enqueue(traced_jobs.keep_baggage)
    context.detach(token)
    assert key in job.meta
    traced.run(environ={"OTEL_PROPAGATORS": name}, reload_propagators=True)
    (span,) = collector.wait_for(1)
    (producer,) = collector.of("producer")
    assert span.parent == producer.span_id
    expected = "cinema" if "baggage" in name else "None"
    assert (traced.stage.folder / "baggage").read_text() == expected


def test_an_enqueue_that_fails_is_an_error(
    stage: Stage, collector: Collector, producing: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception while enqueueing reaches the caller and the producer span."""
    monkeypatch.setattr(Queue, "push_job_id", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.enqueue(jobs.complete)
    (span,) = collector.of("producer")
    assert span.status == "error"


def test_without_a_provider_meta_is_untouched(stage: Stage) -> None:
    """Where no SDK is set up, nothing is added to a job."""
    job = stage.enqueue(jobs.complete, meta={"mine": 1})
    assert stage.job(job.id).meta == job.meta == {"mine": 1}


def test_old_names_on_demand(
    traced: Traced, collector: Collector, producing: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``OTEL_SEMCONV_STABILITY_OPT_IN=messaging/dup`` adds the names of version 1.24."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "messaging/dup")
    traced.stage.enqueue(jobs.complete)
    traced.run(environ={"OTEL_SEMCONV_STABILITY_OPT_IN": "messaging/dup"})
    (span,) = collector.wait_for(1)
    (producer,) = collector.of("producer")
    assert producer.attributes["messaging.operation"] == "publish"
    assert span.attributes["messaging.operation"] == "process"
    assert span.attributes["messaging.client_id"] == "worker-1"


def test_arguments_only_on_demand(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """The job's arguments are on its span only where ``JOBTELEMETRY_TRACE_ARGUMENTS`` says so."""
    traced.stage.enqueue(jobs.complete, "secret")
    traced.run(environ={"JOBTELEMETRY_TRACE_ARGUMENTS": "1"})
    (span,) = collector.wait_for(1)
    (producer,) = collector.of("producer")
    assert "secret" in span.attributes["rq.job.call"]
    assert "secret" not in str(producer.attributes)
