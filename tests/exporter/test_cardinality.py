"""What the exporter shows where everything would be too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import redis
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from jobtelemetry.cli import main
from jobtelemetry.config import Config
from jobtelemetry.contract import DURATION_BUCKETS, JOB_DURATION, JOB_WAIT, JOBS_ENQUEUED, OTHER
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import (
    Counter,
    Exemplar,
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


def test_each_family_has_its_own_choice() -> None:
    """The very bounds that are wanted, for one of the two; the other is full, or what is said of it."""
    own = Cardinality(histogram_detail="duration=0.1/1/10")
    assert own.of_family(JOB_DURATION).buckets == (0.1, 1.0, 10.0)
    assert own.of_family(JOB_WAIT) is JOB_WAIT
    both = Cardinality(histogram_detail="wait=off,duration=coarse")
    assert both.of_family(JOB_WAIT).buckets == ()
    assert both.of_family(JOB_DURATION) == Cardinality(histogram_detail="coarse").of_family(JOB_DURATION)
    kept = duration_of("duration=0.1/1/10", suffix="bucket")
    assert list(kept) == ["0.1", "1.0", "10.0", "+Inf"]
    assert kept.items() <= duration_of("full", suffix="bucket").items()
    assert duration_of("duration=0.1/1/10", suffix="count") == {"": 195}


@pytest.mark.parametrize("detail", ["duration=0.3", "wait=1/2", "duration=1..0"])
def test_a_bound_that_was_never_counted_is_an_error(detail: str) -> None:
    """What lies between two bounds cannot be known; the message has those that can be kept."""
    with pytest.raises(ConfigError, match=r"can keep of jobtelemetry_job_\w+ the bounds 0\.0"):
        Cardinality(histogram_detail=detail)


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("full", []),
        ("coarse", ["QueueJobsStartLate never fires: latency_target is 45 s"]),
        ("wait=1/60", ["latency_target is 45 s, and the bounds kept of waits are 1, 60"]),
        ("off", ["buckets of run times", "buckets of waits"]),
    ],
)
def test_what_a_choice_takes_from_dashboards_is_said(detail: str, said: list[str]) -> None:
    """``mixin build`` prints it."""
    losses = list(Cardinality(histogram_detail=detail).losses(60.0 if detail == "full" else 45.0))
    assert len(losses) == len(said)
    assert all(text in loss for text, (_, loss) in zip(said, losses, strict=True))
    assert {setting for setting, _ in losses} <= {"JOBTELEMETRY_HISTOGRAM_DETAIL"}


def test_the_mixin_warns_of_what_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever builds the dashboards hears which panels and alerts his choice takes away."""
    monkeypatch.setenv("JOBTELEMETRY_HISTOGRAM_DETAIL", "wait=off")
    monkeypatch.setenv("JOBTELEMETRY_DURATION_STATES", "together")
    said = CliRunner().invoke(main, ["mixin", "build", "--out", str(tmp_path)])
    assert said.exit_code == 0
    assert "Warning: with this JOBTELEMETRY_HISTOGRAM_DETAIL without buckets of waits" in said.output
    assert "Warning: with this JOBTELEMETRY_DURATION_STATES executions that failed, were cancelled" in said.output


OF_STATES = LabelSet(
    Series("w", "q", (("tenant", "acme"),)),
    1.0,
    durations={
        State.COMPLETED: Histogram({"0.1": 3, "5.0": 1}, 4.1, 20.0, {"0.1": Exemplar("a", "1", 0.1, 50.0)}),
        State.DISCARD: Histogram({"0.1": 2, "+Inf": 1}, 90_000.2, 10.0, {"0.1": Exemplar("b", "2", 0.1, 60.0)}),
        State.FAILURE: Histogram({"5.0": 4}, 17.3, 30.0),
    },
)


def run_times(states: str) -> dict[tuple[str, str | None, str], float]:
    """What is shown of :data:`OF_STATES` by suffix, state and bound."""
    return {
        (sample.name.removeprefix(JOB_DURATION.name), sample.labels.get("state"), sample.labels.get("le", "")): value
        for family in registry(snapshot_of(OF_STATES), duration_states=states).collect()
        for sample in family.samples
        if family.name == JOB_DURATION.name and sample.labels["tenant"] == "acme"
        if (value := sample.value) or "_bucket" not in sample.name
    }


def test_run_times_of_all_states_are_one_histogram() -> None:
    """Every count and sum is that of all states, it began with the first of them, and has no label ``state``."""
    each, together = run_times("each"), run_times("together")
    assert {state for _, state, _ in together} == {None}
    for suffix in ("_bucket", "_count", "_sum"):
        for bound in {le for name, _, le in together if name == suffix}:
            parts = [value for (name, _, le), value in each.items() if (name, le) == (suffix, bound)]
            # A bucket without observations is left out above; cumulative, it has those below it.
            assert together[suffix, None, bound] == pytest.approx(sum(parts)), (suffix, bound)
    assert together["_count", None, ""] == 11
    assert together["_created", None, ""] == 10.0


def test_run_times_of_completed_executions_are_what_they_are() -> None:
    """The choice takes series away and changes none."""
    assert run_times("completed") == {key: value for key, value in run_times("each").items() if key[1] == "completed"}


def test_the_newest_exemplar_of_all_states_is_shown() -> None:
    """Whatever state it ended in."""
    shown = registry(snapshot_of(OF_STATES), duration_states="together").collect()
    found = [sample.exemplar.labels["trace_id"] for one in shown for sample in one.samples if sample.exemplar]
    assert found == ["b"]


@given(st.lists(st.floats(0, 1e6), max_size=6), st.randoms())
def test_a_sum_is_the_same_in_any_order(sums: list[float], random: Random) -> None:
    """A counter that fell by what was rounded would look as if it had begun anew."""
    parts = [Histogram({"1.0": 1}, one) for one in sums]
    before = Histogram.together(parts).sum
    random.shuffle(parts)
    assert Histogram.together(parts).sum == before


def test_a_choice_of_states_that_does_not_exist_is_an_error() -> None:
    """In code; the setting is checked where it is read."""
    with pytest.raises(ConfigError, match="expected one of each, completed, together, got 'all'"):
        Cardinality(duration_states="all")


@pytest.mark.parametrize("states", ["each", "completed", "together"])
@pytest.mark.parametrize("detail", ["full", "coarse", "off"])
def test_the_reference_says_what_a_label_set_costs(detail: str, states: str) -> None:
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
    shown = registry(snapshot, histogram_detail=detail, duration_states=states).collect()
    number = sum("worker" in sample.labels for family in shown for sample in family.samples)
    assert Cardinality(None, detail, states).series_of_label_set == number
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{detail}` |")]
    assert row.split(" | ")[2 if states == "each" else 3] == str(number)
