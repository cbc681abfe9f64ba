"""The ways in: in code, at any time; RQ's own commands; OpenTelemetry's; a pool."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from support import jobs
from support.nursery import TESTS
from support.stage import Stage, Theatre
from support.told import told
from support.waiting import eventually

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Run]:
    """Run a program of this environment to its end."""

    def run(stage: Stage, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        quiet = {f"OTEL_{signal_}_EXPORTER": "none" for signal_ in ("TRACES", "METRICS", "LOGS")}
        path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        environ = {**os.environ, **quiet, jobs.BOOKS: str(stage.folder), "PYTHONPATH": path, **more}
        return subprocess.run(arguments, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    yield run


def script(name: str) -> str:
    """A console script of this environment."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def some_jobs(stage: Stage) -> None:
    """Two that complete, one that fails, one that cancels itself."""
    for function in (jobs.complete, jobs.complete, jobs.fail, jobs.cancel):
        stage.enqueue(function)


EXPECTED = told(completed=2, discard=1, cancelled=1, errors={"ValueError": 1}, reasons={"movie_not_matched": 1})


@pytest.mark.parametrize(
    "program",
    [
        [script("opentelemetry-instrument"), script("rq"), "worker"],
        [script("jobtelemetry"), "worker"],
        [script("jobtelemetry"), "worker-pool", "-n", "2"],
    ],
    ids=["opentelemetry-instrument rq worker", "jobtelemetry worker", "jobtelemetry worker-pool"],
)
def test_a_command_is_instrumented(theatre: Theatre, command: Run, program: list[str]):
    """RQ's commands run instrumented, through OpenTelemetry's launcher or ours."""
    with theatre.stage().open() as stage:
        some_jobs(stage)
        ended = command(stage, *program, "--url", stage.server.tcp_url, "--burst", "default")
        assert ended.returncode == 0, ended.stderr
        assert stage.told() == EXPECTED, ended.stderr


@pytest.mark.parametrize("program", ["rq", "jobtelemetry"])
def test_jobs_are_counted_where_opentelemetry_cannot_start(theatre: Theatre, command: Run, program: str):
    """OpenTelemetry's launcher then loads no instrumentation at all, and says so; ours is there before it fails."""
    with theatre.stage().open() as stage:
        some_jobs(stage)
        launcher = script("opentelemetry-instrument")
        arguments = ("worker", "--url", stage.server.tcp_url, "--burst", "default")
        ended = command(stage, launcher, script(program), *arguments, OTEL_TRACES_EXPORTER="not_there")
        assert ended.returncode == 0, ended.stderr
        assert "Failed to auto initialize OpenTelemetry" in ended.stderr
        assert stage.calls == 4
        assert stage.told() == EXPECTED, ended.stderr


@pytest.mark.parametrize("variable", ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "OTEL_PYTHON_DISTRO"])
def test_opentelemetrys_ways_to_leave_us_out_hold(theatre: Theatre, command: Run, variable: str):
    """Who names us among what is not to be instrumented is not counted; who chose a distribution keeps it."""
    value = {"OTEL_PYTHON_DISTRO": "distro"}.get(variable, "requests, jobtelemetry")
    with theatre.stage().open() as stage:
        some_jobs(stage)
        arguments = ("worker", "--url", stage.server.tcp_url, "--burst", "default")
        ended = command(stage, script("opentelemetry-instrument"), script("rq"), *arguments, **{variable: value})
        assert ended.returncode == 0, ended.stderr
        assert stage.calls == 4
        assert stage.told() == EXPECTED if variable == "OTEL_PYTHON_DISTRO" else not stage.told().states, ended.stderr


def test_a_plain_command_is_not(theatre: Theatre, command: Run):
    """Without a way in, RQ's command records nothing: the package's mere presence changes nothing."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        ended = command(stage, script("rq"), "worker", "--url", stage.server.tcp_url, "--burst", "default")
        assert ended.returncode == 0, ended.stderr
        assert stage.told().states == {}
        assert stage.calls == 1


@pytest.mark.parametrize("kind", ["LateWorker", "LateSimpleWorker"])
def test_a_subclass_defined_afterwards_is_instrumented(theatre: Theatre, kind: str):
    """A worker class that the application defines after ``instrument()`` is recorded like any other."""
    with theatre.stage().open() as stage:
        some_jobs(stage)
        stage.run(kind)
        assert stage.told() == EXPECTED


def test_a_pool_is_instrumented(theatre: Theatre):
    """The workers of a ``WorkerPool`` are, with their horses, while they run and when they are told to end."""
    with theatre.stage().open() as stage:
        some_jobs(stage)
        pool = stage.nursery.start(
            "support.workers:work_pool",
            url=stage.server.tcp_url,
            number=3,
            environ={jobs.BOOKS: str(stage.folder)},
        )
        eventually(lambda: stage.told() == EXPECTED, "four executions")
        eventually(lambda: len(stage.snapshot().rq_workers) == 3, "three workers")
        assert stage.told().uninstrumented == 0
        pool.kill(signal.SIGTERM)
        pool.wait()
        assert stage.told() == EXPECTED


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_on_a_plain_worker_a_cancel_is_an_ordinary_failure(theatre: Theatre, kind: str):
    """A worker that does not know ``Cancel`` fails the job, and the job says why."""
    with theatre.stage(instrumented=False).open() as stage:
        job = stage.enqueue(jobs.cancel)
        stage.run(kind)
        assert stage.status() == "failed"
        (result,) = job.results()
        assert "cancelled on purpose; a failure only because this worker is not instrumented" in result.exc_string


def test_a_producer_counts_only_while_it_is_instrumented(theatre: Theatre):
    """Enqueued jobs are counted only while the producer is instrumented."""
    import jobtelemetry

    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        jobtelemetry.uninstrument()
        stage.enqueue(jobs.complete)
        assert sum(counter.value for counter in stage.snapshot().enqueued.values()) == 1
        jobtelemetry.instrument()
        stage.enqueue(jobs.complete)
        assert sum(counter.value for counter in stage.snapshot().enqueued.values()) == 2


def test_this_python_can_do_without_the_launcher(command: Run, theatre: Theatre):
    """OpenTelemetry finds the entry point by its group, and it says what it needs."""
    program = (
        "from importlib.metadata import entry_points;"
        "(point,) = [p for p in entry_points(group='opentelemetry_instrumentor') if p.name == 'jobtelemetry'];"
        "print(point.load()().instrumentation_dependencies())"
    )
    with theatre.stage().open() as stage:
        assert command(stage, sys.executable, "-c", program).stdout.strip() == "('rq >= 2.7',)"


def test_a_job_without_an_id_keeps_none_until_rq_asks(theatre: Theatre):
    """``unique=True`` without an id is refused by RQ, as on a plain queue: no hook makes one up before."""
    with theatre.stage().open() as stage:
        queue, now = stage.queue(), datetime.now(timezone.utc)
        if "unique" not in inspect.signature(queue.schedule_job).parameters:
            return  # before RQ 2.12
        with pytest.raises(ValueError, match="requires an explicit job_id"):
            queue.enqueue_job(queue.create_job(jobs.complete), unique=True)
        with pytest.raises(ValueError, match="requires an explicit job_id"):
            queue.schedule_job(queue.create_job(jobs.complete), now, unique=True)
