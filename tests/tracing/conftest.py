"""A collector, workers that export to it, and a producer that does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from support.jobs import BOOKS
from support.nursery import Child
from support.stage import Stage, Theatre
from tracing.collector import Collector

#: The batch processor exports at once, so that a SIGKILLed worker has nothing left to lose.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """An OTLP/HTTP receiver on a free port."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def stage(theatre: Theatre) -> Iterator[Stage]:
    """A server, workers and an instrumented producer."""
    with theatre.stage().open() as stage:
        yield stage


class Traced:
    """A stage whose workers export to a collector."""

    def __init__(self, stage: Stage, collector: Collector) -> None:
        self.stage = stage
        self.collector = collector
        #: A busy machine may take longer than a horse waits by default.
        patient = {"JOBTELEMETRY_FLUSH_TIMEOUT": "30"}
        self.environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON, **patient}

    def worker(self, kind: str = "Worker", *, setup: str = "environment", **options: Any) -> Child:
        """Start a traced worker process."""
        stage = self.stage
        name = options.pop("name", f"worker-{len(stage._workers) + 1}")
        child = stage.nursery.start(
            "tracing.traced_worker:work",
            url=stage.server.tcp_url,
            queues=list(options.pop("on", ("default",))),
            kind=kind,
            name=name,
            instrumented=True,
            setup=setup,
            environ={BOOKS: str(stage.folder), **self.environ, **options.pop("environ", {})},
            **options,
        )
        stage._workers[name] = child
        return child

    def run(self, kind: str = "Worker", **options: Any) -> Child:
        """Start a traced worker and wait until there is nothing left to do."""
        child = self.worker(kind, **options)
        self.stage.settle(*options.get("on", ("default",)))
        return child


@pytest.fixture
def traced(stage: Stage, collector: Collector) -> Traced:
    """Workers that export to the collector."""
    return Traced(stage, collector)


@pytest.fixture
def producing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """This process exports too."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield provider
    provider.shutdown()
