"""What the exporter shows where everything would be too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from jobtelemetry.config import Config
from jobtelemetry.contract import DURATION_BUCKETS, JOB_DURATION, JOB_WAIT, JOBS_ENQUEUED, OTHER
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import (
    Counter,
    Histogram,
    LabelSet,
    QueueState,
    RQWorkerState,
    RunningExecution,
    Series,
    Snapshot,
)
from support.label_sets import snapshot_of

QUEUES = (
    QueueState("small", {"queued": 1, "scheduled": 2}, 50.0, 1, True),
    QueueState("large", {"finished": 90}, None, 0, False),
    QueueState("empty"),
    QueueState("middle", {"queued": 4}, 70.0, 0, False, 1),
)
RQ_WORKERS = (
    RQWorkerState("one", ("large", "small", "middle"), "busy", True),
    RQWorkerState("two", ("nowhere", "empty"), "idle", True),
)


def registry(snapshot: Snapshot, **settings: object) -> CollectorRegistry:
    """What an exporter with these settings shows."""
    found = CollectorRegistry()
    found.register(Collector(redis.Redis(), Config().with_overrides(**settings), read=lambda: snapshot))
    return found


def test_the_largest_queues_have_names_and_the_others_are_one() -> None:
    """What is summed is exact: nothing is lost, and the oldest job of them all is the oldest."""
    shown = registry(snapshot_of(queues=QUEUES, rq_workers=RQ_WORKERS), max_queues=1)
    value = shown.get_sample_value
    queues = {
        sample.labels["queue"]
        for family in shown.collect()
        for sample in family.samples
        if "queue" in sample.labels and sample.labels.get("status") != "rate_limited"
    }
    assert queues == {"large", OTHER}
    assert value("jobtelemetry_queue_jobs", {"queue": "large", "status": "finished"}) == 90
    assert value("jobtelemetry_queue_jobs", {"queue": OTHER, "status": "queued"}) == 5
    assert value("jobtelemetry_queue_oldest_job_timestamp_seconds", {"queue": OTHER}) == 50
    assert value("jobtelemetry_queue_overdue_scheduled_jobs", {"queue": OTHER}) == 1
    assert value("jobtelemetry_queue_blocked_jobs", {"queue": OTHER}) == 1


def test_an_rq_worker_counts_once_on_the_others() -> None:
    """However many of them it listens on, it is one process; a queue that only RQ workers know is among them."""
    value = registry(snapshot_of(queues=QUEUES, rq_workers=RQ_WORKERS), max_queues=1).get_sample_value
    assert value("jobtelemetry_rq_workers", {"queue": "large", "status": "busy"}) == 1
    assert value("jobtelemetry_rq_workers", {"queue": OTHER, "status": "busy"}) == 1
    assert value("jobtelemetry_rq_workers", {"queue": OTHER, "status": "idle"}) == 1


def test_a_missing_scheduler_shows_among_the_others() -> None:
    """The others have a scheduler if each of them that has scheduled jobs has one."""
    without = (*QUEUES, QueueState("waits", {"scheduled": 1}))
    labels = {"queue": OTHER}
    for queues, up in ((QUEUES, 1), (without, 0)):
        shown = registry(snapshot_of(queues=queues), max_queues=1)
        assert shown.get_sample_value("jobtelemetry_scheduler_up", labels) == up


@pytest.mark.parametrize("most", [5, None])
def test_as_many_queues_as_may_be_are_left_alone(most: int | None) -> None:
    """Five queues, of which one is known only to an RQ worker, fit into five."""
    snapshot = snapshot_of(queues=QUEUES, rq_workers=RQ_WORKERS)
    assert Cardinality(most).of_snapshot(snapshot) is snapshot
    assert Cardinality(4).of_snapshot(snapshot) is not snapshot


def test_the_same_queues_are_shown_at_every_scrape() -> None:
    """Queues of equal size are taken by name, in whatever order Redis gives them, and ``__other__`` is no queue."""
    queues = tuple(QueueState(name, {"queued": 1}) for name in ("b", OTHER, "a", "c"))
    names = [
        [queue.name for queue in Cardinality(2).of_snapshot(snapshot_of(queues=found)).queues]
        for found in (queues, queues[::-1])
    ]
    assert [sorted(found) for found in names] == [["__other__", "a", "b"]] * 2


def duration_of(detail: str, *, suffix: str) -> dict[str, float]:
    """The samples of a run time of one label set, by bound."""
    counts = {str(bound): number for number, bound in enumerate(DURATION_BUCKETS, 1)} | {"+Inf": 5}
    one = LabelSet(Series("w", "q"), 1.0, durations={State.COMPLETED: Histogram(counts, 12.5, 1.0)})
    shown = registry(snapshot_of(one), histogram_detail=detail).collect()
    return {
        sample.labels.get("le", ""): sample.value
        for family in shown
        for sample in family.samples
        if sample.name == f"{JOB_DURATION.name}_{suffix}"
    }


def test_coarse_buckets_are_some_of_the_full_ones() -> None:
    """Every third bucket with the count it has in full, so what was recorded before and after can be compared."""
    full, coarse = duration_of("full", suffix="bucket"), duration_of("coarse", suffix="bucket")
    assert list(coarse) == ["0.025", "0.25", "2.5", "30.0", "300.0", "3600.0", "+Inf"]
    assert coarse.items() <= full.items()


@pytest.mark.parametrize("detail", ["full", "coarse", "off"])
def test_count_and_sum_are_exact_in_every_detail(detail: str) -> None:
    """Means and rates need no buckets; without any there is ``+Inf``, as every histogram has it."""
    assert duration_of(detail, suffix="count") == {"": 195}
    assert duration_of(detail, suffix="sum") == {"": 12.5}
    assert duration_of(detail, suffix="bucket")["+Inf"] == 195
    assert len(duration_of("off", suffix="bucket")) == 1


def test_only_histograms_have_a_detail() -> None:
    """Other families are what they are."""
    off = Cardinality(histogram_detail="off")
    assert off.of_family(JOBS_ENQUEUED) is JOBS_ENQUEUED
    assert off.of_family(JOB_WAIT) == replace(JOB_WAIT, buckets=())


@pytest.mark.parametrize("detail", ["full", "coarse", "off"])
def test_the_reference_says_what_a_label_set_costs(detail: str) -> None:
    """As many series as ``docs/metrics.md`` says, of a label set that has everything but reasons and errors."""
    series = Series("w", "q")
    one = LabelSet(
        series,
        1.0,
        executions={state: Counter(1, 1.0) for state in State},
        durations={state: Histogram({"1.0": 1}, 1.0, 1.0) for state in State},
        wait=Histogram({"1.0": 1}, 1.0, 1.0),
        last_completed=1.0,
        cpu=1.0,
        peak_memory=1,
    )
    snapshot = snapshot_of(one, running=(RunningExecution("e", "j", series, "w", 1.0, 1),))
    shown = registry(snapshot, histogram_detail=detail).collect()
    number = sum("worker" in sample.labels for family in shown for sample in family.samples)
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{detail}` |")]
    assert row.split(" | ")[2] == str(number)
