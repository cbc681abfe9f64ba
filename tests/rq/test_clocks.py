"""Hosts whose clock is wrong, by processes whose clock is shifted: who runs jobs and who enqueues, ahead and behind."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

from jobtelemetry.diagnosis.coverage import check_clocks
from jobtelemetry.store.clocks import CLOCK_MEMORY
from jobtelemetry.store.keys import Keys
from support import jobs
from support.nursery import Child
from support.stage import Stage, Theatre
from support.waiting import eventually

_COMPLETE = "support.jobs.complete"
every_error = pytest.mark.parametrize("seconds", [180.0, -180.0, 7.0, -7.0])


def start_worker(stage: Stage, seconds: float, *, name: str = "wrong", kind: str = "Worker", **options: Any) -> Child:
    """An RQ worker on a host whose clock is wrong."""
    options = {"instrumented": True, "environ": {jobs.BOOKS: str(stage.folder)}, "queues": ["default"]} | options
    return stage.nursery.start(
        "support.shifted:work", seconds=seconds, url=stage.server.tcp_url, kind=kind, name=name, **options
    )


def produce(stage: Stage, seconds: float, **options: Any) -> int:
    """Somebody who enqueues on such a host, to his end. Returns his process."""
    child = stage.nursery.start(
        "support.shifted:produce", seconds=seconds, url=stage.server.tcp_url, functions=[_COMPLETE], **options
    )
    assert child.wait() == 0, child.output
    return child.pid


def worst(stage: Stage) -> float | None:
    """The largest skew, as the metric shows it."""
    return stage.snapshot().clock_skew


def said(stage: Stage) -> str:
    """What the doctor says of the clocks."""
    return check_clocks(0.0, 0.0, 0.0, stage.snapshot().clocks).summary


def said_of(stage: Stage, who: str) -> float:
    """By how much the doctor says that somebody on this host is ahead."""
    found = re.search(rf"{re.escape(socket.gethostname())}, where {who}, ([-+][0-9.]+) s", said(stage))
    assert found, said(stage)
    return float(found[1])


@every_error
@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_the_clock_of_an_rq_workers_host_is_named(theatre: Theatre, kind: str, seconds: float) -> None:
    """From its birth on, by its name and host, with the sign, however long it idles; gone when it is."""
    with theatre.stage().open() as stage:
        worker = start_worker(stage, seconds, kind=kind)
        eventually(lambda: worst(stage) is not None, "its birth")
        assert worst(stage) == pytest.approx(seconds, abs=0.9)
        stage.enqueue(jobs.complete)
        eventually(lambda: sum(counter.value for counter in stage.snapshot().executions.values()) == 1, "its job")
        assert worst(stage) == pytest.approx(seconds, abs=0.9)
        assert said_of(stage, "RQ worker wrong runs") == pytest.approx(seconds, abs=0.9)
        assert stage.snapshot().rejected == 0
        stage.bury(worker)
        stage.connection.delete("rq:worker:wrong")
        assert worst(stage) is None, "nobody has that clock any more"


@every_error
def test_the_clock_of_who_enqueues_is_named(theatre: Theatre, seconds: float) -> None:
    """Ahead or behind, at the enqueueing already, by host and process, for an hour."""
    with theatre.stage().open() as stage:
        pid = produce(stage, seconds)
        assert worst(stage) == pytest.approx(seconds, abs=0.9)
        assert said_of(stage, f"process {pid} enqueues") == pytest.approx(seconds, abs=0.9)
        stage.run("SimpleWorker")
        (clock,) = stage.snapshot().clocks
        assert clock.kind == "producer", "the jobs tell nothing new"
        for field, value in stage.connection.hgetall(Keys().meta).items():
            if field.startswith(b"clock"):
                ahead, at = value.split()
                stage.connection.hset(Keys().meta, field, b"%s %d" % (ahead, int(at) - int(CLOCK_MEMORY) - 2))
        assert worst(stage) is None


def test_a_clock_that_was_set_right_is_forgotten_at_once(theatre: Theatre) -> None:
    """The process's next word is enough."""
    with theatre.stage().open() as stage:
        produce(stage, -180.0, correct=True)
        assert worst(stage) is None


def test_right_clocks_leave_nothing(theatre: Theatre) -> None:
    """No field, no figure, no finding."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.run("Worker")
        assert worst(stage) is None
        assert not [name for name in stage.connection.hkeys(Keys().meta) if name.startswith(b"clock")]
        assert "no clock is known to differ" in said(stage)


def test_the_worst_of_several_is_the_figure_and_all_are_named(theatre: Theatre) -> None:
    """An RQ worker that is ahead, and somebody further behind who enqueues."""
    with theatre.stage().open() as stage:
        start_worker(stage, 60.0)
        eventually(lambda: worst(stage) is not None, "its birth")
        produce(stage, -300.0)
        assert worst(stage) == pytest.approx(-300, abs=0.9)
        assert [clock.kind for clock in stage.snapshot().clocks] == ["producer", "rq_worker"]
        assert said(stage).count(socket.gethostname()) == 2


def test_of_who_is_not_instrumented_a_lead_is_seen(theatre: Theatre) -> None:
    """Its jobs lie in the future, and so do an RQ worker's heartbeats; which host enqueues, nobody says."""
    with theatre.stage().open() as stage:
        produce(stage, 180.0, instrumented=False)
        stage.run("SimpleWorker")
        (clock,) = stage.snapshot().clocks
        assert (clock.kind, clock.who) == ("jobs", "default")
        assert 150 < clock.ahead <= 180
        assert "whoever enqueues on default" in said(stage)
        start_worker(stage, 200.0, instrumented=False)
        eventually(lambda: len(stage.snapshot().clocks) == 1 and stage.snapshot().clocks[0].who == "wrong", "it")


def test_there_is_room_for_the_worst(theatre: Theatre) -> None:
    """However many there are, a few dozen are kept, and the worst is among them."""
    with theatre.stage().open() as stage:
        for number in range(60):
            now = int(stage.snapshot().taken_at)
            stage.connection.hset(Keys().meta, f"clock|producer|host {number}", f"{5 + number}.000 {now}")
        produce(stage, -500.0)
        clocks = stage.snapshot().clocks
        assert clocks[0].ahead == pytest.approx(-500, abs=0.9)
        produce(stage, 2.0)
        assert len(stage.snapshot().clocks) == len(clocks)


def test_a_lesser_lead_is_no_echo_of_a_larger_one(theatre: Theatre) -> None:
    """A job that lies far in the future is told of, also after one that lies less far; for an hour."""
    with theatre.stage().open() as stage:
        for moment in ("2100-01-01T00:00:00.000000Z", ""):
            job = stage.enqueue(jobs.complete)
            if moment:
                stage.connection.hset(f"rq:job:{job.id}", "enqueued_at", moment)
        stage.run("SimpleWorker")
        assert (worst(stage) or 0) > 1_000_000_000
        assert stage.snapshot().rejected == 0, "its moment is one of our fields"
