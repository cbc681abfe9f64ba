"""A program that used prometheus_client runs with the import changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from time import sleep

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

import jobtelemetry
from jobtelemetry import Counter, Gauge, Histogram, MetricError
from jobtelemetry.own_metrics import doors
from jobtelemetry.testing import CollectedMetrics, collect_metrics, execute


@pytest.fixture(autouse=True)
def nothing_defined() -> Iterator[None]:
    """Names may be used again in each test."""
    doors.forget()
    yield
    doors.forget()


def program(module: object, registry: CollectorRegistry) -> None:
    """What the documentation of prometheus_client shows, with the names of whichever module it is."""
    counter, gauge, histogram = (getattr(module, name) for name in ("Counter", "Gauge", "Histogram"))

    failures = counter("my_failures", "Description of counter", registry=registry)
    failures.inc()
    failures.inc(1.6)

    @failures.count_exceptions()
    def always_fails() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        always_fails()
    with pytest.raises(ValueError, match="x"), failures.count_exceptions(ValueError):
        raise ValueError("x")
    with pytest.raises(LookupError), failures.count_exceptions(ValueError):
        raise LookupError

    inprogress = gauge("my_inprogress_requests", "Description of gauge", registry=registry)
    inprogress.inc()
    inprogress.dec(10)
    inprogress.set(4.2)
    moment = gauge("moment_seconds", "Description of gauge", registry=registry)
    moment.set_to_current_time()
    took = gauge("took_seconds", "Description of gauge", registry=registry)
    with took.time():
        pass

    latency = histogram("request_latency_seconds", "Description of histogram", registry=registry)
    latency.observe(4.7)

    @latency.time()
    def quick() -> str:
        return "done"

    assert quick() == "done"
    with latency.time():
        sleep(0)

    requests = counter("my_requests_total", "HTTP Failures", ["method", "endpoint"], registry=registry)
    requests.labels("get", "/").inc()
    requests.labels("post", "/submit").inc()
    requests.labels(method="get", endpoint="/").inc()
    requests.labels("post", 7).inc(2, {"trace_id": "abc123"})

    sizes = histogram(
        "size",
        "In bytes",
        labelnames=("kind",),
        namespace="app",
        subsystem="http",
        unit="bytes",
        registry=registry,
        buckets=[1, 10, 1e6],
    )
    sizes.labels("a").observe(5, {"trace_id": "abc123"})
    sizes.labels(kind="a").observe(1e9)


SAMPLES: list[tuple[str, dict[str, str]]] = [
    ("my_failures_total", {}),
    ("my_inprogress_requests", {}),
    ("request_latency_seconds_count", {}),
    ("request_latency_seconds_bucket", {"le": "5.0"}),
    ("request_latency_seconds_bucket", {"le": "+Inf"}),
    ("my_requests_total", {"method": "get", "endpoint": "/"}),
    ("my_requests_total", {"method": "post", "endpoint": "/submit"}),
    ("my_requests_total", {"method": "post", "endpoint": "7"}),
    ("app_http_size_bytes_bucket", {"kind": "a", "le": "10.0"}),
    ("app_http_size_bytes_bucket", {"kind": "a", "le": "1e+06"}),
    ("app_http_size_bytes_bucket", {"kind": "a", "le": "+Inf"}),
    ("app_http_size_bytes_count", {"kind": "a"}),
    ("app_http_size_bytes_sum", {"kind": "a"}),
]


def test_a_program_counts_the_same_with_the_import_changed() -> None:
    """Every sample that it would have had, it has."""
    registry = CollectorRegistry()
    program(prometheus_client, registry)
    with collect_metrics() as metrics:
        program(jobtelemetry, CollectorRegistry())
    for name, labels in SAMPLES:
        expected = registry.get_sample_value(name, labels)
        assert expected is not None, name
        assert metrics.get_sample_value(name, labels) == pytest.approx(expected), name
    assert (metrics.get_sample_value("moment_seconds") or 0) > 1.7e9
    assert (metrics.get_sample_value("took_seconds") or -1) >= 0


def test_ours_are_prometheus_client_s_for_who_asks() -> None:
    """An ``isinstance`` of a library, or an annotation, goes on to hold."""
    assert isinstance(Counter("a", "A."), prometheus_client.Counter)
    assert isinstance(Gauge("b", "B.", multiprocess_mode="livesum"), prometheus_client.Gauge)
    assert isinstance(Histogram("c", "C."), prometheus_client.Histogram)


@pytest.mark.parametrize(
    ("define", "problem"),
    [
        (lambda: Counter("jobtelemetry_mine", "A."), "names that begin with jobtelemetry_ are jobtelemetry's own"),
        (lambda: Gauge("up", "A."), "Prometheus gives this name to series that it makes itself"),
        (lambda: Gauge("scrape_duration_seconds", "A."), "Prometheus gives this name"),
        (lambda: Gauge("no name", "A."), "a metric's name has letters, digits"),
        (lambda: Gauge("é", "A."), "a metric's name has letters, digits"),
        (lambda: Gauge("", "A."), "empty"),
        (lambda: Gauge("a", "A.", ["no label"]), "a label's name has letters, digits"),
        (lambda: Gauge("a", "A.", ["__name"]), "Reserved label"),
        (lambda: Gauge("a", "A.", ["b", "b"]), "at most 20 different labels"),
        (lambda: Histogram("a", "A.", ["le"]), "Reserved label"),
        (lambda: Histogram("a", "A.", buckets=[2, 1]), "Buckets not in sorted order"),
        (lambda: Histogram("a", "A.", buckets=[1, 1]), "at most 200 different buckets"),
        (lambda: Histogram("a", "A.", buckets=[]), "at least two buckets"),
        (lambda: Gauge("a", "A.", multiprocess_mode="odd"), "Invalid multiprocess mode"),  # type: ignore[arg-type]
        (lambda: Gauge("a", "A.").set_function(lambda: 1.0), "cannot call"),
        (lambda: Counter("a", "A.").reset(), "jobtelemetry reset --metric NAME"),
    ],
)
def test_what_cannot_be_a_metric_is_refused_where_it_is_defined(define: object, problem: str) -> None:
    """With an error that says what was expected."""
    with pytest.raises(MetricError, match=problem) as error:
        define()  # type: ignore[operator]
    assert isinstance(error.value, ValueError)


def test_a_name_has_one_meaning_in_a_process() -> None:
    """The same may be defined twice, as by a module that is loaded under two names; another one may not."""
    Counter("tickets", "Tickets.", ["film"])
    Counter("tickets_total", "Tickets that were sold.", ["film"])
    expected = "defined twice in this process: as tickets_total, a counter with labels film, and as"
    for define in (
        lambda: Counter("tickets", "Tickets.", ["film", "room"]),
        lambda: Gauge("tickets_total", "Tickets.", ["film"]),
        lambda: Gauge("tickets_created", "Tickets."),
        lambda: Histogram("tickets", "Tickets.", ["film"]),
    ):
        with pytest.raises(MetricError, match=expected):
            define()


def test_what_cannot_be_measured_is_refused_as_by_prometheus_client(collected_metrics: CollectedMetrics) -> None:
    """The same mistakes raise the same kind of error."""
    counter = Counter("a", "A.", ["kind"])
    with pytest.raises(ValueError, match=r"missing label values: labels\(kind\)"):
        counter.inc()
    with pytest.raises(ValueError, match="non-negative"):
        counter.labels("x").inc(-1)
    with pytest.raises(ValueError, match="Incorrect label"):
        counter.labels("x", "y")
    with pytest.raises(ValueError, match="exceeding the limit"):
        counter.labels("x").inc(1, {"trace_id": "x" * 200})
    with pytest.raises(RuntimeError, match="mostrecent"):
        Gauge("b", "B.", multiprocess_mode="mostrecent").inc()
    assert collected_metrics.get_sample_value("a_total", {"kind": "x"}) is None


def test_what_is_no_number_is_left_out_and_said(
    collected_metrics: CollectedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum with infinity in it would be lost for ever."""
    counter = Counter("a", "A.")
    for amount in (float("inf"), float("nan"), 10**400):
        counter.inc(amount)
    counter.inc(2)
    assert collected_metrics.get_sample_value("a_total") == 2
    assert collected_metrics.measured is not None
    assert collected_metrics.measured.taken().left_out == 3
    assert [record.getMessage() for record in caplog.records] == [
        "a_total: inf cannot be added to a sum, and is left out"
    ]


def test_in_progress_is_not_tracked(collected_metrics: CollectedMetrics, caplog: pytest.LogCaptureFixture) -> None:
    """A process that is killed would be in progress for ever; it is said once, and the program runs."""
    gauge = Gauge("a", "A.")

    @gauge.track_inprogress()
    def work() -> int:
        return 7

    with caplog.at_level(logging.WARNING):
        assert work() == 7
        with gauge.track_inprogress():
            pass
    assert collected_metrics.get_sample_value("a") is None
    assert len(caplog.records) == 1


def test_a_job_s_test_can_ask_what_it_measured(collected_metrics: CollectedMetrics) -> None:
    """Threads included; without anybody who collects, nothing is kept."""
    counter = Counter("a", "A.")

    def job() -> None:
        thread = threading.Thread(target=counter.inc)
        thread.start()
        thread.join()

    assert execute(job).outcome.state.value == "completed"
    assert collected_metrics.get_sample_value("a_total") == 1


def test_without_anybody_who_collects_nothing_is_written() -> None:
    """A unit test of a job needs no Redis."""
    counter = Counter("a", "A.")
    execute(counter.inc)
    from jobtelemetry import executing

    assert executing.leftover is None
