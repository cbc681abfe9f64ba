"""Metrics by OTLP: a real receiver gets the numbers that Prometheus scrapes, in the names of the conventions."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import Metric
from prometheus_client.samples import Exemplar

from jobtelemetry import Collector, contract
from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.exporter.otlp import pushing
from jobtelemetry.exporter.points import ATTRIBUTES, Converter, name_of
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Booking, Limits, append_enqueued, append_finish
from jobtelemetry.store.scripts import execute
from support.receivers import Receiver, grpc_receiver
from support.waiting import eventually

WORKER = "cinema.jobs.Resize"


class Metrics(Receiver):
    """An OTLP/HTTP receiver, which can refuse."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.refuse = False
        self.refused = 0
        super().__init__(self._answer)

    def _answer(self, path: str, body: bytes) -> int:
        if self.refuse:
            self.refused += 1
            return 400
        self.requests.append(ExportMetricsServiceRequest.FromString(body))
        return 200

    @property
    def metrics(self) -> dict[str, Any]:
        """The newest of each, by name."""
        return {
            metric.name: metric
            for request in self.requests
            for part in request.resource_metrics
            for scope in part.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """A receiver that the environment names."""
    receiver = Metrics()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=tickets,deployment.environment.name=test")
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def record(server: EmbeddedServer) -> Iterator[Callable[..., None]]:
    """``record(state, number)`` writes executions as the hooks do."""
    connection, keys = server.connection(), Keys()
    connection.flushall()

    def write(state: State = State.COMPLETED, number: int = 1, **facts: Any) -> None:
        pipe = connection.pipeline(transaction=False)
        for index in range(number):
            event = ExecutionEvent(
                f"{state}-{index}-{id(facts)}", "job", WORKER, "default", "pool", Outcome(state), **facts
            )
            append_finish(
                pipe, keys, event, job_key="j", rq_worker_key=keys.rq_worker("x"), limits=Limits(), booking=Booking()
            )
            append_enqueued(pipe, keys, WORKER, "default", limits=Limits())
        execute(pipe)

    yield write
    connection.close()


def scraped(collector: Collector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample that Prometheus would get, under the names that OTLP has for them."""
    return {
        (sample.name, frozenset((ATTRIBUTES.get(name, name), value) for name, value in sample.labels.items())): (
            sample.value
        )
        for metric in collector.collect()
        for sample in metric.samples
    }


def pushed(receiver: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What the receiver has, as Prometheus' samples: buckets cumulative, sums and counts by themselves."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    by_name = {name_of(family.name.removesuffix("_total")).name: family for family in contract.FAMILIES}
    for name, metric in receiver.metrics.items():
        family = by_name[name]
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            labels = {
                pair.key: pair.value.string_value
                for pair in point.attributes
                if pair.key not in ("messaging.system", "messaging.operation.name")
            }
            if family.kind is not contract.Kind.HISTOGRAM:
                value = getattr(point, point.WhichOneof("value"))
                found[family.name, frozenset(labels.items())] = value
                continue
            below = 0
            bounds = [repr(bound) for bound in point.explicit_bounds] + ["+Inf"]
            for bound, count in zip(bounds, point.bucket_counts, strict=True):
                below += count
                found[f"{family.name}_bucket", frozenset({**labels, "le": bound}.items())] = below
            found[f"{family.name}_count", frozenset(labels.items())] = point.count
            found[f"{family.name}_sum", frozenset(labels.items())] = point.sum
    return found


def test_otlp_and_prometheus_show_the_same_numbers(
    server: EmbeddedServer, record: Callable[..., None], receiver: Metrics
) -> None:
    """Every sample of a scrape but the moments of creation is in the push, with the same value, and nothing else is."""
    record(State.COMPLETED, 7, duration=0.3, wait=2.0, cpu=0.25, memory=300_000_000)
    record(State.CANCELLED, 2, duration=0.001)
    record(State.DISCARD, 1, duration=70.0)
    collector = Collector(server.connection(), Config())
    with pushing(collector):
        eventually(lambda: receiver.requests, "a push")
    found, expected = pushed(receiver), scraped(collector)
    expected = {key: value for key, value in expected.items() if not key[0].endswith("_created")}
    timed = {("jobtelemetry_scrape_duration_seconds", frozenset[tuple[str, str]]())}
    assert found.keys() == expected.keys()
    assert {key: found[key] for key in found.keys() - timed} == {key: expected[key] for key in expected.keys() - timed}


def test_names_and_attributes_are_those_of_the_conventions(
    server: EmbeddedServer, record: Callable[..., None], receiver: Metrics
) -> None:
    """What the messaging conventions have a name for has it, with its unit, start and exemplar; the resource is set."""
    trace_id, span_id = "ab" * 16, "cd" * 8
    record(State.COMPLETED, 3, duration=0.3, trace_id=trace_id, span_id=span_id)
    with pushing(Collector(server.connection(), Config())):
        eventually(lambda: receiver.requests, "a push")
    found = receiver.metrics
    consumed = found["messaging.client.consumed.messages"]
    assert consumed.unit == "{message}"
    assert (consumed.sum.is_monotonic, consumed.sum.aggregation_temporality) == (True, 2)
    (point,) = [point for point in consumed.sum.data_points if point.as_int]
    assert {pair.key: pair.value.string_value for pair in point.attributes} == {
        "messaging.system": "rq",
        "messaging.operation.name": "process",
        "messaging.destination.name": "default",
        "rq.job.func": WORKER,
        "rq.job.state": "completed",
    }
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    (ran,) = found["messaging.process.duration"].histogram.data_points
    assert found["messaging.process.duration"].unit == "s"
    assert ran.count == 3
    assert {(mark.trace_id.hex(), mark.span_id.hex()) for mark in ran.exemplars} == {(trace_id, span_id)}
    (sent,) = found["messaging.client.sent.messages"].sum.data_points
    assert sent.as_int == 3
    resource = {
        pair.key: pair.value.string_value for pair in receiver.requests[0].resource_metrics[0].resource.attributes
    }
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("tickets", "test")


def test_deltas_lose_nothing_that_a_collector_refused(
    server: EmbeddedServer, record: Callable[..., None], receiver: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With delta temporality the points add up to what ended since the first one, whatever was refused meanwhile."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    record(State.COMPLETED, 5, duration=0.3)

    def added() -> int:
        return sum(
            point.as_int
            for request in receiver.requests
            for part in request.resource_metrics
            for scope in part.scope_metrics
            for metric in scope.metrics
            if metric.name == "messaging.client.consumed.messages"
            for point in metric.sum.data_points
        )

    with pushing(Collector(server.connection(), Config())):
        eventually(lambda: receiver.requests, "a push")
        record(State.COMPLETED, 2, duration=0.3)
        eventually(lambda: added() == 2, "the first delta")
        receiver.refuse = True
        record(State.COMPLETED, 3, duration=0.3)
        record(State.DISCARD, 1, duration=0.3)
        before = receiver.refused
        eventually(lambda: receiver.refused > before + 1, "a refused push of them")
        receiver.refuse = False
        eventually(lambda: added() == 6, "what was refused")
    assert added() == 6


def test_a_converter_begins_anew_where_a_counter_does() -> None:
    """A counter that is smaller, or was created anew, counts from nothing; a gauge is never a delta."""

    def found(value: float, created: float) -> list[Metric]:
        counter = Metric("jobtelemetry_job_rate_limited", "", "counter")
        labels = {"worker": "w", "queue": "q"}
        counter.add_sample("jobtelemetry_job_rate_limited_total", labels, value)
        counter.add_sample("jobtelemetry_job_rate_limited_created", labels, created)
        return [counter]

    converter = Converter(delta_sums=True)
    assert converter.convert(found(10, 1)) == []

    def delta(value: float, created: float) -> Any:
        (metric,) = converter.convert(found(value, created))
        converter.arrived()
        return metric.data.data_points[0].value

    assert [delta(14, 1), delta(3, 1), delta(5, 2), delta(5, 2)] == [4, 3, 5, 0]


def test_users_own_metrics_keep_their_names() -> None:
    """A metric of the application's goes under its own name, whatever its exemplars say and its buckets become."""

    def found(*bounds: str) -> list[Metric]:
        own = Metric("tickets_price_euros", "what they cost", "histogram")
        for number, bound in enumerate((*bounds, "+Inf"), 1):
            mark = Exemplar({"trace_id": "mine"}, 3.0)
            own.add_sample("tickets_price_euros_bucket", {"film": "4124", "le": bound}, float(number), exemplar=mark)
        own.add_sample("tickets_price_euros_count", {"film": "4124"}, len(bounds) + 1.0)
        return [own]

    converter = Converter(delta_histograms=True)
    assert converter.convert(found("5", "10")) == []
    (metric,) = converter.convert(found("5", "7", "10"))
    (point,) = metric.data.data_points
    assert (metric.name, dict(point.attributes)) == ("tickets_price_euros", {"film": "4124"})
    assert (point.count, point.sum, tuple(point.explicit_bounds)) == (4, 0.0, (5.0, 7.0, 10.0))


@pytest.mark.parametrize(
    ("variable", "value", "pushes"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon", False),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json", False),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes", True),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "soon", True),
    ],
)
def test_a_bad_environment_is_one_line_and_stops_no_scrape(
    server: EmbeddedServer,
    record: Callable[..., None],
    receiver: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
    pushes: bool,
) -> None:
    """A variable that cannot be used is named in one line; what can be pushed is, and scrapes go on."""
    monkeypatch.setenv(variable, value)
    record()
    collector = Collector(server.connection(), Config())
    with caplog.at_level(logging.WARNING), pushing(collector):
        if pushes:
            eventually(lambda: receiver.requests, "a push")
        assert any(metric.samples for metric in collector.collect())
    (line,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert variable in getattr(line, "problem", line.getMessage())
    assert bool(receiver.requests) == pushes


@pytest.mark.parametrize("how", ["--otlp", "OTEL_METRICS_EXPORTER"])
def test_the_command_pushes_until_it_ends(
    server: EmbeddedServer, record: Callable[..., None], receiver: Metrics, how: str
) -> None:
    """``jobtelemetry exporter --otlp``, or the variable, pushes beside its scrapes until it is told to end."""
    record(State.COMPLETED, 2)
    options, environ = ([how], {}) if how.startswith("--") else ([], {how: "otlp"})
    command = [sys.executable, "-m", "jobtelemetry", "exporter", "--redis-url", server.url, "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*command, *options], env=os.environ | environ, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: "messaging.client.consumed.messages" in receiver.metrics, "a push", 60)
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert receiver.metrics["jobtelemetry.up"].gauge.data_points[0].as_int == 1


def test_the_same_numbers_arrive_over_grpc(server: EmbeddedServer, record: Callable[..., None], tmp_path: Path) -> None:
    """With ``OTEL_EXPORTER_OTLP_PROTOCOL=grpc`` a real receiver of gRPC gets them, and a refusal does not end it."""
    record(State.COMPLETED, 3)
    with grpc_receiver(tmp_path) as endpoint:
        environ = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        command = ["-m", "jobtelemetry", "exporter", "--otlp", "--redis-url", server.url, "--listen", "127.0.0.1:0"]
        with subprocess.Popen(
            [sys.executable, "-W", "error", *command], env=os.environ | environ, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                eventually(lambda: len(list(tmp_path.glob("*.metrics"))) > 2, "pushes after one that is refused")
            finally:
                process.terminate()
            _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    newest = max(tmp_path.glob("*.metrics"), key=lambda path: int(path.stem))
    request = ExportMetricsServiceRequest.FromString(newest.read_bytes())
    (scope,) = request.resource_metrics[0].scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    assert {point.as_int for point in found["messaging.client.consumed.messages"].sum.data_points} == {0, 3}


def test_the_table_of_names_is_complete() -> None:
    """docs/otlp.md has every family with its name, kind and unit."""
    page = (Path(__file__).parents[2] / "docs" / "otlp.md").read_text()
    for family in contract.FAMILIES:
        name, unit, *_ = name_of(family.name.removesuffix("_total"))
        row = f"| `{family.name}` | `{name}` | {family.kind.value} | {f'`{unit}`' if unit else ''} |"
        assert row in page, row
