"""Definitions, bounds and books of own metrics in Redis, and how they are read and shown."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from redis import Redis

from jobtelemetry.config import Config
from jobtelemetry.contract import Kind
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.diagnosis.coverage import own_metrics
from jobtelemetry.diagnosis.endpoints import check_exporter
from jobtelemetry.diagnosis.findings import Level
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.exporter import families
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.exposition import Exposition
from jobtelemetry.exporter.families import Scrape
from jobtelemetry.exporter.reference import EOF, written_by_prometheus_client
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.own_metrics.buffer import Buffer, Series
from jobtelemetry.store.books import acknowledge_losses
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Definition, Measurements, definition_of, measure_command, parts_of_series, redefined
from jobtelemetry.store.read import Reader, read_snapshot
from jobtelemetry.store.record import Booking, Limits, append_finish, text
from jobtelemetry.store.reset import forget_metric
from jobtelemetry.store.scripts import execute, run
from jobtelemetry.store.snapshot import OwnExemplar, OwnFamily, OwnSeries, Snapshot
from support.measured import samples

KEYS = Keys()
TICKETS = Definition("tickets_total", Kind.COUNTER, "Tickets.", ("film",))
SEATS = Definition("seats", Kind.GAUGE, "Seats.", ("room",))
PRICES = Definition("price_euros", Kind.HISTOGRAM, "Prices.", (), "euros", ("5.0", "10.0", "+Inf"))
_numbers = iter(range(1, 1_000_000))


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A real server, for this module."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def redis(server: EmbeddedServer) -> Redis:
    """A client of a server without any key."""
    connection: Redis = server.connection()
    connection.flushall()
    return connection


def write(redis: Redis, measured: Buffer | Measurements, *, batch: int = 0, most: int = 100, limit: int = 100) -> str:
    """Write a batch, as a process outside of jobs does."""
    command = measure_command(
        KEYS, measured.taken(), writer="me", batch=batch or next(_numbers), families=most, series=limit
    )
    answer, fault = map(text, run(redis, command)[:2])
    assert fault == ""
    return answer


def sell(redis: Redis, film: str, number: float = 1, definition: Definition = TICKETS, **options: int) -> str:
    """Raise a counter."""
    buffer = Buffer(10)
    assert buffer.add(Series(definition, (film,)), number)
    return write(redis, buffer, **options)


def test_a_changed_definition_is_told_to_who_brings_it_and_once(redis: Redis) -> None:
    """The reply names it and how it was; the same definition again, or an older deploy's, is no news."""

    def told(definition: Definition) -> dict[str, str]:
        buffer = Buffer(10)
        assert buffer.add(Series(definition, tuple("x" for _ in definition.labels)), 1)
        number = next(_numbers)
        command = measure_command(KEYS, buffer.taken(), writer="me", batch=number, families=9, series=9)
        return redefined(run(redis, command)[2])

    other = Definition(TICKETS.name, TICKETS.kind, TICKETS.help, ("film", "hall"))
    assert [told(one) for one in (TICKETS, TICKETS, other, TICKETS, other)] == [
        {}, {}, {TICKETS.name: "counter with labels film"}, {}, {},
    ]  # fmt: skip


def shown(redis: Redis) -> dict[str, float]:
    """What is shown."""
    return samples(read_snapshot(redis, KEYS))


def test_a_batch_that_is_sent_again_counts_once(redis: Redis) -> None:
    """Its number says so, as long as its writer has not gone on."""
    assert [sell(redis, "Alien", batch=7), sell(redis, "Alien", batch=7), sell(redis, "Alien", batch=8)] == [
        "counted",
        "again",
        "counted",
    ]
    assert shown(redis) == {"tickets_total{film=Alien}": 2.0}
    assert redis.zrange(KEYS.batches, 0, -1) == [b"me|8"]


def test_amounts_are_added_as_they_are(redis: Redis) -> None:
    """Neither a fraction nor a large number loses anything on its way."""
    for amount in (0.1, 0.2, 2**52, 1e-9):
        sell(redis, f"of {amount}", amount)
        sell(redis, f"of {amount}", amount)
    found = shown(redis)
    assert found["tickets_total{film=of 0.1}"] == 0.2
    assert found[f"tickets_total{{film=of {2**52}}}"] == 2**53
    assert found["tickets_total{film=of 1e-09}"] == 2e-9


def test_a_gauge_has_the_newest_value_and_what_was_added_since(redis: Redis) -> None:
    """Whatever process set it, also to what is no finite number."""
    series, values = Series(SEATS, ("1",)), []
    for changes in (["+5"], ["=3", "+2"], ["-1"], ["+1", "=7"], ["=inf"], ["+1"], ["=nan"], ["+1"], ["=0"]):
        buffer = Buffer(10)
        for change in changes:
            if change[0] == "=":
                buffer.set(series, float(change[1:]))
            else:
                buffer.add(series, float(change))
        write(redis, buffer)
        values.append(str(shown(redis)["seats{room=1}"]))
    assert values == ["5.0", "5.0", "4.0", "7.0", "inf", "inf", "nan", "nan", "0.0"]


def test_a_full_family_counts_under_other(redis: Redis) -> None:
    """A counter keeps its sum, a gauge's values are left out, and both are said by name."""
    for film in ("a", "b", "c", "d"):
        sell(redis, film, 2, limit=2)
    sell(redis, "a", limit=2)
    for room in ("1", "2", "3"):
        buffer = Buffer(10)
        buffer.set(Series(SEATS, (room,)), 1)
        write(redis, buffer, limit=2)
    snapshot = read_snapshot(redis, KEYS)
    assert samples(snapshot) == {
        "tickets_total{film=a}": 3.0,
        "tickets_total{film=b}": 2.0,
        "tickets_total{film=__other__}": 4.0,
        "seats{room=1}": 1.0,
        "seats{room=2}": 1.0,
    }
    assert (snapshot.dropped["tickets_total"], snapshot.dropped["seats"]) == (2, 1)
    finding = own_metrics(snapshot)
    assert (finding.level, "had no room for: seats (1), tickets_total (2)" in finding.summary) == (Level.WARNING, True)
    assert snapshot.proven


def test_metrics_are_bounded_as_well(redis: Redis) -> None:
    """One metric too many is left out and counted, and those that there are go on."""
    for number in range(3):
        sell(redis, "a", definition=Definition(f"m{number}_total", Kind.COUNTER, "", ("film",)), most=2)
    sell(redis, "a", definition=Definition("m0_total", Kind.COUNTER, "", ("film",)), most=2)
    snapshot = read_snapshot(redis, KEYS)
    assert samples(snapshot) == {"m0_total{film=a}": 2.0, "m1_total{film=a}": 1.0}
    assert snapshot.dropped["__other__"] == 1
    assert snapshot.proven


def test_other_labels_are_other_series(redis: Redis) -> None:
    """A label that is added by a deploy makes new series beside the old ones; nothing is lost."""
    sell(redis, "Alien", 3)
    more = Definition("tickets_total", Kind.COUNTER, "Tickets.", ("film", "room"))
    buffer = Buffer(10)
    buffer.add(Series(more, ("Alien", "1")), 2)
    write(redis, buffer)
    snapshot = read_snapshot(redis, KEYS)
    assert samples(snapshot) == {"tickets_total{film=Alien}": 3.0, "tickets_total{film=Alien,room=1}": 2.0}
    assert "tickets_total (2 ways)" in own_metrics(snapshot).summary


def observe(redis: Redis, definition: Definition, *values: float) -> None:
    """Observe values."""
    buffer = Buffer(10)
    for value in values:
        buffer.observe(Series(definition, (), tuple(map(float, definition.buckets))), value)
    write(redis, buffer)


def test_the_newest_buckets_are_shown_and_counts_stay_exact(redis: Redis) -> None:
    """What was counted under another bound is counted under the next larger one; an old deploy changes nothing back."""
    observe(redis, PRICES, 3, 7, 20)
    newer = Definition("price_euros", Kind.HISTOGRAM, "Prices.", (), "euros", ("1.0", "6.0", "10.0", "+Inf"))
    observe(redis, newer, 0.5)
    observe(redis, PRICES, 4)  # the older deploy still runs
    assert shown(redis) == {
        "price_euros_bucket{le=1.0}": 1.0,
        "price_euros_bucket{le=6.0}": 3.0,
        "price_euros_bucket{le=10.0}": 4.0,
        "price_euros_bucket{le=+Inf}": 5.0,
        "price_euros_count{}": 5.0,
        "price_euros_sum{}": 34.5,
    }


def test_of_two_types_the_newest_is_shown_and_the_other_kept(redis: Redis) -> None:
    """A type that changes between deploys is said by the doctor, and what the other one measured is not lost."""
    gauge = Definition("tickets_total", Kind.GAUGE, "Tickets.", ("film",))
    sell(redis, "Alien", 3)
    buffer = Buffer(10)
    buffer.set(Series(gauge, ("Alien",)), 8)
    write(redis, buffer)
    sell(redis, "Alien", 2)
    snapshot = read_snapshot(redis, KEYS)
    assert samples(snapshot) == {"tickets_total{film=Alien}": 8.0}
    assert (snapshot.own[0].unserved, snapshot.own_unserved, snapshot.proven) == (1, 1, True)
    finding = own_metrics(snapshot)
    assert (finding.level, "of two types: tickets_total (1 series, shown as gauge)" in finding.summary) == (
        Level.WARNING,
        True,
    )


def test_names_that_clash_are_not_both_shown(redis: Redis) -> None:
    """Prometheus would refuse the whole scrape."""
    sell(redis, "a", definition=Definition("a_total", Kind.COUNTER, "", ("film",)))
    buffer = Buffer(10)
    buffer.set(Series(Definition("a_created", Kind.GAUGE), ()), 1)
    write(redis, buffer)
    snapshot = read_snapshot(redis, KEYS)
    assert len(snapshot.own) == 1
    assert snapshot.rejected == 1


@pytest.mark.parametrize("how", ["series", "index", "all"])
def test_series_that_are_gone_are_announced(redis: Redis, how: str) -> None:
    """By a reader that has seen them and by one that has not; once written down, the next loss shows again."""
    reader = Reader(redis, KEYS)
    sell(redis, "Alien", 3)
    sell(redis, "Brazil", 2)
    assert reader.read().proven
    gone = {
        "series": [KEYS.series(TICKETS.series(["Alien"]))],
        "index": [KEYS.series_index],
        "all": list(redis.scan_iter(f"{KEYS.series_index}*")),
    }
    redis.delete(*gone[how])
    expected = {"series": 1, "index": 2, "all": 2}[how]
    fresh = read_snapshot(redis, KEYS)
    assert (fresh.own_missing, fresh.proven, fresh.counts_lost_why) == (
        expected,
        False,
        "series of own metrics are gone",
    )
    if how != "index":  # what it has seen is still there
        assert not reader.read().proven
    sell(redis, "Cabaret")
    other = Reader(redis, KEYS)
    other.read()
    assert other.tend()
    after = Reader(redis, KEYS).read()
    assert (after.own_missing, after.counts_lost_why) == (0, "series of own metrics were gone")
    acknowledge_losses(redis, KEYS)
    assert Reader(redis, KEYS).read().proven
    redis.delete(KEYS.series(TICKETS.series(["Cabaret"])))
    assert not Reader(redis, KEYS).read().proven


def test_a_series_that_is_gone_begins_anew(redis: Redis) -> None:
    """And who writes to it notes the loss at once."""
    sell(redis, "Alien", 3)
    redis.delete(KEYS.series(TICKETS.series(["Alien"])))
    sell(redis, "Alien", 2)
    snapshot = read_snapshot(redis, KEYS)
    assert samples(snapshot) == {"tickets_total{film=Alien}": 2.0}
    assert snapshot.counts_lost_at is not None


def test_without_its_counters_a_reader_still_sees_what_changes(redis: Redis) -> None:
    """The loss is said; series that are there are shown, and go on, also to who has seen them before."""
    reader = Reader(redis, KEYS)
    for film in ("Alien", "Brazil", "Cabaret"):
        sell(redis, film)
    reader.read()
    redis.delete(KEYS.meta)
    sell(redis, "Alien")
    for one in (reader, Reader(redis, KEYS)):
        snapshot = one.read()
        assert samples(snapshot)["tickets_total{film=Alien}"] == 2.0
        assert snapshot.counts_lost_at is not None
    reader.tend()
    acknowledge_losses(redis, KEYS)
    sell(redis, "Brazil")
    assert samples(reader.read())["tickets_total{film=Brazil}"] == 2.0
    assert reader.read().proven


def test_lost_definitions_come_back_with_the_next_batch(redis: Redis) -> None:
    """Until then the series are shown without help, with the buckets that they have."""
    observe(redis, PRICES, 7)
    redis.delete(KEYS.families)
    assert shown(redis)["price_euros_bucket{le=10.0}"] == 1.0
    observe(redis, PRICES, 7)
    assert read_snapshot(redis, KEYS).own[0].help == "Prices."
    assert shown(redis)["price_euros_bucket{le=5.0}"] == 0.0


def test_a_metric_can_be_forgotten(redis: Redis) -> None:
    """With its definitions, so that another one can take its name; the books have it written off."""
    reader = Reader(redis, KEYS)
    for number in range(450):
        sell(redis, str(number), limit=1000)
    observe(redis, PRICES, 7)
    reader.read()
    assert forget_metric(redis, KEYS, "tickets_total") == (450, 450)
    for snapshot in (reader.read(), read_snapshot(redis, KEYS)):
        assert [family.name for family in snapshot.own] == ["price_euros"]
        assert snapshot.proven
    sell(redis, "a", limit=1, most=2)
    assert shown(redis)["tickets_total{film=a}"] == 1.0


def test_only_what_changed_is_read(redis: Redis) -> None:
    """Series that did not change are the same objects, and families too."""
    reader = Reader(redis, KEYS)
    for film in ("a", "b"):
        sell(redis, film)
    observe(redis, PRICES, 7)
    before = {family.name: family for family in reader.read().own}
    assert {family.name: family for family in reader.read().own} == before
    sell(redis, "b")
    after = {family.name: family for family in reader.read().own}
    assert after["price_euros"] is before["price_euros"]
    assert after["tickets_total"].series[0] is before["tickets_total"].series[0]
    assert after["tickets_total"].series[1].value == 2.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("definition|x_total", "{"),
        ("definition|x_total", '{"type":"counter","help":"","labels":["le\\n"]}'),
        ("definition|x", '{"type":"histogram","help":"","labels":[],"buckets":["1","1"]}'),
        ("definition|jobtelemetry_up", '{"type":"gauge","help":"","labels":[]}'),
    ],
)
def test_what_a_stranger_writes_is_passed_over(redis: Redis, key: str, value: str) -> None:
    """And counted; the metrics that are in order are shown."""
    sell(redis, "a")
    redis.hset(KEYS.families, key, value)
    reader = Reader(redis, KEYS)
    for _ in range(2):
        snapshot = reader.read()
        assert samples(snapshot) == {"tickets_total{film=a}": 1.0}
        assert snapshot.rejected == 1


def test_a_sampled_execution_is_the_exemplar(redis: Redis) -> None:
    """Its trace is, in OpenMetrics, unless the job gave labels of its own; a gauge has none."""
    buffer = Buffer(10)
    buffer.add(Series(TICKETS, ("Alien",)), 2)
    buffer.add(Series(TICKETS, ("Brazil",)), 3, {"order": "a|b"})
    buffer.observe(Series(PRICES, (), (5.0, 10.0, float("inf"))), 7.5)
    buffer.set(Series(SEATS, ("1",)), 4)
    event = ExecutionEvent(
        execution_id="e",
        job_id="j",
        worker="w",
        queue="q",
        rq_worker="r",
        outcome=Outcome(State.COMPLETED),
        trace_id="a" * 32,
        span_id="b" * 16,
    )
    keys = {"job_key": KEYS.job("j"), "rq_worker_key": KEYS.rq_worker("r")}
    for _ in range(2):  # the second one comes again
        pipe = redis.pipeline()
        append_finish(pipe, KEYS, event, limits=Limits(), booking=Booking(), measured=buffer.taken(), **keys)
        execute(pipe)
    text = Exposition().render([Scrape(read_snapshot(redis, KEYS), 0.1)], openmetrics=True).decode()
    of_trace = f'# {{span_id="{"b" * 16}",trace_id="{"a" * 32}"}}'
    lines = {line.partition(" ")[0]: line for line in text.splitlines() if not line.startswith("#")}
    assert lines['tickets_total{film="Alien"}'].split(" ", 1)[1].startswith(f"2.0 {of_trace} 2.0 ")
    assert lines['tickets_total{film="Brazil"}'].split(" ", 1)[1].startswith('3.0 # {order="a|b"} 3.0 ')
    assert lines['price_euros_bucket{le="10.0"}'].split(" ", 1)[1].startswith(f"1.0 {of_trace} 7.5 ")
    assert "#" not in lines['price_euros_bucket{le="5.0"}'] + lines['seats{room="1"}']


NAME = st.from_regex(r"[a-z_:][a-z0-9_:]{0,8}", fullmatch=True)
TEXT = st.text(st.sampled_from('ab|%"\\\n\r\t {},=#é€😀\u2028'), max_size=6)


@given(NAME, st.sampled_from(Kind), TEXT, st.lists(TEXT, max_size=3))
def test_definitions_and_series_survive_their_encoding(name: str, kind: Kind, about: str, values: list[str]) -> None:
    """What is kept is what was defined, whatever it says."""
    labels = tuple(f"l{number}" for number in range(len(values)))
    buckets = ("0.5", "+Inf") if kind is Kind.HISTOGRAM else ()
    name = f"{name}_total" if kind is Kind.COUNTER else name
    one = Definition(name, kind, about, labels, "", buckets)
    assert definition_of(name, one.text) == one
    found = parts_of_series(one.series(values))
    assert found is not None
    assert (found[0], found[1], [label for label, _ in found[2]]) == (kind, name, list(labels))


NUMBER = st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, 1e6, 1e16, 0.1])
MOMENT = st.sampled_from([0.0, 1_770_000_000.25]) | st.floats(0, 253_402_300_799)
PAIRS = st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), TEXT, max_size=3)
EXEMPLAR = st.builds(OwnExemplar, PAIRS.filter(bool).map(lambda found: tuple(found.items())), st.floats(0, 1e9), MOMENT)
BUCKETS = st.sampled_from([("0.5", "1.0", "+Inf"), ("-1.0", "0.0", "+Inf"), ("1.0", "1e+06", "+Inf")])


@st.composite
def own_families_of(draw: st.DrawFn) -> OwnFamily:
    """A family of any type."""
    kind = draw(st.sampled_from(Kind))
    buckets = draw(BUCKETS) if kind is Kind.HISTOGRAM else ()
    unit = draw(st.sampled_from(["", "bytes"]))
    name = draw(st.sampled_from(["a", "b", "c:d"])) + (f"_{unit}" if unit else "")
    series = []
    for labels in draw(st.lists(PAIRS, max_size=3, unique_by=lambda found: tuple(sorted(found.items())))):
        counts = draw(st.dictionaries(st.sampled_from(["0.5", "1.0", "7.0", "+Inf"]), st.integers(0, 10), max_size=3))
        exemplars = draw(st.dictionaries(st.sampled_from(buckets or ("",)), EXEMPLAR, max_size=2))
        series.append(OwnSeries(tuple(labels.items()), draw(NUMBER), counts, draw(NUMBER), 1, draw(MOMENT), exemplars))
    full = f"{name}_total" if kind is Kind.COUNTER else name
    return OwnFamily(full, kind, draw(TEXT), unit, buckets, tuple(series))


@given(st.lists(own_families_of(), max_size=3, unique_by=lambda family: family.family))
def test_every_byte_is_what_prometheus_client_writes(own: list[OwnFamily]) -> None:
    """In both formats, and again when one series has changed."""
    exposition = Exposition()
    for found in (own, own[1:], own):
        scrapes = [Scrape(Snapshot(taken_at=0.0, own=tuple(found)), 0.1)]
        for openmetrics in (False, True):
            expected = written_by_prometheus_client(families.build(scrapes), openmetrics)
            ours = exposition.render(scrapes, openmetrics=openmetrics)
            assert ours == expected + (EOF if openmetrics else b"")


@given(
    st.lists(own_families_of(), max_size=2, unique_by=lambda family: family.family),
    st.lists(own_families_of(), max_size=2, unique_by=lambda family: family.family),
)
def test_those_of_several_servers_are_one_family(eu: list[OwnFamily], us: list[OwnFamily]) -> None:
    """Each series has its server's name, and a family that is defined at both is written once."""
    exposition = Exposition()
    for one, other in ((eu, us), (eu, us[1:]), (eu, us)):
        scrapes = [
            Scrape(Snapshot(taken_at=0.0, own=tuple(found)), 0.1, None, redis)
            for redis, found in (("eu", one), ("us", other))
        ]
        for openmetrics in (False, True):
            expected = written_by_prometheus_client(families.build(scrapes), openmetrics)
            assert exposition.render(scrapes, openmetrics=openmetrics) == expected + (EOF if openmetrics else b"")


def test_what_clashes_with_another_servers_is_counted_and_said(
    redis: Redis, server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A name has one type: the first server's is shown, what the other has is a number, one line, and in doctor."""
    sell(redis, "Alien", 3)
    observe(redis, PRICES, 3)
    with EmbeddedServer() as other, ExporterServer({"eu": server.url, "us": other.url}, Config(), "127.0.0.1", 0) as up:
        us = other.connection()
        buffer = Buffer(10)
        # A gauge where the other has a counter, also by the name that OpenMetrics gives to that; labels are free.
        for definition, values in (
            (Definition("tickets_total", Kind.GAUGE, "Tickets.", ("film",)), ("Alien",)),
            (Definition("tickets", Kind.GAUGE, "Tickets."), ()),
            (SEATS, ("1",)),
        ):
            buffer.set(Series(definition, values), 8)
        buffer.observe(
            Series(Definition("price_euros", Kind.HISTOGRAM, "P.", ("shop",), "", ("7.0", "+Inf")), ("a",)), 6
        )
        write(us, buffer)
        for _ in range(2):
            text = generate_latest(up.collector).decode()
        found = [finding for finding in check_exporter(up.url, None, time.time()) if finding.level is Level.WARNING]
        alone = generate_latest(Collector(us)).decode()
    assert '\ntickets_total{film="Alien",redis="eu"} 3.0\n' in text
    assert '\nseats{redis="us",room="1"} 8.0\n' in text
    assert '\nprice_euros_bucket{le="10.0",redis="us",shop="a"} 1.0\n' in text
    assert "tickets{" not in text
    assert '\njobtelemetry_own_metrics_unserved_series{redis="eu"} 0.0\n' in text
    assert '\njobtelemetry_own_metrics_unserved_series{redis="us"} 2.0\n' in text
    said = [record.getMessage() for record in caplog.records if "is not shown" in record.getMessage()]
    assert said == [
        f"Metric {name} of Redis us, a gauge, is not shown: Redis eu has tickets_total, a counter. Give one of them "
        "another name"
        for name in ("tickets", "tickets_total")
    ]
    assert [finding.summary for finding in found] == [
        f"{up.url}/metrics does not show 2 series of your own: their names have two types"
    ]
    assert "\njobtelemetry_own_metrics_unserved_series 0.0\n" in alone


def test_a_label_of_a_users_own_is_not_lost_to_the_servers_name() -> None:
    """It is called as Prometheus calls a label that it has no place for."""
    own = OwnFamily("a", Kind.GAUGE, series=(OwnSeries((("redis", "cache"),), 4.0),))
    text = Exposition().render([Scrape(Snapshot(taken_at=0.0, own=(own,)), 0.1, None, "eu")], openmetrics=False)
    assert b'\na{exported_redis="cache",redis="eu"} 4.0\n' in text
