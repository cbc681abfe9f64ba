"""What the doctor says of facts made by hand."""

from __future__ import annotations

import pytest

from jobtelemetry.diagnosis.coverage import check_clocks, check_coverage
from jobtelemetry.diagnosis.findings import Finding, Level, exit_code, size
from jobtelemetry.diagnosis.server import eviction, persistence, version
from jobtelemetry.store.snapshot import QueueState, RQWorkerState, Snapshot, WrongClock

NOW = 1_770_000_000.0


def levels(snapshot: Snapshot) -> dict[str, Level]:
    """Check -> level."""
    return {finding.check: finding.level for finding in check_coverage(snapshot)}


def test_the_worst_finding_is_the_exit_code() -> None:
    """0 if all is well or was not checked, 1 after a warning, 2 after a problem."""
    assert exit_code([]) == 0
    assert exit_code([Finding("a", Level.OK, ""), Finding("b", Level.NOT_CHECKED, "")]) == 0
    assert exit_code([Finding("a", Level.WARNING, ""), Finding("b", Level.OK, "")]) == 1
    assert exit_code([Finding("a", Level.WARNING, ""), Finding("b", Level.PROBLEM, "")]) == 2


def test_a_blind_spot_is_a_problem() -> None:
    """An uninstrumented worker and an unrecorded execution are problems; no worker at all is a warning."""
    good = RQWorkerState("one", instrumented=True, succeeded_by_rq=5, succeeded=5)
    blind = RQWorkerState("two", instrumented=False, succeeded_by_rq=2, failed_by_rq=1)
    assert set(levels(Snapshot(NOW, rq_workers=(good,))).values()) == {Level.OK}
    found = levels(Snapshot(NOW, rq_workers=(good, blind)))
    assert (found["workers"], found["audit"]) == (Level.PROBLEM, Level.PROBLEM)
    assert levels(Snapshot(NOW))["workers"] is Level.WARNING


def test_versions_that_differ_or_are_not_tested_are_told() -> None:
    """What RQ workers have is listed; a difference, an untested RQ and hooks that it lacks are warnings."""
    same = {"jobtelemetry": "0.1.0", "rq": "3.0.0", "redis": "8.1.0"}
    one = RQWorkerState("one", instrumented=True, versions=same)
    two = RQWorkerState("two", instrumented=True, versions=same | {"rq": "2.7.0"})
    new = RQWorkerState(
        "new", instrumented=True, versions=same | {"rq": "3.1"}, untested=True, lacking=("Job.restore",)
    )
    deaf = RQWorkerState("deaf", versions=same | {"rq": "4.0"}, missing=("BaseWorker.handle_job_failure",))

    def found(check: str, *workers: RQWorkerState) -> Finding:
        return next(item for item in check_coverage(Snapshot(NOW, rq_workers=workers)) if item.check == check)

    assert found("versions", one).level is Level.OK
    assert found("versions", one).summary == "jobtelemetry 0.1.0, RQ 3.0.0, redis-py 8.1.0"
    assert found("versions", one, two).level is Level.WARNING
    assert "RQ 2.7.0 (two) and 3.0.0 (one)" in found("versions", one, two).summary
    assert "newer than jobtelemetry was tested with: new" in found("versions", new).summary
    assert "RQ lacks Job.restore" in found("versions", new).summary
    assert "deaf (its RQ lacks what counting needs: BaseWorker.handle_job_failure)" in found("workers", deaf).summary


def test_our_own_errors_and_overdue_jobs_are_warnings() -> None:
    """Errors in hooks and scheduled jobs that nobody moves are told."""
    errors = {"record": 0, "start": 2, "tell": 0}
    snapshot = Snapshot(NOW, handler_errors=errors, late=1, reconciled=3, queues=(QueueState("q", {}, None, 4),))
    found = {finding.check: finding for finding in check_coverage(snapshot)}
    assert found["hooks"].level is found["scheduler"].level is Level.WARNING
    assert ": start (2); " in found["hooks"].summary, "only hooks that had errors are named"
    assert "3 executions of dead RQ workers" in found["hooks"].summary


def test_clocks_that_differ_are_told() -> None:
    """An RQ worker, a producer, or this machine, whose clock is off by more than two seconds is named."""
    right = WrongClock("rq_worker", "one", "here", 1.5)
    assert check_clocks(NOW, NOW - 0.1, NOW + 0.1, [right]).level is Level.OK
    assert check_clocks(NOW + 4, NOW, NOW + 5, []).level is Level.OK, "a slow reply is no skew"
    wrong = [WrongClock("producer", "77", "", -90.0), WrongClock("rq_worker", "two", "there", 60.0)]
    found = check_clocks(NOW, NOW, NOW, [*wrong, right])
    assert found.level is Level.WARNING
    assert "an unknown host, where process 77 enqueues, -90.0 s" in found.summary
    assert "there, where RQ worker two runs, +60.0 s" in found.summary
    assert "RQ worker one" not in found.summary
    assert "Redis +60.0 s" in check_clocks(NOW + 60, NOW, NOW, []).summary
    assert "Redis -60.0 s" in check_clocks(NOW - 60, NOW, NOW, []).summary


@pytest.mark.parametrize(
    ("info", "save", "level"),
    [
        ({"aof_enabled": 1}, "", Level.OK),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "", Level.PROBLEM),
        ({}, "", Level.WARNING),
        ({}, "3600 1", Level.OK),
        ({"rdb_last_bgsave_status": "err"}, "3600 1", Level.PROBLEM),
        ({}, None, Level.NOT_CHECKED),
        ({"rdb_last_bgsave_time_sec": 0}, None, Level.OK),
    ],
)
def test_persistence(info: dict[str, object], save: str | None, level: Level) -> None:
    """Counts must outlive a restart: none is a warning, one that fails is a problem."""
    assert persistence(info, save).level is level


@pytest.mark.parametrize(
    ("policy", "most", "used", "level"),
    [
        ("noeviction", 0, 10, Level.OK),
        ("allkeys-lru", 0, 10, Level.OK),
        ("allkeys-lru", 100, 10, Level.PROBLEM),
        ("volatile-lru", 100, 10, Level.WARNING),
        ("noeviction", 100, 95, Level.WARNING),
    ],
)
def test_eviction(policy: str, most: int, used: int, level: Level) -> None:
    """Redis must not throw counts or jobs away."""
    assert eviction({"maxmemory": most, "used_memory": used, "maxmemory_policy": policy}).level is level


def test_versions_and_sizes() -> None:
    """An old Redis is a problem, Valkey is called by its name, and bytes are for people."""
    assert version({"redis_version": "4.0.9"}).level is Level.PROBLEM
    assert (
        version({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.0.1"}).summary
        == "Valkey 9.0.1"
    )
    assert version({"redis_version": "unknown"}).level is Level.NOT_CHECKED
    assert [size(number) for number in (12, 4_513_744, 7_000_000_000)] == ["12 B", "4.5 MB", "7.0 GB"]


def test_a_queue_that_only_uninstrumented_rq_workers_serve_is_named() -> None:
    """What runs there is in no figure; a queue that somebody else serves as well is not named."""
    good = RQWorkerState("one", ("high",), instrumented=True)
    blind = RQWorkerState("two", ("high", "mail"))
    found = {finding.check: finding for finding in check_coverage(Snapshot(NOW, rq_workers=(good, blind)))}
    assert "nothing that runs on mail is recorded" in found["workers"].summary


def test_a_loss_hides_neither_the_difference_nor_foreign_values() -> None:
    """Both are said beside it, the foreign values by name."""
    snapshot = Snapshot(
        NOW,
        counts_lost_at=NOW - 60,
        counts_lost=3,
        counts_lost_why="label sets are gone",
        accounts_difference=3,
        rejected=7,
        rejected_names=("running session:1",),
    )
    found = {finding.check: finding for finding in check_coverage(snapshot)}
    assert "label sets are gone" in found["books"].summary
    assert "the accounts of the RQ workers have more" in found["books"].summary
    assert "running session:1 and 6 more" in found["values"].summary
