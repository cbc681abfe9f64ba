"""Processor time and memory of executions: measured in the work-horse, and by its parent where it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from rq.command import send_stop_job_command

from jobtelemetry.store.snapshot import LabelSet
from jobtelemetry.usage import Meter, cgroup_limit, of_ended
from support import jobs
from support.stage import Stage, Theatre
from support.workers import FORKING, WORKERS

MEGABYTES = 300
LARGE = 200_000_000


def only(stage: Stage) -> LabelSet:
    """The label set of the job."""
    (found,) = stage.snapshot().sets
    return found


@pytest.mark.parametrize("kind", FORKING)
@pytest.mark.parametrize("then", ["return", "fail", "SIGKILL", "child"])
def test_the_memory_of_a_job_is_shown(theatre: Theatre, kind: str, then: str) -> None:
    """What a job takes is known to a tenth, whether it ends well, fails, is killed, or has a program that takes it."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.grow, MEGABYTES, then)
        stage.run(kind)
        found, (entry,) = only(stage), stage.log()
        assert found.peak_memory == pytest.approx(MEGABYTES * 1_000_000, rel=0.1)
        assert found.cpu is not None
        assert found.cpu > 0
        assert int(entry["memory"]) == found.peak_memory
        assert int(entry["cpu"]) / 1_000_000 == found.cpu


def test_a_spawned_horse_does_not_inherit_the_size_of_its_parent(theatre: Theatre) -> None:
    """A job in a Python of its own is not as large as the RQ worker that started it; killed, it is not known."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.grow, 5)
        stage.enqueue(jobs.grow, 5, "SIGKILL")
        stage.run("LargeSpawnWorker")
        small, killed = sorted(stage.log(), key=lambda entry: entry["job"])
        assert int(small["memory"]) < LARGE / 10
        assert "memory" not in killed
        assert int(killed["cpu"]) > 0


def test_a_forked_horse_is_not_as_large_as_its_parent(theatre: Theatre) -> None:
    """What a work-horse shares with a large RQ worker is none of its job's, also where it was killed."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.grow, 60)
        stage.enqueue(jobs.grow, 60, "SIGKILL")
        stage.run("LargeWorker")
        assert [int(entry["memory"]) for entry in stage.log()] == pytest.approx([60_000_000] * 2, rel=0.1)


def test_a_stopped_job_shows_what_it_took(theatre: Theatre) -> None:
    """An operator's stop kills the work-horse, and its processor time is known nevertheless."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.meet)
        stage.worker()
        stage.meet()
        send_stop_job_command(stage.connection, "job-1")
        stage.settle()
        (entry,) = stage.log()
        assert entry["state"] == "stopped"
        assert int(entry["cpu"]) > 0
        assert "memory" in entry


@pytest.mark.parametrize("kind", WORKERS)
def test_processor_time_is_that_of_the_execution(theatre: Theatre, kind: str) -> None:
    """Of two executions one after the other, each has its own time, also where one process runs both."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.compute, 0.5)
        stage.enqueue(jobs.compute, 0.01)
        stage.run(kind)
        long, short = sorted(stage.log(), key=lambda entry: entry["job"])
        start = 3_000_000 if kind == "SpawnWorker" else 300_000  # a Python that has to start
        assert 500_000 <= int(long["cpu"]) < 500_000 + start
        assert 10_000 <= int(short["cpu"]) < 10_000 + start
        assert only(stage).cpu == pytest.approx((int(long["cpu"]) + int(short["cpu"])) / 1_000_000)
        assert ("memory" in long) == (kind != "SimpleWorker")


def test_nothing_is_measured_where_it_is_switched_off(theatre: Theatre) -> None:
    """JOBTELEMETRY_RESOURCES=false leaves out both, of a job that ends and of one that is killed."""
    with theatre.stage().open() as stage:
        stage.environ["JOBTELEMETRY_RESOURCES"] = "false"
        stage.enqueue(jobs.complete)
        stage.enqueue(jobs.die, "SIGKILL")
        stage.run()
        assert not any({"cpu", "memory"} & entry.keys() for entry in stage.log())
        assert all(one.cpu is None and one.peak_memory is None for one in stage.snapshot().sets)


def test_a_peak_is_forgotten_after_two_hours_of_work(theatre: Theatre) -> None:
    """The largest of the hour in which it ran last and of the one before is shown; an older one is not."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.grow, 60)
        stage.run()
        (key,) = [key for key in stage.connection.scan_iter("rq:telemetry:set:*") if b"__other__" not in key]
        hour = int(stage.connection.hget(key, "memory_hour") or 0)

        def again(last: int) -> int:
            stage.connection.hset(key, "memory_hour", str(last))
            stage.enqueue(jobs.grow, 5)
            stage.settle()
            return only(stage).peak_memory or 0

        assert again(hour) == pytest.approx(60_000_000, rel=0.1)
        assert again(hour - 3) == pytest.approx(60_000_000, rel=0.1)
        assert again(hour - 3) < 20_000_000


class _Ended:
    """What ``os.wait4`` says; memory in KiB, as on Linux."""

    ru_utime, ru_stime, ru_maxrss = 1.5, 0.25, 400 * 1024


def test_what_a_killed_horse_has_not_said_is_not_known() -> None:
    """Without the size at its start nothing is said of its memory, and of a spawned one nothing below its parent's."""
    mib = 1024 * 1024
    assert of_ended(_Ended, None).memory is None  # type: ignore[arg-type]
    assert of_ended(_Ended, None).cpu == 1.75  # type: ignore[arg-type]
    assert of_ended(_Ended, (50 * mib, 50 * mib)).memory == 350 * mib  # type: ignore[arg-type]
    assert of_ended(_Ended, (50 * mib, 300 * mib)).memory == 350 * mib  # type: ignore[arg-type]
    assert of_ended(_Ended, (50 * mib, 400 * mib)).memory is None  # type: ignore[arg-type]


def test_measuring_takes_nothing_worth_mentioning() -> None:
    """A forked horse reads nothing but getrusage, so that a million executions a day cost seconds."""
    meter = Meter.of_horse(spawned=False)
    assert meter is not None
    assert meter.memory == meter.floor
    used = meter.read()
    assert used.memory is not None
    assert used.memory >= 0


def test_the_smallest_limit_around_the_control_group_counts(tmp_path: Path) -> None:
    """Of the groups around a process the smallest memory.max is its limit; "max" and version 1 say nothing."""
    own = tmp_path / "of"
    inner = tmp_path / "pool.slice" / "rq.service"
    inner.mkdir(parents=True)
    own.write_text("4:memory:/elsewhere\n0::/pool.slice/rq.service\n")

    def limit() -> int | None:
        return cgroup_limit(str(own), str(tmp_path))

    assert limit() is None
    (inner / "memory.max").write_text("max\n")
    assert limit() is None
    (inner.parent / "memory.max").write_text("600000000\n")
    assert limit() == 600_000_000
    (inner / "memory.max").write_text("500000000\n")
    assert limit() == 500_000_000
    (tmp_path / "memory.max").write_text("400000000\n")
    assert limit() == 400_000_000
    own.write_text("4:memory:/elsewhere\n")
    assert limit() is None
    assert cgroup_limit(str(tmp_path / "gone"), str(tmp_path)) is None
