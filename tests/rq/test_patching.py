"""Instrumenting a process, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.job import Job
from rq.worker import SpawnWorker, worker_classes
from rq.worker.base import BaseWorker

import jobtelemetry

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
