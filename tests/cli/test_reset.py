"""``jobtelemetry reset`` and the script behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from jobtelemetry.contract import Kind
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import StoreError
from jobtelemetry.outcomes import State
from jobtelemetry.own_metrics.buffer import Buffer, Series
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Definition, measure_command
from jobtelemetry.store.read import Reader, read_snapshot
from jobtelemetry.store.reset import forget_worker
from jobtelemetry.store.scripts import run

Cli = Callable[..., Any]
Record = Callable[..., str]
ODD = "old%|job"


def fill(record: Record, worker: str) -> None:
    """Every family has a series of it, with exemplars."""
    for queue in ("a|b", "c"):
        facts = {"worker": worker, "queue": queue, "trace_id": "t", "span_id": "s"}
        record(State.COMPLETED, 3, **facts)
        record(State.CANCELLED, 2, reason="r", **facts)
        record(State.FAILURE, error_type="E", **facts)


def contents(server: EmbeddedServer) -> dict[str, Any]:
    """Every key of the label sets with what it holds, without what says when a set was changed and by which change."""
    connection, keys = server.connection(), Keys()
    found: dict[str, Any] = {}
    for pattern in (keys.label_set("*"), keys.traces("*")):
        for key in connection.scan_iter(match=pattern):
            found[key.decode()] = connection.hgetall(key)
    return found | {"sets": sorted(connection.zrange(keys.sets, 0, -1))}


def test_only_the_one_worker_is_forgotten(server: EmbeddedServer, record: Record) -> None:
    """All series of a worker go, whatever its name and queues, and nothing else changes by a single field."""
    connection, keys = server.connection(), Keys()
    fill(record, "old")
    before = contents(server)
    fill(record, ODD)
    assert forget_worker(connection, keys, ODD).executions == 12
    assert contents(server) == before
    assert forget_worker(connection, keys, ODD).fields == 0


def test_the_books_agree_after_a_reset(server: EmbeddedServer, record: Record) -> None:
    """What was forgotten on purpose is not missed: the accounts have it written off."""
    connection, keys = server.connection(), Keys()
    fill(record, "old")
    fill(record, "new")
    forget_worker(connection, keys, "old")
    snapshot = read_snapshot(connection, keys)
    assert (snapshot.accounts_difference, snapshot.counts_lost_at) == (0, None)
    assert sum(counter.value for counter in snapshot.executions.values()) == 12


def test_its_place_is_free_again(server: EmbeddedServer, record: Record) -> None:
    """After a reset the families have room for as many label sets as before, and a later execution begins at 1."""
    connection, keys = server.connection(), Keys()
    fill(record, "old")
    forget_worker(connection, keys, "old")
    assert connection.zcard(keys.sets) == 0
    distinct = {name: value for name, value in connection.hgetall(keys.meta).items() if name.startswith(b"distinct")}
    assert set(distinct.values()) <= {b"0"}, distinct
    fill(record, "old")
    snapshot = read_snapshot(connection, keys)
    assert sum(counter.value for counter in snapshot.executions.values()) == 12


def test_what_found_no_place_holds_none(server: EmbeddedServer, record: Record) -> None:
    """Forgetting the overflow gives back no place that it never took."""
    connection, keys = server.connection(), Keys()
    fill(record, "other")
    record(number=5, label_sets=2, worker="too-many", reason="one-more", state=State.CANCELLED)
    distinct = {name: value for name, value in connection.hgetall(keys.meta).items() if name.startswith(b"distinct")}
    assert forget_worker(connection, keys, "__other__").executions == 5
    assert {name: connection.hget(keys.meta, name) for name in distinct} == distinct
    assert connection.zcard(keys.sets) == 2


@pytest.mark.parametrize("name", ["label set", "sets"])
def test_a_key_of_another_program_is_an_error(server: EmbeddedServer, record: Record, name: str) -> None:
    """A key of another type is left alone and told."""
    connection, key = server.connection(), Keys().sets
    record(worker="old")
    if name == "sets":
        connection.delete(key)
    else:
        labels = connection.zrange(Keys().sets, 0, -1)[0].decode()
        key = Keys().label_set(labels)
        connection.delete(key)
    connection.set(key, "x")
    with pytest.raises((StoreError, redis.ResponseError), match="WRONGTYPE"):
        forget_worker(connection, Keys(), "old")
    assert connection.get(key) == b"x"


def test_it_asks_first(cli: Cli, record: Record) -> None:
    """Only a yes removes anything, and the question says how much it is about."""
    record(worker="cinema.jobs.OldJob", number=3)
    said = cli("reset", "--worker", "OldJob", stdin="n\n")
    assert said.code == 1
    assert "Remove cinema.jobs.OldJob with its 3 executions from the counters?" in said.err
    assert cli("stats").rows[-1]["executions"] == "3"
    assert cli("reset", "--worker", "OldJob", stdin="y\n").out == "Removed cinema.jobs.OldJob with 3 executions.\n"
    assert cli("stats").rows[-1]["executions"] == "0"
    assert len(cli("jobs").rows) == 3


def test_an_ambiguous_name_removes_nothing(cli: Cli, record: Record) -> None:
    """Where a short name stands for two workers the whole one is asked for."""
    record(worker="a.Job")
    record(worker="b.Job")
    said = cli("reset", "--worker", "Job", "--yes")
    assert (said.code, "a.Job or b.Job" in said.err) == (2, True)
    assert cli("reset", "--worker", "a.Job", "--yes").code == 0
    assert [row["worker"] for row in cli("stats").rows] == ["b.Job", "Total"]


def sell(server: EmbeddedServer, *films: str) -> None:
    """Tickets are sold, outside of jobs."""
    definition = Definition("cinema_tickets_total", Kind.COUNTER, "Tickets.", ("film",))
    buffer = Buffer(10)
    for film in films:
        buffer.add(Series(definition, (film,)), 2)
    connection = server.connection()
    command = measure_command(Keys(), buffer.taken(), writer=f"of {films}", batch=1, families=9, series=9)
    assert run(connection, command)[0] == b"counted"


def test_a_metric_of_one_s_own_is_forgotten(cli: Cli, server: EmbeddedServer) -> None:
    """After a yes; then its name is free again, and nothing is missing."""
    sell(server, "Alien", "Brazil")
    assert "1 metric of your own with 2 series" in cli("doctor").out
    assert (
        "Remove cinema_tickets_total with its 2 series?" in cli("reset", "-m", "cinema_tickets_total", stdin="n\n").err
    )
    said = cli("reset", "--metric", "cinema_tickets_total", "--yes")
    assert said.out == "Removed cinema_tickets_total: 2 series of 2 observations.\n"
    assert "of your own" not in cli("doctor").out
    assert read_snapshot(server.connection(), Keys()).proven
    sell(server, "Cabaret")
    assert cli("reset", "--metric", "cinema_tickets_total", "--yes", "--json").code == 0


def test_what_nobody_has_written_down_yet_is_acknowledged_too(cli: Cli, server: EmbeddedServer) -> None:
    """A loss that a reconciler has still to write down does not come back as another note."""
    redis = server.connection()
    sell(server, "Alien")
    redis.delete(*redis.keys(Keys().series("*")))
    sell(server, "Alien", "Brazil")  # who writes there again notes the loss; what is missing, a reader finds out
    assert "a series of an own metric was gone" in cli("reset", "--losses", "--yes").out
    reader = Reader(redis, Keys())
    assert reader.read().proven
    assert not reader.tend()


def test_a_metric_that_is_not_there_is_an_error(cli: Cli, server: EmbeddedServer) -> None:
    """With the names that there are; and one thing is forgotten at a time."""
    sell(server, "Alien")
    said = cli("reset", "--metric", "tickets")
    assert (said.code != 0, "'tickets'; there are: cinema_tickets_total" in said.err) == (True, True)
    assert "give one of --worker NAME, --metric NAME and --losses" in cli("reset", "--metric", "a", "--losses").err
