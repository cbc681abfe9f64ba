"""Row 37: jobs that leave ``time.time`` changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs, own_ways
from support.stage import Stage, Theatre
from support.told import told
from support.workers import WORKERS

#: With these, a line of RQ's own log ends the process that writes it, also without us.
UNLOGGABLE = ("nan", "raising")
every_clock = pytest.mark.parametrize(
    ("kind", "clock"), [(kind, clock) for kind in WORKERS for clock in own_ways.CLOCKS]
)


def _options(kind: str, clock: str) -> dict[str, Any]:
    """Without work-horses, RQ can go on with such a clock only where it logs nothing."""
    return {"logging_level": "CRITICAL"} if kind == "SimpleWorker" and clock in UNLOGGABLE else {}


@pytest.mark.row(37)
@every_clock
def test_a_clock_that_a_job_left_changed_hurts_nobody(theatre: Theatre, kind: str, clock: str) -> None:
    """Jobs that leave ``time.time`` changed, and those after them, are timed right, and RQ's registries are whole."""

    def scene(stage: Stage) -> None:
        for then in ("return", "fail"):
            stage.enqueue(own_ways.leave_clock, clock, then)
            stage.enqueue(jobs.complete)
            stage.enqueue(jobs.fail)
        stage.run(kind, **_options(kind, clock))
        if stage.instrumented:
            _timed_right(stage)
            reconcile(stage.connection, Keys(), Limits())
        # Where everything that asks for the time raises, RQ reaches no function any more.
        stage.unreached = 5 if ended else 0

    ended = kind == "SimpleWorker" and clock == "raising"
    found = theatre.play(scene)
    if clock in UNLOGGABLE:  # so it is with ours, which hurts nobody but the log
        found = replace(found, handler_errors={})
    if ended:
        assert found == told(completed=1, discard=5, errors={"RuntimeError": 5})
    elif clock in UNLOGGABLE and kind != "SimpleWorker":  # the log line of the failure ends the work-horse
        assert found == told(completed=3, discard=3, errors={"ValueError": 2, "WorkHorseExited": 1})
    else:
        assert found == told(completed=3, discard=3, errors={"ValueError": 3})


def _timed_right(stage: Stage) -> None:
    snapshot = stage.snapshot()
    assert all(0 <= histogram.sum < 60 for histogram in snapshot.durations.values())
    assert all(0 <= histogram.sum < 60 for histogram in snapshot.waits.values())
    assert all(0 <= float(entry.get("duration", 0)) < 60_000_000 for entry in stage.log())
    assert all(snapshot.taken_at - 120 < float(entry["ended"]) <= snapshot.taken_at for entry in stage.log())
    assert all(snapshot.taken_at - 120 < moment <= snapshot.taken_at for moment in snapshot.last_completed.values())
    assert not snapshot.rejected


@pytest.mark.row(37)
@every_clock
def test_a_cancellation_with_a_changed_clock_leaves_rqs_registry_whole(theatre: Theatre, kind: str, clock: str) -> None:
    """RQ's registry keeps what was cancelled before, while, and after a job changed the clock."""
    with theatre.stage().open() as stage:
        for _ in range(3):
            stage.enqueue(jobs.cancel)
        stage.enqueue(own_ways.leave_clock, clock, "cancel")
        stage.enqueue(jobs.cancel)
        stage.enqueue(jobs.complete)
        stage.run(kind, **_options(kind, clock))
        stage.enqueue(jobs.cancel)
        stage.settle()
        ended = kind == "SimpleWorker" and clock == "raising"
        registry = {job_id.decode() for job_id in stage.connection.zrange("rq:canceled:default", 0, -1)}
        assert registry == {f"job-{number}" for number in ((1, 2, 3, 4) if ended else (1, 2, 3, 4, 5, 7))}
        assert all(0 < stage.connection.ttl(f"rq:job:{job_id}") <= 500 for job_id in registry)
        found = stage.told()
        assert found.reasons == {"movie_not_matched": len(registry)}
        assert found.states == {"cancelled": 4, "discard": 3} if ended else {"cancelled": 6, "completed": 1}
        assert not found.unrecorded
        _timed_right(stage)
