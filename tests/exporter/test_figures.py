"""Ratios, quantiles and the line per worker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.contract import DURATION_BUCKETS
from jobtelemetry.figures import WorkerFigures, fold, match_ratio, quantile, success_ratio, summarise, total
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Snapshot

BOUNDS = st.sampled_from([*map(repr, DURATION_BUCKETS), "+Inf", "0.3", "7.0", "99999.0"])
COUNTS = st.dictionaries(BOUNDS, st.integers(0, 1000))


def test_cancelled_is_neither_success_nor_failure() -> None:
    """The old table's 738 completed and 536 cancelled are all success, and 57.9 % match."""
    counts = {State.COMPLETED: 738, State.CANCELLED: 536, State.SNOOZED: 9, State.STOPPED: 9, State.FAILURE: 9}
    assert success_ratio(counts) == 1
    assert match_ratio(counts) == pytest.approx(0.5793, abs=1e-4)
    assert success_ratio(counts | {State.DISCARD: 738}) == 0.5


def test_no_ratio_without_jobs() -> None:
    """Where nothing ended there is no ratio, not 0 and not 100 percent."""
    assert success_ratio({}) is None
    assert match_ratio({State.DISCARD: 3}) is None


@given(counts=COUNTS)
def test_folding_loses_nothing(counts: dict[str, int]) -> None:
    """Every observation is in exactly one of the contract's buckets, whatever bound it was stored under."""
    folded = fold(counts, DURATION_BUCKETS)
    assert sum(folded.values()) == sum(counts.values())
    assert list(folded) == [*map(repr, DURATION_BUCKETS), "+Inf"]


def test_a_bound_of_an_earlier_version_goes_to_the_next_larger_bucket() -> None:
    """After an upgrade old observations are never shown as shorter than they were."""
    folded = fold({"0.3": 4, "0.5": 1, "99999.0": 2, "+Inf": 1}, DURATION_BUCKETS)
    assert folded["0.25"] == 0
    assert folded["0.5"] == 5
    assert folded["+Inf"] == 3


def test_quantiles_are_interpolated_as_prometheus_does() -> None:
    """Half of four observations between 1 and 3 seconds lie below 2."""
    assert quantile(0.5, {"3.0": 4}, (1.0, 3.0)) == 2.0
    assert quantile(0.5, {"1.0": 2, "3.0": 2}, (1.0, 3.0)) == 1.0
    assert quantile(0.95, {"1.0": 1, "+Inf": 9}, (1.0, 3.0)) == 3.0
    assert quantile(0.5, {}, (1.0, 3.0)) is None
    assert quantile(0.5, {"1.0": 0}, (1.0, 3.0)) is None


@given(counts=COUNTS, low=st.floats(0, 1), high=st.floats(0, 1))
def test_quantiles_rise(counts: dict[str, int], low: float, high: float) -> None:
    """A larger share never has a smaller quantile, and none leaves the range of the buckets."""
    low, high = sorted((low, high))
    small, large = quantile(low, counts, DURATION_BUCKETS), quantile(high, counts, DURATION_BUCKETS)
    if small is None or large is None:
        assert not any(counts.values())
    else:
        assert 0 <= small <= large <= DURATION_BUCKETS[-1]


def test_one_line_per_worker(cinema: Snapshot) -> None:
    """A worker's line has its states, queues, run times, running executions and last completion."""
    lines = {line.worker: line for line in summarise(cinema)}
    assert list(lines) == sorted(lines)
    showtime = lines["cinema.jobs.process_showtime"]
    assert showtime.counts[State.COMPLETED] == 738
    assert showtime.counts[State.CANCELLED] == 536
    assert showtime.ended == 1274
    assert showtime.queues == ("showtimes",)
    assert sum(showtime.run_time.values()) == 738 + 536
    assert showtime.last_completed == cinema.taken_at - 3.2
    assert lines["cinema.jobs.MovieDetailJob"].running == 2


def test_queues_and_sources_of_a_worker_are_one_line(cinema: Snapshot) -> None:
    """The same worker on two queues and from two sources is added up."""
    more = {
        (series._replace(queue="second", extra=(("source", "web"),)), state): counter
        for (series, state), counter in cinema.executions.items()
    }
    seen = {key[0]: 0.0 for key in more}
    twice = replace(cinema, seen={**cinema.seen, **seen}, executions={**cinema.executions, **more})
    once, doubled = summarise(cinema), summarise(twice)
    assert [line.worker for line in doubled] == [line.worker for line in once]
    assert [line.ended for line in doubled] == [2 * line.ended for line in once]


def test_the_totals_add_up(cinema: Snapshot) -> None:
    """The totals are the sum of the lines, with the quantiles of all observations together."""
    lines = summarise(cinema)
    everything = total(lines)
    assert everything.ended == sum(line.ended for line in lines) == 1340
    assert everything.running == 2
    assert sum(everything.run_time.values()) == sum(sum(line.run_time.values()) for line in lines)
    assert everything.last_completed == cinema.taken_at - 3.2
    assert total([]) == WorkerFigures("Total")
