"""The ring of the last day: what it holds, what it costs, and what it says of the last hour."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.exporter import trends as module
from jobtelemetry.exporter.trends import BARS, INTERVAL, Trends
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Counter, QueueState, Series, Snapshot

NOW = 1_770_000_000.0
WORKER = "cinema.jobs.sync"


def reading(at: float, completed: int, discard: int = 0, waiting: int = 0, worker: str = WORKER) -> Snapshot:
    """A snapshot with one worker and one queue."""
    series = Series(worker, "default")
    counts = {State.COMPLETED: completed, State.DISCARD: discard}
    return Snapshot(
        taken_at=at,
        seen={series: NOW},
        executions={(series, state): Counter(counts.get(state, 0)) for state in State},
        queues=(QueueState("default", {"queued": waiting}),),
    )


def minutes(number: int) -> Iterator[float]:
    """Moments a minute apart."""
    return (NOW + INTERVAL * i for i in range(number))


@given(st.lists(st.integers(0, 500), min_size=2, max_size=59))
def test_nothing_is_lost_or_made_up_between_two_readings(rises: list[int]) -> None:
    """The bars of the last hour add up to what the counters rose by since the first reading."""
    ring, totals = Trends(), list(itertools.accumulate(rises))
    for at, total in zip(minutes(len(totals)), totals, strict=False):
        ring.add(reading(at, total))
    chart = ring.ended(NOW + INTERVAL * (len(totals) - 1))
    assert chart is not None
    assert sum(value or 0 for value in chart.bars["completed"]) == pytest.approx(totals[-1] - totals[0])
    assert all(len(bars) == BARS for bars in chart.bars.values())


def test_one_reading_is_no_trend() -> None:
    """Before the second reading nobody knows what happened when."""
    ring = Trends()
    assert ring.ended(NOW) is None
    ring.add(reading(NOW, 5))
    assert (ring.ended(NOW), ring.waiting(NOW)) == (None, None)
    assert ring.lately(reading(NOW + 30, 7)).counts[WORKER][State.COMPLETED] == 2


def test_the_ring_is_bounded() -> None:
    """After more samples than it keeps the oldest are gone, in every line alike."""
    ring = Trends(samples=10)
    for i, at in enumerate(minutes(25)):
        ring.add(reading(at, i * 2, waiting=i))
    assert {len(line) for line in ring._lines()} == {10}
    chart = ring.ended(NOW + 24 * INTERVAL, WORKER)
    assert chart is not None
    assert chart.known_since == NOW + 15 * INTERVAL


def test_idle_workers_cost_nothing_and_busy_ones_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what something happened to has a line, and there are never more lines than are allowed."""
    monkeypatch.setattr(module, "MOST_WORKERS", 3)
    ring = Trends()
    idle = [Series(f"w{i}", "q") for i in range(50)]
    ring.add(Snapshot(taken_at=NOW, seen=dict.fromkeys(idle, NOW)))
    ring.add(Snapshot(taken_at=NOW + 60, seen=dict.fromkeys(idle, NOW)))
    assert ring._workers == {}
    counts = {(series, state): Counter(1) for series in idle for state in State}
    ring.add(Snapshot(taken_at=NOW + 120, seen=dict.fromkeys(idle, NOW), executions=counts))
    assert len(ring._workers) == 3
    assert not ring.keeps("w49")
    whole = ring.ended(NOW + 120)
    assert whole is not None
    assert sum(value or 0 for value in whole.bars["completed"]) == pytest.approx(50)


def test_counters_that_begin_anew_and_clocks_that_go_back_are_no_news() -> None:
    """A reset counts from 0, never below; a reading that is not later than the last is passed over."""
    ring = Trends()
    for at, total in ((NOW, 100), (NOW + 60, 110), (NOW + 30, 500), (NOW + 120, 4)):
        ring.add(reading(at, total))
    chart = ring.ended(NOW + 120)
    assert chart is not None
    assert sum(value or 0 for value in chart.bars["completed"]) == pytest.approx(14)


def test_the_last_hour_reaches_up_to_now() -> None:
    """What was lost since the last sample counts at once; what was lost before the hour does not."""
    ring = Trends()
    for i, at in enumerate(minutes(121)):
        ring.add(reading(at, i, discard=7 if i >= 10 else 0))
    lately = ring.lately(reading(NOW + 120 * INTERVAL + 20, 121, discard=9))
    assert lately.counts[WORKER][State.DISCARD] == 2
    assert lately.seconds == pytest.approx(3600, abs=61)


def test_a_time_without_readings_is_unknown() -> None:
    """While Redis was away the depth of a queue is not drawn as if it had been known."""
    ring = Trends()
    for at in (NOW, NOW + 60, NOW + 1800, NOW + 1860):
        ring.add(reading(at, 1, waiting=5))
    chart = ring.waiting(NOW + 1860)
    assert chart is not None
    bars = chart.bars["waiting"]
    assert bars[-1] == bars[-31] == 5
    assert bars[-15] is None


def test_a_forked_process_begins_anew() -> None:
    """A ring that was forked while it was written to is empty and free in the child, and as it was in the parent."""
    ring = Trends()
    ring.add(reading(NOW, 1))
    ring.add(reading(NOW + 60, 2))
    with ring._lock:
        child = os.fork()
        if child == 0:
            fresh = ring.ended(NOW + 60) is None
            os._exit(0 if fresh else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ring.ended(NOW + 60) is not None
