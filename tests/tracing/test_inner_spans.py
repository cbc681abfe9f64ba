"""What jobs trace themselves: it arrives although RQ ends a horse with ``os._exit``, and never holds a job up."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider

from support import jobs
from support.waiting import eventually
from support.workers import WORKERS
from tracing import traced_jobs
from tracing.collector import Collector
from tracing.conftest import Traced


@pytest.mark.parametrize(
    ("kind", "setup"),
    [*((kind, "environment") for kind in WORKERS), *((kind, "code") for kind in WORKERS if kind != "SpawnWorker")],
)
def test_inner_spans_arrive(traced: Traced, collector: Collector, kind: str, setup: str) -> None:
    """Every inner span arrives once, as a child of its execution's span, whatever the batch processor's delay is."""
    for _ in range(5):
        traced.stage.enqueue(traced_jobs.look_up, 4)
    child = traced.worker(kind, setup=setup, burst=True, environ={"OTEL_BSP_SCHEDULE_DELAY": "60000"})
    child.wait()
    consumers = collector.wait_for(5, seconds=5)
    inner = collector.wait_for(20, "client", seconds=5)
    parents = {span.span_id: span.trace_id for span in consumers}
    assert sorted(span.parent for span in inner) == sorted(4 * list(parents))
    assert all(parents[span.parent] == span.trace_id for span in inner)
    assert len({span.span_id for span in inner}) == 20


def test_more_spans_than_a_batch(traced: Traced, collector: Collector) -> None:
    """A job with more spans than the queue of the batch processor keeps loses none: its thread runs in the horse."""
    traced.stage.enqueue(traced_jobs.look_up, 600)
    traced.run(environ={"OTEL_BSP_MAX_QUEUE_SIZE": "4096"})
    assert len(collector.wait_for(600, "client")) == 600


def test_nothing_is_exported_twice(traced: Traced, collector: Collector) -> None:
    """Spans that wait in the parent when it forks are exported by the parent alone."""
    for _ in range(30):
        traced.stage.enqueue(traced_jobs.look_up)
    traced.run(environ={"OTEL_BSP_SCHEDULE_DELAY": "300"})
    spans = [*collector.wait_for(30), *collector.wait_for(30, "client")]
    assert len({span.span_id for span in spans}) == 60


@pytest.mark.parametrize("state", ["down", "hangs"])
@pytest.mark.parametrize("kind", ["Worker", "SpawnWorker"])
def test_the_collector_delays_no_job_beyond_the_limit(
    traced: Traced, collector: Collector, kind: str, state: str
) -> None:
    """A horse that made spans ends within ``JOBTELEMETRY_FLUSH_TIMEOUT`` of its job, collector or no collector."""
    if state == "hangs":
        collector.hang()
    else:
        collector.close()
    stage = traced.stage
    stage.enqueue(traced_jobs.look_up)
    # The exporter itself would wait for longer than this test.
    traced.worker(kind, environ={"JOBTELEMETRY_FLUSH_TIMEOUT": "0.5", "OTEL_EXPORTER_OTLP_TIMEOUT": "120000"})
    eventually(lambda: stage.status() == "finished", "the end of the job")
    stage.settle()
    collector.go_on.set()


def test_a_hanging_collector_loses_no_consumer_span(traced: Traced, collector: Collector) -> None:
    """Consumer spans wait in the parent until the collector answers again."""
    collector.hang()
    for _ in range(10):
        traced.stage.enqueue(jobs.complete)
    traced.run()
    collector.go_on.set()
    assert len(collector.wait_for(10)) == 10


def test_a_worker_ends_although_the_collector_hangs(traced: Traced, collector: Collector) -> None:
    """A worker with spans to export ends within the limit."""
    collector.hang()
    traced.stage.enqueue(jobs.complete)
    child = traced.worker(burst=True, environ={"JOBTELEMETRY_FLUSH_TIMEOUT": "0.3"})
    assert child.wait(10) == 0


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_instrumented_clients(traced: Traced, collector: Collector, kind: str) -> None:
    """OpenTelemetry's instrumentations of Redis and urllib work beside this one; a job's calls are below its span."""
    traced.stage.enqueue(traced_jobs.fetch, f"{collector.url}/")
    traced.run(kind, setup="instrumented_clients")
    (consumer,) = collector.wait_for(1)
    assert consumer.status == "unset"
    eventually(
        lambda: {"GET", "SET"} <= {span.name for span in collector.spans if span.trace_id == consumer.trace_id},
        "the spans of the job's calls",
    )
    calls = [span for span in collector.spans if span.name in {"GET", "SET"} and span.trace_id == consumer.trace_id]
    assert {span.parent for span in calls if span.name == "GET"} == {consumer.span_id}


def test_sampled_off(traced: Traced, collector: Collector, producing: TracerProvider) -> None:
    """A trace that is not sampled is exported nowhere, has no exemplar, and stays unsampled in the job's jobs."""
    stage = traced.stage
    stage.enqueue(
        traced_jobs.enqueue_more,
        stage.server.tcp_url,
        2,
        meta={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
    )
    traced.run(on=("default", "more"))
    child = traced.worker(burst=True)
    child.wait()
    assert collector.of("consumer") == collector.of("client") == []
    assert not stage.connection.exists("rq:telemetry:exemplars")
    traces = {stage.connection.hget(key, "meta") for key in stage.connection.scan_iter("rq:job:*")}
    assert all(b"0af7651916cd43dd8448eb211c80319c" in meta for meta in traces)


def test_without_the_sdk(traced: Traced, collector: Collector) -> None:
    """A worker without an SDK runs traced jobs as if they were not."""
    traced.stage.enqueue(traced_jobs.describe)
    traced.stage.enqueue(traced_jobs.look_up)
    traced.run(setup="none")
    assert traced.stage.status("job-1") == traced.stage.status("job-2") == "finished"
    (first, _) = sorted(traced.stage.log(), key=lambda entry: entry["job"])
    assert "tt0111161" in first["attributes"]
    assert collector.spans == []
