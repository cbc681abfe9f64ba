"""Which label an execution is counted under, from the producer through the parent to the work-horse."""

from __future__ import annotations

import functools
import os

import pytest

from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs, odd_jobs
from support.stage import Stage, Theatre
from support.waiting import eventually
from support.workers import FORKING, WORKERS


class Ledgered:
    """An argument that notes in which process it was loaded."""

    def __reduce__(self):
        return jobs.note_loading, ()


#: What is enqueued, and the label.
CALLS = {
    "function": (jobs.complete, "support.jobs.complete"),
    "text": ("support.jobs.complete", "support.jobs.complete"),
    "callable instance": (jobs.refresh, "support.jobs.Refresh"),
    "method": (jobs.refresh.instance_method, "support.jobs.Refresh.instance_method"),
    "class method": (jobs.Refresh.class_method, "support.jobs.Refresh.class_method"),
    "static method": (jobs.Refresh.static_method, "support.jobs.Refresh.static_method"),
    "named function": (jobs.named, "cinema.jobs.RefreshJob"),
    "named class": (jobs.Named(), "cinema.jobs.Named"),
    "partial function": (functools.partial(jobs.complete, 7), "support.jobs.complete"),
    "partial named function": (functools.partial(jobs.named), "cinema.jobs.RefreshJob"),
    "cached function": (odd_jobs.cached, "support.odd_jobs.cached"),
    "partial cached function": (functools.partial(odd_jobs.cached), "support.odd_jobs.cached"),
}


def labels(stage: Stage) -> list[str]:
    """What the executions were counted under, in the order of the jobs."""
    by_job = {entry["job"]: entry["worker"] for entry in stage.log()}
    return [by_job[f"job-{number}"] for number in range(1, len(CALLS) + 1)]


def executions(stage: Stage) -> dict[tuple[str, str], int]:
    """Executions by label and source."""
    counters = stage.snapshot().executions.items()
    return {(series.worker, series.source): counter.value for (series, _), counter in counters if counter.value}


@pytest.mark.parametrize("kind", WORKERS)
def test_the_label_is_the_function_or_its_class(theatre: Theatre, kind: str):
    """Whatever is enqueued has the label that its producer noted, or the name that it was given."""
    with theatre.stage().open() as stage:
        for function, _ in CALLS.values():
            stage.enqueue(function)
        stage.run(kind)
        assert labels(stage) == [label for _, label in CALLS.values()]


@pytest.mark.parametrize("kind", WORKERS)
def test_without_an_instrumented_producer_the_horse_tells(theatre: Theatre, kind: str):
    """Where no producer noted a label, RQ's description tells it, and where that does not, the loaded job."""
    with theatre.stage(instrumented=False).open() as stage:
        for function, _ in CALLS.values():
            stage.enqueue(function)
        stage.run(kind, instrumented=True)
        assert labels(stage) == [label for _, label in CALLS.values()]


@pytest.mark.parametrize("kind", FORKING)
def test_a_label_that_only_the_horse_knew_outlives_it(theatre: Theatre, kind: str):
    """A job under a description of its own has its function's label, also if its process is killed."""
    with theatre.stage(instrumented=False).open() as stage:
        stage.enqueue(jobs.die, "SIGKILL", description="Refresh the showtimes of Arkadia (all)")
        stage.enqueue(jobs.complete, description="Refresh the showtimes of Kabaty")
        stage.run(kind, instrumented=True)
        by_job = {entry["job"]: entry["worker"] for entry in stage.log()}
        assert by_job == {"job-1": "support.jobs.die", "job-2": "support.jobs.complete"}


@pytest.mark.parametrize("kind", FORKING)
def test_a_name_that_only_the_horse_knew_outlives_it(theatre: Theatre, kind: str):
    """A job with a name of its own has it also if nothing but its killed process could know it."""
    with theatre.stage(instrumented=False).open() as stage:
        stage.enqueue(jobs.named_die, "SIGKILL")
        stage.run(kind, instrumented=True)
        assert [entry["worker"] for entry in stage.log()] == ["cinema.jobs.DieJob"]


@pytest.mark.parametrize("description", [None, "Refresh the showtimes of Arkadia", "cinema.city(PL)"])
@pytest.mark.parametrize("kind", FORKING)
def test_a_label_that_only_the_horse_knew_outlives_it_and_its_parent(theatre: Theatre, kind: str, description: str):
    """Whatever a reconciler finds is counted under what the work-horse had found out."""
    with theatre.stage(instrumented=False).open() as stage:
        for name, job in (("first", jobs.named_meet), ("second", jobs.meet)):
            stage.enqueue(job, name, description=description)
            worker = stage.worker(kind, instrumented=True)
            horse = stage.meet(name)
            worker.kill()
            stage.kill(horse)
            worker.wait()
        stage.let_heartbeats_expire("worker-1", "worker-2")
        assert len(reconcile(stage.connection, Keys(), Limits())) == 2
        by_job = {entry["job"]: entry["worker"] for entry in stage.log()}
        assert by_job == {"job-1": "cinema.jobs.MeetJob", "job-2": "support.jobs.meet"}


def test_the_parent_never_loads_arguments(theatre: Theatre):
    """Arguments, which may be large or import half the application, are loaded in the work-horse alone."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete, Ledgered())
        stage.enqueue(jobs.die, "SIGKILL", 2, Ledgered())
        worker = stage.run("Worker")
        loaded = {int(line) for line in stage.book("loadings")}
        assert loaded
        assert worker.pid not in loaded
        assert os.getpid() not in loaded


@pytest.mark.parametrize("enabled", [True, False])
def test_the_source_is_a_label_on_request(theatre: Theatre, enabled: bool):
    """``job.meta["source"]`` distinguishes series only where that is switched on."""
    with theatre.stage().open() as stage:
        if enabled:
            stage.environ["JOBTELEMETRY_EXTRA_LABELS"] = "source"
        for source in ("cinema_city", "multikino"):
            stage.enqueue(jobs.complete, meta={"source": source})
        stage.run("Worker")
        counts = executions(stage)
        name = "support.jobs.complete"
        assert counts == ({(name, "cinema_city"): 1, (name, "multikino"): 1} if enabled else {(name, ""): 2})


def test_a_full_family_counts_the_rest_under_other(theatre: Theatre):
    """Past the limit of label sets, real jobs are counted under ``__other__``, and it is said how many were."""
    with theatre.stage().open() as stage:
        stage.environ["JOBTELEMETRY_MAX_LABEL_SETS"] = "2"
        for function in (jobs.complete, jobs.refresh, jobs.named, jobs.Named()):
            stage.enqueue(function, on="full")
        stage.connection.delete(
            "rq:telemetry:meta", *stage.connection.keys("rq:telemetry:set*")
        )  # what this process, without that limit, has counted
        stage.worker("Worker", on=("full",))
        eventually(lambda: stage.calls == 4, "four executions")
        stage.settle("full")
        counts = executions(stage)
        assert counts == {("support.jobs.complete", ""): 1, ("support.jobs.Refresh", ""): 1, ("__other__", ""): 2}
        assert stage.told().executions == 4
        assert stage.told().dropped["jobtelemetry_job_executions_total"] >= 2
