"""Instrumenting a process, and taking it back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.job import Job
from rq.repeat import Repeat
from rq.worker import SpawnWorker, worker_classes
from rq.worker.base import BaseWorker

import jobtelemetry
from jobtelemetry.rq import instrument
from jobtelemetry.rq.hooks import NEWEST
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.snapshot import RQWorkerState
from support.servers import TcpServer

OWNERS = (BaseWorker, Worker, SimpleWorker, SpawnWorker, Job, Queue, worker_registration, worker_classes)


class Earlier(Worker):
    """A user's class from before."""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    jobtelemetry.uninstrument()
    yield
    jobtelemetry.uninstrument()


def attributes():
    """Every attribute of everything that is patched, by identity."""
    return {(owner, name): id(value) for owner in OWNERS for name, value in vars(owner).items() if name != "__dict__"}


def test_taking_it_back_restores_every_attribute():
    """After uninstrument() RQ is as it was, to the object."""
    before = attributes()
    jobtelemetry.instrument()
    assert attributes() != before
    jobtelemetry.uninstrument()
    assert attributes() == before


def test_twice_is_once():
    """A second instrument() wraps nothing again."""
    jobtelemetry.instrument()
    once = attributes()
    jobtelemetry.instrument()
    assert attributes() == once
    assert jobtelemetry.is_instrumented()


def test_subclasses_of_any_time_are_covered():
    """A user's subclass is instrumented whether it was defined before or after."""
    jobtelemetry.instrument()

    class Later(SimpleWorker):
        """A user's class from afterwards."""

    for cls in (Earlier, Later):
        assert hasattr(cls.cleanup_execution, "__wrapped__")
        assert hasattr(cls.execute_job, "__wrapped__")


def said_by_a_worker(server: TcpServer) -> RQWorkerState:
    """What is known of an RQ worker of this process."""
    with server.client() as connection:
        worker = SimpleWorker(["default"], connection=connection)
        worker.register_birth()
        try:
            (state,) = read_snapshot(connection, Keys()).rq_workers
        finally:
            worker.register_death()
    return state


def test_an_rq_worker_names_the_hooks_that_its_rq_lacks(tcp: TcpServer, monkeypatch, caplog):
    """A method that counting needs and that is renamed: nothing is counted, and log and doctor name it."""
    monkeypatch.delattr(BaseWorker, "handle_job_failure")
    jobtelemetry.instrument()
    assert not jobtelemetry.is_instrumented()
    assert "BaseWorker.handle_job_failure is not there" in caplog.text
    state = said_by_a_worker(tcp)
    assert not state.instrumented
    assert state.missing == ("BaseWorker.handle_job_failure",)


@pytest.mark.rq(">=3")  # an older one lacks what the newest has
def test_an_rq_worker_says_that_its_rq_is_newer_than_tested(tcp: TcpServer, monkeypatch, caplog):
    """A newer RQ, without a hook that counting can do without: it is counted, and both are known."""
    monkeypatch.delattr(Repeat, "schedule")
    monkeypatch.setattr(instrument, "rq_version", lambda: (NEWEST[0] + 1, 0))
    jobtelemetry.instrument()
    assert jobtelemetry.is_instrumented()
    state = said_by_a_worker(tcp)
    assert state.instrumented
    assert state.untested
    assert state.lacking == ("Repeat.schedule",)
    assert set(state.versions) == {"jobtelemetry", "rq", "redis"}


def test_an_rq_that_is_too_old_is_one_line(tmp_path: Path):
    """On an RQ whose modules are others nothing is recorded, one line says so, and the program goes on."""
    (tmp_path / "rq").mkdir()
    (tmp_path / "rq" / "__init__.py").touch()
    (tmp_path / "rq" / "version.py").write_text("VERSION = '2.6.1'\n")
    program = "import jobtelemetry as j; j.instrument(); print(j.is_instrumented()); j.uninstrument()"
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "False\n"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "RQ 2.6.1 is older than 2.7, the oldest that can be recorded" in ended.stderr
