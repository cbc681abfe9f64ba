"""Deploy markers: when another version of the application begins to run, and what RQ workers say of themselves."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from jobtelemetry.questions.rq_workers import read_rq_workers
from jobtelemetry.store import deploys
from jobtelemetry.store.keys import Keys
from support import jobs
from support.nursery import Child
from support.stage import Stage, Theatre
from support.waiting import eventually

KEYS = Keys()
Start = Callable[..., Child]


def versions(stage: Stage) -> list[str]:
    """The marked versions, the oldest first."""
    return [one.version for one in deploys.read(stage.connection, KEYS)]


def start(stage: Stage, name: str, version: str, variable: str = "JOBTELEMETRY_APP_VERSION") -> Child:
    """A worker that is told its version, once it is idle."""
    stage.environ = {variable: version} if version else {}
    worker = stage.worker("SimpleWorker", name=name)
    eventually(lambda: stage.is_idle(name), "the worker")
    return worker


def end(worker: Child) -> None:
    """A worker's end in good order."""
    worker.kill(signal.SIGTERM)
    worker.wait()


def test_a_change_of_the_version_is_a_deploy_and_its_return_a_rollback(theatre: Theatre):
    """Workers of one version are one deploy; a rolling one is no two; a version that was gone and returns is one."""
    with theatre.stage().open() as stage:
        old = [start(stage, f"old-{number}", "v1") for number in range(2)]
        assert versions(stage) == ["v1"]
        new = start(stage, "new", "v2", "SENTRY_RELEASE")
        assert versions(stage) == ["v1", "v2"]
        end(old.pop())
        old.append(start(stage, "old-again", "v1"))  # one more of the old while the deploy still rolls
        assert versions(stage) == ["v1", "v2"]
        for worker in (*old, new):
            end(worker)
        start(stage, "rolled-back", "v1", "OTEL_SERVICE_VERSION")
        assert versions(stage) == ["v1", "v2", "v1"]
        assert deploys.read(stage.connection, KEYS)[-1].by == "RQ worker rolled-back"
        start(stage, "untold", "")
        assert versions(stage) == ["v1", "v2", "v1"]


def test_rq_workers_say_their_version_and_how_large_they_are(theatre: Theatre):
    """Both are where the commands and the page read them; RSS is of a Python process, not of none or of a host."""
    with theatre.stage().open() as stage:
        start(stage, "worker-1", "v1.2.3")
        stage.enqueue(jobs.complete)
        stage.settle()
        eventually(lambda: stage.connection.hexists("rq:worker:worker-1", "jobtelemetry_memory"), "a heartbeat")
        (told,) = read_rq_workers(stage.connection, KEYS, stage.snapshot())
        assert told.app_version == "v1.2.3"
        assert told.memory is not None
        assert 5_000_000 < told.memory < 2_000_000_000
        assert stage.snapshot().deploys[-1].version == "v1.2.3"


def test_marks_are_bounded_and_whatever_they_say_is_a_label(theatre: Theatre, monkeypatch: pytest.MonkeyPatch):
    """The newest are kept; the newest version is marked again only where that is asked for."""
    monkeypatch.setattr(deploys, "MOST", 5)
    with theatre.stage().open() as stage:
        for number in range(8):
            assert deploys.mark(stage.connection, KEYS, f"v|{number}%\x1b[31m", by="CI | nightly")
        assert not deploys.mark(stage.connection, KEYS, "v|7%\x1b[31m")
        assert deploys.mark(stage.connection, KEYS, "v|7%\x1b[31m", again=True)
        found = deploys.read(stage.connection, KEYS)
        assert [one.version[:4] for one in found] == ["v|4%", "v|5%", "v|6%", "v|7%", "v|7%"]
        assert found[-2].by == "CI | nightly"
        assert "\x1b" not in found[-1].version
        stage.connection.zadd(KEYS.deploys, {"nonsense": 1, b"\xff|": 2})
        assert len(stage.snapshot().deploys) == 5


def test_a_key_of_another_program_is_no_deploy_and_stops_no_worker(theatre: Theatre):
    """Where deploys cannot be kept, workers run all the same, and a reader passes it over."""
    with theatre.stage().open() as stage:
        stage.connection.set(KEYS.deploys, "theirs")
        start(stage, "worker-1", "v1")
        job = stage.enqueue(jobs.complete)
        stage.settle()
        assert stage.status(job.id) == "finished"
        assert stage.snapshot().deploys == ()
