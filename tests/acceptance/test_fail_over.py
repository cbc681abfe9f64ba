"""Row 32: a replica takes over, with everything or without the last writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtelemetry.store.books import acknowledge_losses
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import tidy
from jobtelemetry.store.snapshot import Snapshot
from soak.primary import Primary
from support import jobs
from support.nursery import Nursery
from support.stage import Stage, Theatre
from support.waiting import eventually

with_and_without_horse = pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    """A server with an address of its own, which another one may take."""
    server = Primary(tmp_path / "servers")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def theatre(primary: Primary, nursery: Nursery, tmp_path: Path) -> Theatre:
    """A theatre on it."""
    return Theatre(primary, nursery, tmp_path)


def _executions(snapshot: Snapshot) -> int:
    return sum(counter.value for counter in snapshot.executions.values())


def _run(stage: Stage, number: int) -> None:
    calls = stage.calls + number
    for _ in range(number):
        stage.enqueue(jobs.complete)
    eventually(lambda: stage.calls == calls, "the jobs")
    stage.settle()


@pytest.mark.row(32)
@with_and_without_horse
def test_a_replica_with_everything_takes_over(theatre: Theatre, primary: Primary, kind: str) -> None:
    """Nothing is lost, and nothing is said."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        stage.worker(kind, retries=500)  # RQ gives up where it cannot connect between two jobs
        _run(stage, 3)
        assert kept.read().proven
        primary.fail_over()
        snapshot = eventually(kept.read, "the replica")
        assert (_executions(snapshot), snapshot.counts_lost_why, snapshot.proven) == (3, "", True)
        _run(stage, 2)
        for snapshot in (kept.read(), stage.snapshot()):
            assert (_executions(snapshot), snapshot.counts_lost_why, snapshot.proven) == (5, "", True)


@pytest.mark.row(32)
@with_and_without_horse
def test_a_lagging_replica_is_seen_at_the_next_scrape(theatre: Theatre, primary: Primary, kind: str) -> None:
    """Who has read more says how many are missing, and that RQ lost the same; once seen, the proof begins anew."""
    with theatre.stage().open() as stage:
        kept = Reader(stage.connection, Keys())
        stage.worker(kind, retries=500)  # RQ gives up where it cannot connect between two jobs
        _run(stage, 3)

        def work_on() -> None:
            _run(stage, 2)
            assert _executions(kept.read()) == 5

        primary.fail_over(while_behind=work_on)
        snapshot = eventually(kept.read, "the replica")
        assert (_executions(snapshot), snapshot.counts_lost) == (3, 2)
        assert snapshot.counts_lost_at is not None
        assert "RQ lost the same" in snapshot.counts_lost_why
        kept.tend()
        _run(stage, 1)
        tidy(stage.connection, Keys())
        for snapshot in (kept.read(), stage.snapshot()):
            assert (_executions(snapshot), snapshot.counts_lost, snapshot.unrecorded) == (4, 2, 0)
            assert "RQ lost the same" in snapshot.counts_lost_why
        acknowledge_losses(stage.connection, Keys())
        assert kept.read().proven


@pytest.mark.row(32)
@with_and_without_horse
def test_a_lagging_replica_is_seen_at_the_next_execution(theatre: Theatre, primary: Primary, kind: str) -> None:
    """A worker that has counted more says so with its next execution, to whoever looks for the first time."""
    with theatre.stage().open() as stage:
        stage.worker(kind, retries=500)  # RQ gives up where it cannot connect between two jobs
        _run(stage, 3)
        primary.fail_over(while_behind=lambda: _run(stage, 2))
        eventually(stage.connection.ping, "the replica")
        assert stage.snapshot().counts_lost_at is None
        _run(stage, 1)
        snapshot = stage.snapshot()
        assert (_executions(snapshot), snapshot.counts_lost, snapshot.unrecorded) == (4, 2, 0)
        assert snapshot.counts_lost_at is not None
