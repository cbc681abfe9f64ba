"""What is kept of the last scrape never shows: every byte is what prometheus_client would have written."""

from __future__ import annotations

import gc
import gzip
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from jobtelemetry import contract
from jobtelemetry.config import DURATION_STATES
from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS, le
from jobtelemetry.exporter import exposition, families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.exposition import Exposition
from jobtelemetry.exporter.families import Scrape
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import (
    Counter,
    Exemplar,
    Histogram,
    LabelSet,
    QueueState,
    RateLimitState,
    RQWorkerState,
    RunningExecution,
    Series,
    Snapshot,
)
from support.label_sets import snapshot_of

EVERYTHING = Cardinality()
LABEL = st.text(st.sampled_from('ab|%"\\\n\r\t {},=#é€😀\u2028\x00'), max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)
#: Names that a stranger may have written are among them; ``le`` and ``state`` are ours as well.
EXTRA_NAME = st.sampled_from(["source", "tenant", "a", "zone", "lf", "ä", "le", "state", "worker", "queue", "reason"])
EXTRA = st.lists(st.tuples(EXTRA_NAME, LABEL), max_size=3).map(tuple)
COUNT = st.one_of(st.just(0), st.integers(0, 5), st.integers(999_990, 1_000_010), st.integers(0, 2**53))
MOMENT = st.sampled_from([0.0, 1.0, 1_770_000_000.0, 1_770_000_000.25]) | st.floats(0, 253_402_300_799)
SECONDS = st.floats(0, 1e10) | st.sampled_from([0.0, 1e-7, 999_999.5, 1_000_000.0, 1e16])
EXEMPLAR = st.builds(Exemplar, LABEL, LABEL, SECONDS, MOMENT)
COUNTER = st.builds(Counter, COUNT, MOMENT, st.none() | EXEMPLAR)
SERIES = st.builds(Series, LABEL, LABEL, EXTRA)


def histogram(buckets: tuple[float, ...]) -> st.SearchStrategy[Histogram]:
    """Histograms, some with buckets of another version."""
    bound = st.sampled_from([le(bound, buckets) for bound in buckets] + ["+Inf"])
    strange = bound | st.sampled_from(["0.3", "7.0", "1e9"])
    counts = st.dictionaries(bound, COUNT, max_size=8) | st.dictionaries(strange, COUNT, max_size=4)
    return st.builds(Histogram, counts, SECONDS, MOMENT, st.dictionaries(strange, EXEMPLAR, max_size=3))


STATES = st.sampled_from(list(State))
LABEL_SET = st.builds(
    LabelSet,
    series=SERIES,
    created=MOMENT,
    executions=st.dictionaries(STATES, COUNTER, max_size=4),
    cancellations=st.dictionaries(LABEL, COUNTER, max_size=2),
    errors=st.dictionaries(LABEL, COUNTER, max_size=2),
    durations=st.dictionaries(STATES, histogram(DURATION_BUCKETS), max_size=2),
    wait=histogram(WAIT_BUCKETS),
    enqueued=COUNT,
    unstarted=COUNT,
    limited=COUNT,
    last_completed=st.none() | MOMENT,
)
QUEUE = st.builds(
    QueueState,
    LABEL,
    st.dictionaries(st.sampled_from(contract.QUEUE_STATUSES), COUNT, max_size=3),
    st.none() | MOMENT,
    COUNT,
    st.booleans(),
)
RQ_WORKER = st.builds(
    RQWorkerState, LABEL, st.lists(LABEL, max_size=3).map(tuple), st.sampled_from(["", "idle", "odd"]), st.booleans()
)
RATE_LIMIT = st.builds(RateLimitState, LABEL, COUNT, COUNT, st.just(()), COUNT, st.none() | MOMENT)
OBSERVED = st.fixed_dictionaries(
    {},
    optional={
        "queues": st.lists(QUEUE, max_size=4, unique_by=lambda queue: queue.name).map(tuple),
        "rq_workers": st.lists(RQ_WORKER, max_size=3).map(tuple),
        "rate_limits": st.lists(RATE_LIMIT, max_size=3, unique_by=lambda limit: limit.key).map(tuple),
        "handler_errors": st.dictionaries(LABEL, COUNT, max_size=2),
        "dropped": st.dictionaries(LABEL, COUNT, max_size=2),
        "created": MOMENT,
        "reconciled": COUNT,
    },
)
CARDINALITY = st.builds(
    Cardinality,
    st.none() | st.integers(1, 3),
    st.sampled_from(["full", "coarse", "off"]),
    st.sampled_from(DURATION_STATES),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Successive snapshots of one Redis: label sets, queues, RQ workers come, stay the same object, change and go."""
    sets: list[LabelSet] = []
    observed: dict[str, Any] = {}
    history = []
    for _ in range(draw(st.integers(1, 4))):
        kept = [one for one in sets if draw(st.booleans())]
        changed = [replace(one, enqueued=one.enqueued + 1) for one in sets if draw(st.booleans()) and one not in kept]
        sets = kept + changed + draw(st.lists(LABEL_SET, max_size=3))
        of_sets = st.sampled_from([one.series for one in sets]) if sets else SERIES
        running = draw(st.lists(st.tuples(of_sets | SERIES, MOMENT), max_size=4))
        observed = draw(OBSERVED) | draw(st.just({}) | st.just(observed))
        queues = tuple(queue for queue in observed.get("queues", ()) if draw(st.integers(0, 4)))
        if queues and draw(st.booleans()):
            queues = (replace(queues[0], jobs={"queued": draw(COUNT)}), *queues[1:])
        if queues != observed.get("queues", ()):
            observed["queues"] = queues
        history.append(
            snapshot_of(
                *sets,
                running=tuple(RunningExecution("e", "j", series, "w", begun, 1) for series, begun in running),
                **observed,
            )
        )
    return history


class Given:
    """A collector of what the families are without the exposition."""

    def __init__(self, scrapes: Sequence[Scrape], cardinality: Cardinality) -> None:
        self.scrapes, self.cardinality = scrapes, cardinality

    def collect(self) -> Any:
        yield from families.build(self.scrapes, self.cardinality)


def expected(snapshot: Snapshot | None, cardinality: Cardinality = EVERYTHING, *, openmetrics: bool) -> bytes:
    """What prometheus_client writes."""
    return (generate_openmetrics if openmetrics else generate_text)(Given([Scrape(snapshot, 0.25)], cardinality))


def rendered(of: Exposition, snapshot: Snapshot | None, *, openmetrics: bool) -> bytes:
    """What the exposition writes."""
    return of.render([Scrape(snapshot, 0.25)], openmetrics=openmetrics)


@given(histories(), CARDINALITY)
@settings(deadline=None, max_examples=150)
def test_every_byte_is_what_prometheus_client_writes(history: list[Snapshot], cardinality: Cardinality) -> None:
    """In both formats, whatever the labels and numbers are, and whatever changed since the scrape before."""
    of = Exposition(cardinality)
    for snapshot in history:
        for openmetrics in (False, True):
            ours = rendered(of, snapshot, openmetrics=openmetrics)
            assert ours == expected(snapshot, cardinality, openmetrics=openmetrics)
            assert ours == rendered(of, snapshot, openmetrics=openmetrics)
            packed = of.render_packed([Scrape(snapshot, 0.25)], openmetrics=openmetrics)
            assert gzip.decompress(packed) == ours


@given(st.lists(st.tuples(st.booleans(), histories()), min_size=2, max_size=3), CARDINALITY)
@settings(deadline=None, max_examples=60)
def test_several_servers_are_one_exposition(
    servers: list[tuple[bool, list[Snapshot]]], cardinality: Cardinality
) -> None:
    """Every byte of several Redis servers is what prometheus_client writes, also where some are away or come back."""
    of = Exposition(cardinality)
    for turn in range(max(len(history) for _, history in servers)):
        scrapes = [
            Scrape(None if away and turn % 2 else history[turn % len(history)], 0.5, None, f"redis-{number}")
            for number, (away, history) in enumerate(servers)
        ]
        for openmetrics in (False, True):
            generate: Any = generate_openmetrics if openmetrics else generate_text
            assert of.render(scrapes, openmetrics=openmetrics) == generate(Given(scrapes, cardinality))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_snapshot_without_label_sets_is_written_as_well(cinema: Snapshot, openmetrics: bool) -> None:
    """Who puts a snapshot together by hand need not know of label sets."""
    assert rendered(Exposition(), cinema, openmetrics=openmetrics) == expected(cinema, openmetrics=openmetrics)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_without_redis_only_the_scrape_is_told_of(openmetrics: bool) -> None:
    """An answer without a snapshot is the families about the scrape."""
    assert rendered(Exposition(), None, openmetrics=openmetrics) == expected(None, openmetrics=openmetrics)


def test_only_what_changed_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label set that is the same object is not looked at again, unless the labels that all have are others."""
    written: list[str] = []
    write = exposition.write

    def noting(family: Any, rows: Any, extra_labels: Any, **more: Any) -> Any:
        rows = list(rows)
        if family in families.OF_LABEL_SET:
            written.extend(row[0][0] for row in rows)
        return write(family, rows, extra_labels, **more)

    monkeypatch.setattr(exposition, "write", noting)
    of, first, second = Exposition(), LabelSet(Series("first", "q")), LabelSet(Series("second", "q"))

    def seen(*sets: LabelSet) -> set[str]:
        written.clear()
        rendered(of, snapshot_of(*sets), openmetrics=False)
        return set(written)

    assert seen(first, second) == {"first", "second"}
    assert seen(second, first) == set()
    changed = replace(first, enqueued=1)
    assert seen(changed, second) == {"first"}
    third = LabelSet(Series("third", "q", (("source", "x"),)))
    assert seen(changed, second, third) == {"first", "second", "third"}
    assert seen(changed, third) == set()


def test_only_queues_that_changed_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue is looked at again where it or its RQ workers changed, and the text of the others is the same object."""
    written: list[str] = []
    gauges = exposition.gauges

    def noting(family: Any, rows: Any, *more: Any) -> bytes:
        rows = list(rows)
        written.extend(values[0] for values, _ in rows)
        return gauges(family, rows, *more)

    monkeypatch.setattr(exposition, "gauges", noting)
    of, many = Exposition(), tuple(QueueState(f"q{number:03}") for number in range(120))
    idle = (RQWorkerState("w1", ("q000",), "idle", instrumented=True),)

    def seen(queues: tuple[QueueState, ...], workers: tuple[RQWorkerState, ...]) -> set[str]:
        written.clear()
        snapshot = snapshot_of(queues=queues, rq_workers=workers)
        text = rendered(of, snapshot, openmetrics=True)
        found = set(written)
        assert text == expected(snapshot, openmetrics=True)
        return found

    assert len(seen(many, idle)) == 120
    assert seen(many, idle) == set()
    assert seen((*many[:1], *many[1:]), idle) == set()
    assert seen((*many[:70], replace(many[70], scheduler_up=True), *many[71:]), idle) == {"q070"}
    busy = (replace(idle[0], status="busy", queues=("q000", "unknown")),)
    assert seen(many, busy) == {"q000", "q070", "unknown"}
    assert seen(many[:119], busy) == set()


def test_a_label_set_that_is_gone_is_let_go() -> None:
    """Nothing is kept of a label set that was replaced or is gone, nor for a format that nobody asks for."""
    of, stays = Exposition(), LabelSet(Series("stays", "q"))
    goes = LabelSet(Series("goes", "q"))
    gone = weakref.ref(goes)
    rendered(of, snapshot_of(stays, goes), openmetrics=True)
    rendered(of, snapshot_of(stays), openmetrics=True)
    rendered(of, snapshot_of(stays), openmetrics=False)
    del goes
    gc.collect()
    assert gone() is None


def test_two_keys_of_the_same_labels_are_shown_once() -> None:
    """Where a stranger wrote a label set in another spelling, no series comes twice."""
    twice = [LabelSet(Series("a", "q"), executions={State.COMPLETED: Counter(count)}) for count in (1, 2)]
    for openmetrics in (False, True):
        text = rendered(Exposition(), snapshot_of(*twice), openmetrics=openmetrics)
        assert text == expected(snapshot_of(*twice), openmetrics=openmetrics)
        assert text.count(b'{queue="q",state="completed",worker="a"} 2.0') == 1
