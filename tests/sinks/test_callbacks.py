"""A user's own code hears of every ending, once, and harms nobody."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from rq import Retry
from rq.timeouts import JobTimeoutException

import jobtelemetry
from jobtelemetry import ConfigError, ExecutionEvent, State
from jobtelemetry.sinks.callbacks import CallbackSink, forget_callback
from sinks import sentry_jobs as jobs
from sinks.conftest import Scene
from sinks.test_logs import an_event


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What three callbacks heard, of which the second raises."""
    heard: list[str] = []

    def first(event: ExecutionEvent) -> None:
        heard.append(f"first {event.job_id}")

    def broken(event: ExecutionEvent) -> None:
        raise ValueError("no")

    def last(event: ExecutionEvent) -> None:
        heard.append(f"last {event.job_id}")

    callbacks = (first, broken, last)
    for callback in (*callbacks, first):
        assert jobtelemetry.on_execution(callback) is callback
    yield heard
    for callback in (*callbacks, first):
        forget_callback(callback)


def test_a_callback_that_raises_harms_no_other(heard: list[str]) -> None:
    """All are called, each once, and the error goes to whoever fences sinks."""
    with pytest.raises(ValueError, match="no"):
        CallbackSink()(an_event(State.COMPLETED))
    assert heard == ["first j1", "last j1"]


@pytest.mark.parametrize(
    ("raised", "passes"), [(SystemExit(3), RuntimeError), (JobTimeoutException(), JobTimeoutException)]
)
def test_what_ends_a_process_does_not_and_what_is_meant_for_rq_passes(raised: BaseException, passes: type) -> None:
    """sys.exit() is an error like others; a time limit of RQ's is RQ's."""

    @jobtelemetry.on_execution
    def leaves(event: ExecutionEvent) -> None:
        raise raised

    with pytest.raises(passes):
        CallbackSink()(an_event(State.COMPLETED))
    forget_callback(leaves)


async def awaits(event: ExecutionEvent) -> None:
    """Nobody would await it."""


@pytest.mark.parametrize("callback", [None, "shop.tell", awaits])
def test_what_cannot_be_called_is_refused(callback: object) -> None:
    """At once, and not when a job ends."""
    with pytest.raises(ConfigError, match="on_execution"):
        jobtelemetry.on_execution(callback)  # type: ignore[type-var]


PROGRAM = """
import json, os, sys
import jobtelemetry
from redis import Redis
from rq.utils import import_attribute

@jobtelemetry.on_execution
def tell(event):
    with open(sys.argv[3], "a") as file:
        file.write(json.dumps([event.job_id, str(event.outcome.state), event.attempt, os.getpid()]) + "\\n")

jobtelemetry.instrument()
worker = import_attribute(sys.argv[1])(["default"], connection=Redis.from_url(sys.argv[2]))
worker.work(burst=True, logging_level="WARNING")
"""


@pytest.mark.parametrize("worker_class", ["rq.worker.Worker", "rq.worker.SimpleWorker"])
def test_every_counted_ending_is_told_once(scene: Scene, tmp_path: Path, worker_class: str) -> None:
    """Whatever happened, and also where the work-horse was killed, in the process that counted it."""
    file = tmp_path / "told"
    scene.queue.enqueue(jobs.returns, job_id="returned")
    scene.queue.enqueue(jobs.raises_cancel, job_id="cancelled")
    scene.queue.enqueue(jobs.fails, job_id="failed", retry=Retry(max=1))
    if worker_class.endswith(".Worker"):
        scene.queue.enqueue(os.abort, job_id="killed")
    process = scene.start("-c", PROGRAM, worker_class, scene.redis.url, str(file))
    scene.finish(process)
    told = [tuple(json.loads(line)) for line in file.read_text().splitlines()]
    expected = [
        ("returned", "completed", 1),
        ("cancelled", "cancelled", 1),
        ("failed", "failure", 1),
        ("failed", "discard", 2),
    ]
    if worker_class.endswith(".Worker"):
        expected.append(("killed", "discard", 1))
        assert [pid for job, *_, pid in told if job == "killed"] == [process.pid]
    assert Counter(one[:3] for one in told) == Counter(expected)
