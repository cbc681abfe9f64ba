"""Statistics, rankings, comparisons and relatives, from entries made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.outcomes import State
from jobtelemetry.questions.compare import compare
from jobtelemetry.questions.entries import LogEntry, decode
from jobtelemetry.questions.names import UnknownNameError, near, workers_called
from jobtelemetry.questions.relations import relatives
from jobtelemetry.questions.selection import Selection
from jobtelemetry.questions.stats import from_counters, from_log
from jobtelemetry.questions.top import rank
from jobtelemetry.store.snapshot import Counter, Histogram, Series, Snapshot

NOW = 1_770_000_000.0
Make = Callable[..., LogEntry]
LABELS = ("cinema.jobs.ShowtimeProcessJob", "cinema.jobs.MovieDetailJob", "theatre.jobs.MovieDetailJob", "sync")


def test_a_short_name_stands_for_its_path() -> None:
    """The last part of a dotted path is enough, the whole one always wins, and several with one end are all meant."""
    assert workers_called("ShowtimeProcessJob", LABELS) == {"cinema.jobs.ShowtimeProcessJob"}
    assert workers_called("MovieDetailJob", LABELS) == set(LABELS[1:3])
    assert workers_called("cinema.jobs.MovieDetailJob", LABELS) == {LABELS[1]}
    assert workers_called("sync", LABELS) == {"sync"}


def test_an_unknown_name_is_told_its_neighbours() -> None:
    """A slip of the finger gets the name that was meant; without any likeness it gets those that there are."""
    with pytest.raises(UnknownNameError, match=r"did you mean cinema.jobs.ShowtimeProcessJob"):
        workers_called("showtimeprocesjob", LABELS)
    with pytest.raises(UnknownNameError, match=r"there are cinema.jobs.MovieDetailJob, "):
        workers_called("zzz", LABELS)
    with pytest.raises(UnknownNameError, match="nothing has been recorded"):
        workers_called("zzz", [])
    assert near("movie", LABELS) == [LABELS[1]] or set(near("movie", LABELS)) >= {LABELS[1]}


def test_every_filter_narrows(entry: Make) -> None:
    """An entry is chosen only if it has everything that was asked for."""
    one = entry(
        state=State.CANCELLED, reason="movie_not_matched", source="web", attributes={"film_id": 4124, "new": True}
    )
    fitting = {
        "workers": frozenset({"cinema.jobs.ShowtimeProcessJob"}),
        "queue": "showtimes",
        "states": frozenset({State.CANCELLED, State.DISCARD}),
        "reason": "movie_not_matched",
        "source": "web",
        "job": "job",
        "attributes": {"film_id": "4124", "new": "true"},
    }
    assert one in Selection()
    assert one in Selection(**fitting)
    for name, wrong in {"workers": frozenset({"x"}), "states": frozenset({State.FAILURE})}.items():
        assert one not in Selection(**fitting | {name: wrong})
    for name in ("queue", "reason", "source", "job"):
        assert one not in Selection(**fitting | {name: "x"})
    assert one not in Selection(error_type="KeyError")
    assert one not in Selection(attributes={"film_id": "41"})


def test_what_another_version_wrote_is_passed_over() -> None:
    """An entry that cannot be read is left out and harms no other."""
    good = {"job": "j", "worker": "w", "queue": "q", "state": "completed"}
    assert decode("5-0", good) == LogEntry("5-0", "j", "w", "q", State.COMPLETED, ended_at=0.005)
    assert decode("5-0", good | {"state": "sublimated"}) is None
    assert decode("5-0", {}) is None
    assert decode("5-0", good | {"attributes": "{"}) == decode("5-0", good)


def test_statistics_of_the_log_are_exact(entry: Make) -> None:
    """Mean and quantiles are those of the values, ratios those of the contract."""
    entries = [entry(duration=float(n), wait=n / 10) for n in range(1, 101)]
    entries += [entry(state=State.CANCELLED, at=5.0), entry(state=State.FAILURE, worker="other")]
    showtimes, other, total = from_log(entries)
    assert (showtimes.p50, showtimes.p95, showtimes.wait_p95) == (50.0, 95.0, 9.5)
    assert showtimes.mean == 50.5
    assert showtimes.match == pytest.approx(100 / 101)
    assert (other.success, other.mean, other.last_completed) == (None, None, None)
    assert (total.worker, total.executions, total.last_completed) == ("", 102, NOW)
    assert [line.executions for line in from_log([])] == [0]


def test_statistics_of_the_counters_are_added_up() -> None:
    """Queues and sources of a worker are one line; what lies beyond the last bucket is said to, not guessed."""
    web, shop = Series("w", "q", (("source", "web"),)), Series("w", "q", (("source", "shop"),))
    snapshot = Snapshot(
        NOW,
        seen={web: 1.0, shop: 1.0},
        executions={(web, State.COMPLETED): Counter(3), (shop, State.CANCELLED): Counter(1)},
        durations={(web, State.COMPLETED): Histogram({"1.0": 2, "+Inf": 1}, 50_000.0)},
        last_completed={web: NOW},
    )
    line, total = from_counters(snapshot, lambda series: True)
    assert (line.worker, line.executions, line.match, line.p95) == ("w", 4, 0.75, math.inf)
    assert line.mean == pytest.approx(50_000 / 3)
    assert total.counts == line.counts
    assert from_counters(snapshot, lambda series: series.source == "shop")[0].executions == 1


@given(st.lists(st.tuples(st.sampled_from(["4101", "4124", ""]), st.integers(0, 50)), max_size=60))
def test_a_ranking_loses_nothing(films: list[tuple[str, int]]) -> None:
    """Every entry is in one group or counted as having none of the keys, and the largest group is first."""
    entries = [
        LogEntry("1-0", f"job{n}", "w", "q", State.COMPLETED, ended_at=at, attributes={"film_id": film} if film else {})
        for n, (film, at) in enumerate(films)
    ]
    ranking = rank(entries, ["film_id"])
    counts = [group.count for group in ranking.groups]
    assert sum(counts) + ranking.without == ranking.total == len(films)
    assert counts == sorted(counts, reverse=True)
    for group in ranking.groups:
        times = [at for film, at in films if film == group.values[0]]
        assert (group.first, group.last, group.count) == (min(times), max(times), len(times))


def test_several_keys_make_one_group_each(entry: Make) -> None:
    """Facts and attributes can be mixed, and the example is the newest job."""
    entries = [entry(f"j{n}", State.CANCELLED, n, reason="r", attributes={"film_id": 7}) for n in range(3)]
    (group,) = rank(entries, ["film_id", "reason"]).groups
    assert (group.values, group.count, group.example) == (("7", "r"), 3, "j2")


def test_a_change_is_told_and_noise_is_not(entry: Make) -> None:
    """A halved match ratio is lower; the same ratio again shows no change; each with its n."""
    half = {True: State.COMPLETED, False: State.CANCELLED}
    before = [entry(state=half[n % 2 == 0], at=-100) for n in range(400)]
    worse = [entry(state=half[n % 4 == 0], at=100) for n in range(400)]
    success, match = compare(before + worse, NOW)
    assert (match.ratio, match.verdict, match.before.n, match.after.n) == ("match", "lower", 400, 400)
    assert (success.ratio, success.verdict) == ("success", "no change shown")
    same = [entry(state=half[n % 2 == 0], at=100) for n in range(40)]
    assert [one.verdict for one in compare(before + same, NOW)] == ["no change shown"] * 2
    assert [one.verdict for one in compare(before, NOW)] == ["nothing to compare"] * 2
    assert compare([entry(state=State.STOPPED)], NOW) == ()


def test_the_trace_and_the_times_tell_parent_and_children(entry: Make) -> None:
    """What became ready while a job of the same trace ran is its child; another trace is another story."""
    sync = entry("sync", at=10, duration=10.0, wait=1.0, trace="t")
    date = entry("date", at=30, duration=5.0, wait=20.0, trace="t")
    other = entry("other", at=30, duration=5.0, wait=20.0, trace="u")
    late = entry("late", at=60, duration=1.0, wait=1.0, trace="t")
    everything = [late, other, date, sync]
    assert [child.job for child in relatives([sync], everything).children] == ["date"]
    assert [parent.job for parent in relatives([date], everything).parents] == ["sync"]
    assert relatives([date], everything).family == 2
    assert relatives([late], everything).parents == ()
