"""From a snapshot to what Prometheus reads."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from jobtelemetry import contract
from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.record import Limits, append_enqueued
from jobtelemetry.store.scripts import execute
from jobtelemetry.store.snapshot import Counter, Histogram, RateLimitState, RQWorkerState, Series, Snapshot
from support.needed import needed
from support.waiting import eventually

WORKER, QUEUE = "cinema.jobs.process_showtime", "showtimes"
LABELS = {"worker": WORKER, "queue": QUEUE}


def registry_of(snapshot: Snapshot) -> CollectorRegistry:
    """A registry with a collector that reads this snapshot."""
    registry = CollectorRegistry()
    registry.register(Collector(redis.Redis(), Config(), read=lambda: snapshot))
    return registry


def samples(snapshot: Snapshot, name: str) -> Iterator[Sample]:
    """All samples of that name."""
    return (sample for family in registry_of(snapshot).collect() for sample in family.samples if sample.name == name)


def test_registering_does_no_io() -> None:
    """A collector can be registered while Redis is away, and reads nothing until it is collected."""

    def read() -> Snapshot:
        pytest.fail("registering must not read")

    collector = Collector(redis.Redis(host="192.0.2.1"), Config(), read=read)
    CollectorRegistry(auto_describe=True).register(collector)
    assert [family.type for family in collector.describe()] == [family.kind.value for family in contract.FAMILIES]


@pytest.mark.parametrize("within", [0.2, None], ids=["a hurried scrape", "the time limit"])
def test_a_first_read_that_takes_longer_is_under_way(
    redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, within: float | None
) -> None:
    """It is read on page by page, says how far it is and that Redis is up, and shows no number before it is whole."""
    connection, keys = redis_server.connection(), Keys("many")
    pipe = connection.pipeline(transaction=False)
    for number in range(1000):
        append_enqueued(pipe, keys, worker=f"w{number}", queue="q", limits=Limits())
    execute(pipe)
    pages, go_on, read = [], threading.Event(), Reader.read

    def slowly(self: Reader, gets_on: Callable[[], None]) -> Snapshot:
        def stop_after_a_few() -> None:
            gets_on()
            pages.append(1)
            while len(pages) == 4 and not go_on.wait(0.02):
                gets_on()

        return read(self, stop_after_a_few)

    monkeypatch.setattr(Reader, "read", slowly)
    collector = Collector(connection, Config(key_prefix="many"), time_limit=0.1 if within is None else 5.0)

    def look() -> dict[str, list[float]]:
        metrics = collector.collect_within(within)
        return {metric.name: [sample.value for sample in metric.samples] for metric in metrics if metric.samples}

    try:
        eventually(lambda: look().get("jobtelemetry_label_sets"), "Redis has said how much there is")
        for _ in range(2):
            answer = look()
            assert answer["jobtelemetry_up"] == [1.0]
            assert answer["jobtelemetry_label_sets"] == [1000.0]
            assert 0 <= answer["jobtelemetry_label_sets_read"][0] < 1000.0
            assert "jobtelemetry_job_executions" not in answer
            assert "jobtelemetry_queue_jobs" not in answer
    finally:
        go_on.set()
    answer = eventually(lambda: (found := look()).get("jobtelemetry_jobs_enqueued") and found, "all of it is read")
    assert len([value for value in answer["jobtelemetry_jobs_enqueued"] if value == 1.0]) == 1000
    assert (answer["jobtelemetry_label_sets"], answer["jobtelemetry_label_sets_read"]) == ([1000.0], [1000.0])


def test_every_family_of_the_contract_is_exported(cinema: Snapshot) -> None:
    """What is collected is the contract: the same names in the same order with the same help, type and labels."""
    collected = list(registry_of(cinema).collect())
    assert [_full_name(metric) for metric in collected] == [family.name for family in contract.FAMILIES]
    for metric, family in zip(collected, contract.FAMILIES, strict=True):
        assert (metric.type, metric.documentation) == (family.kind.value, family.help)
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def _full_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_the_old_query_has_its_answer(cinema: Snapshot) -> None:
    """The sum by worker and state is what the old table would have said, with all states there."""
    registry = registry_of(cinema)
    counts = {
        state: registry.get_sample_value("jobtelemetry_job_executions_total", {**LABELS, "state": state.value})
        for state in State
    }
    assert counts == dict.fromkeys(State, 0) | {State.COMPLETED: 738, State.CANCELLED: 536}
    reason = {**LABELS, "reason": "movie_not_matched"}
    assert registry.get_sample_value("jobtelemetry_job_cancellations_total", reason) == 536


def test_histograms_are_cumulative(cinema: Snapshot) -> None:
    """Every bucket counts what is below it, the last one is the count, and the sum is there."""
    labels = {**LABELS, "state": "completed"}
    buckets = [
        s for s in samples(cinema, "jobtelemetry_job_duration_seconds_bucket") if labels.items() <= s.labels.items()
    ]
    by_bound = {sample.labels["le"]: sample.value for sample in buckets}
    assert list(by_bound) == [*map(repr, contract.DURATION_BUCKETS), "+Inf"]
    assert list(by_bound.values()) == sorted(by_bound.values())
    assert (by_bound["0.025"], by_bound["0.05"], by_bound["0.1"], by_bound["+Inf"]) == (0, 400, 700, 738)
    registry = registry_of(cinema)
    assert registry.get_sample_value("jobtelemetry_job_duration_seconds_count", labels) == 738
    assert registry.get_sample_value("jobtelemetry_job_duration_seconds_sum", labels) == 61.2


def test_buckets_of_an_earlier_version_are_folded(cinema: Snapshot) -> None:
    """Counts under a bound that the contract no longer has go to the next larger one, with their exemplar."""
    series = Series(WORKER, QUEUE)
    exemplar = cinema.durations[series, State.COMPLETED].exemplars["1.0"]
    old = Histogram({"0.3": 5, "0.5": 1}, 2.0, 1.0, {"0.3": exemplar})
    snapshot = replace(cinema, durations={(series, State.COMPLETED): old})
    found = {s.labels["le"]: s for s in samples(snapshot, "jobtelemetry_job_duration_seconds_bucket")}
    assert (found["0.25"].value, found["0.5"].value, found["+Inf"].value) == (0, 6, 6)
    assert found["0.5"].exemplar is not None
    assert found["0.5"].exemplar.labels["trace_id"] == exemplar.trace_id


def test_created_and_exemplars_are_in_openmetrics(cinema: Snapshot) -> None:
    """OpenMetrics has when each series began, and the trace of a recent execution for counter and bucket."""
    text = generate_openmetrics(registry_of(cinema)).decode()
    families = {family.name: family for family in parse_openmetrics(text)}
    executions = families["jobtelemetry_job_executions"]
    with_trace = [sample for sample in executions.samples if sample.exemplar]
    assert [sample.labels["state"] for sample in with_trace] == ["completed"]
    assert with_trace[0].exemplar.labels == {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }
    created = [sample for sample in executions.samples if sample.name.endswith("_created")]
    assert len(created) == len(cinema.executions)
    assert {sample.value for sample in created} == {cinema.created}
    duration = families["jobtelemetry_job_duration_seconds"]
    assert [sample.labels["le"] for sample in duration.samples if sample.exemplar] == ["1.0"]
    assert sum(sample.name.endswith("_created") for sample in duration.samples) == len(cinema.durations)


def test_the_text_format_parses(cinema: Snapshot) -> None:
    """The classic format says the same numbers."""
    families = {family.name: family for family in parse_text(generate_latest(registry_of(cinema)).decode())}
    values = {
        s.labels["state"]: s.value
        for s in families["jobtelemetry_job_executions"].samples
        if s.labels.get("worker") == WORKER and s.name.endswith("_total")
    }
    assert values["completed"] == 738


@pytest.mark.parametrize("source", ["", "cinema_city"])
def test_promtool_has_nothing_to_say(cinema: Snapshot, source: str) -> None:
    """Prometheus' own linter accepts the names, types and help texts."""
    text = generate_latest(registry_of(_with_source(cinema, source)))
    checked = subprocess.run(
        [needed("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def _with_source(snapshot: Snapshot, source: str) -> Snapshot:
    extra = (("source", source),) if source else ()

    def rename(mapping: dict[object, object]) -> dict[object, object]:
        return {
            key._replace(extra=extra) if isinstance(key, Series) else (key[0]._replace(extra=extra), key[1]): value
            for key, value in mapping.items()
        }

    families = (
        "seen",
        "executions",
        "cancellations",
        "errors",
        "durations",
        "waits",
        "enqueued",
        "cancelled_unstarted",
        "last_completed",
    )
    running = tuple(replace(run, series=run.series._replace(extra=extra)) for run in snapshot.running)
    return replace(snapshot, running=running, **{name: rename(getattr(snapshot, name)) for name in families})


def test_the_source_is_a_label_only_where_there_is_one(cinema: Snapshot) -> None:
    """Job families get the label once any series has a source; queue families never do."""
    assert not any("source" in s.labels for family in registry_of(cinema).collect() for s in family.samples)
    for metric in registry_of(_with_source(cinema, "cinema_city")).collect():
        for sample in metric.samples:
            assert sample.labels.get("source") == ("cinema_city" if "worker" in sample.labels else None)


def test_running_executions_and_the_oldest(cinema: Snapshot) -> None:
    """Every known series says how many run, 0 included, and only running ones say since when."""
    running = {s.labels["worker"]: s.value for s in samples(cinema, "jobtelemetry_executions_running")}
    assert running["cinema.jobs.MovieDetailJob"] == 2
    assert running[WORKER] == 0
    oldest = {
        s.labels["worker"]: s.value for s in samples(cinema, "jobtelemetry_execution_oldest_start_timestamp_seconds")
    }
    assert oldest == {"cinema.jobs.MovieDetailJob": cinema.taken_at - 9}


def test_queues_show_every_status(cinema: Snapshot) -> None:
    """Each queue has every status, and rate-limited jobs are told once for all queues."""
    found = {
        (s.labels["queue"], s.labels["status"]): s.value
        for s in samples(replace(cinema, rate_limits=(RateLimitState("api", held=7),)), "jobtelemetry_queue_jobs")
    }
    assert found["movies", "queued"] == 12
    assert found["default", "queued"] == 0
    assert found["", "rate_limited"] == 7
    assert len(found) == len(cinema.queues) * (len(contract.QUEUE_STATUSES) - 1) + 1


def test_rq_workers_count_on_each_queue_they_listen_to(cinema: Snapshot) -> None:
    """A worker of two queues is there for both, and every queue has every status."""
    shy = RQWorkerState("new", ("movies", "mail"), "", True)
    snapshot = replace(cinema, rq_workers=(*cinema.rq_workers, shy))
    found = {(s.labels["queue"], s.labels["status"]): s.value for s in samples(snapshot, "jobtelemetry_rq_workers")}
    assert found["movies", "busy"] == found["movies", "idle"] == 2
    assert found["movies", "started"] == found["mail", "started"] == 1
    assert found["mail", "busy"] == 0
    assert len(found) == 4 * len(contract.RQ_WORKER_STATUSES)


def test_the_audit_is_exported(cinema: Snapshot) -> None:
    """The gap between RQ's count and ours, and the workers that nobody watches, are figures of their own."""
    blind = replace(
        cinema,
        rq_workers=(RQWorkerState("a", ("q",), "busy", False, 17), RQWorkerState("b", ("q",), "busy", True, 5, 0, 9)),
    )
    registry = registry_of(blind)
    assert registry.get_sample_value("jobtelemetry_unrecorded_executions") == 17
    assert registry.get_sample_value("jobtelemetry_rq_workers_uninstrumented") == 1
    assert registry_of(cinema).get_sample_value("jobtelemetry_unrecorded_executions") == 0


def test_counters_of_the_telemetry_itself(cinema: Snapshot) -> None:
    """Hook errors, reconciled and late executions and dropped observations are exported."""
    dropped = {"jobtelemetry_job_errors_total": 4}
    registry = registry_of(replace(cinema, handler_errors={"record": 3}, dropped=dropped, reconciled=2, late=1))
    assert registry.get_sample_value("jobtelemetry_handler_errors_total", {"hook": "record"}) == 3
    assert registry.get_sample_value("jobtelemetry_executions_reconciled_total") == 2
    assert registry.get_sample_value("jobtelemetry_executions_reconciled_created") == cinema.created
    assert registry.get_sample_value("jobtelemetry_executions_late_total") == 1
    assert (
        registry.get_sample_value("jobtelemetry_series_dropped_total", {"family": "jobtelemetry_job_errors_total"}) == 4
    )


def test_odd_label_values_survive(cinema: Snapshot) -> None:
    """Quotes, backslashes, line breaks and other scripts come back from the parsers as they were."""
    odd = Series('a"b\\c\nd', "kolejka-żółta")
    snapshot = replace(cinema, executions={(odd, State.COMPLETED): Counter(1, 5.0)}, seen={odd: 5.0})
    for parse, generate in ((parse_text, generate_latest), (parse_openmetrics, generate_openmetrics)):
        families = {family.name: family for family in parse(generate(registry_of(snapshot)).decode())}
        labels = families["jobtelemetry_job_executions"].samples[0].labels
        assert labels == {"worker": odd.worker, "queue": odd.queue, "state": "completed"}


def test_without_redis_only_the_scrape_is_described() -> None:
    """When nothing can be read the collector says up 0 and how long it tried, and invents no zeros."""

    def read() -> Snapshot:
        raise redis.ConnectionError("refused")

    registry = CollectorRegistry()
    registry.register(Collector(redis.Redis(), Config(), read=read))
    collected = {family.name: family.samples[0].value for family in registry.collect() if family.samples}
    assert collected.pop("jobtelemetry_scrape_duration_seconds") >= 0
    assert collected == {"jobtelemetry_up": 0, "jobtelemetry_build_info": 1}
