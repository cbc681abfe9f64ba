"""A scene in which jobs end in every way, played by a worker in this process, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Callback, Queue, Retry, SimpleWorker, Worker

import jobtelemetry
import jobtelemetry.rq.instrument
from jobtelemetry.rq.hooks import HOOKS
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits
from support import jobs
from support.told import Told, listen, rq_state

_LONGEST = 60.0


class _Deaf:
    """Takes no commands: RQ waits up to a second for the thread that would hear them."""

    def subscribe(self) -> None:
        """Hear nothing."""

    def unsubscribe(self) -> None:
        """Nothing to end."""


class DeafSimpleWorker(_Deaf, SimpleWorker):
    """Runs jobs in this process."""


class DeafWorker(_Deaf, Worker):
    """Forks."""


WORKERS: dict[str, type[Any]] = {"SimpleWorker": DeafSimpleWorker, "Worker": DeafWorker}


@dataclass
class Left:
    """What is left of a scene.

    Args:
        rq: Everything that RQ stores; see :func:`support.told.rq_state`.
        calls: How often a job's function was called.
        callbacks: RQ's callbacks that were called.
        told: What jobtelemetry tells, after a reconciler has run.
        executions: How many executions there were: calls, and a job that cannot be imported.
        worked: Whether the worker came to its end as it should.
        after: What jobtelemetry tells of one more job, without any fault.
        raised: How often a fault was raised.
        problem: The traceback of what should not have been raised.
    """

    rq: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    callbacks: list[str] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    executions: int = 0
    worked: bool = False
    after: int = 0
    raised: int = 0
    problem: str = ""


Fault = Callable[[Path], AbstractContextManager[None]]


def play(
    url: str,
    kind: str,
    fault: Fault = lambda _: nullcontext(),
    *,
    instrumented: bool = True,
    overrun: bool = False,
) -> Left:
    """Play the scene in a child process and return what is left of it.

    Args:
        url: Redis; flushed.
        kind: One of :data:`WORKERS`.
        fault: What is the matter while the scene is played; gets a file to write into.
        instrumented: Whether jobtelemetry is there at all.
        overrun: Whether there is one more job, ``overruns``, that may run for a second.
    """
    with tempfile.TemporaryDirectory(prefix="jt-faults-") as folder:
        return _in_child(lambda: _play(url, kind, fault, Path(folder), instrumented, overrun))


def _play(url: str, kind: str, fault: Fault, folder: Path, instrumented: bool, overrun: bool) -> Left:
    os.environ[jobs.BOOKS] = str(folder)
    book = folder / "faults"
    connection = Redis.from_url(url)
    connection.flushall()
    left = Left()
    if instrumented:
        jobtelemetry.instrument()
        jobtelemetry.rq.instrument._attached[1].handler(HOOKS[0])  # what loads the rest has a net of its own
    try:
        with fault(book):
            _produce(connection, kind)
            if overrun:
                Queue("scene", connection=connection).enqueue(jobs.complete, job_id="overruns", job_timeout=1)
            left.worked = WORKERS[kind](["scene"], connection=connection, name="worker").work(burst=True)
    except BaseException:
        left.problem = traceback.format_exc()
    left.raised = len(_lines(book))
    left.rq, left.calls = rq_state(connection), len(_lines(folder / "ledger"))
    left.callbacks = sorted(_lines(folder / "callbacks"))
    left.executions = left.calls + 1 + overrun
    _let_heartbeats_expire(connection)
    reconcile(connection, Keys(), Limits())
    before = listen(connection)
    Queue("scene", connection=connection).enqueue(jobs.complete, job_id="after")
    WORKERS[kind](["scene"], connection=connection, name="after").work(burst=True)
    left.told = listen(connection)
    left.after = left.told.executions - before.executions
    left.told.states["completed"] = left.told.states.get("completed", 0) - left.after
    return left


def _produce(connection: Redis, kind: str) -> None:
    """Every way into a queue and every ending that a worker in this process can survive."""
    queue = Queue("scene", connection=connection)
    queue.enqueue(jobs.complete, 7, job_id="completes", on_success=Callback(jobs.succeeded))
    queue.enqueue(jobs.complete, job_id="depends", depends_on="completes")
    queue.enqueue(jobs.complete, job_id="forgotten", result_ttl=0)
    queue.enqueue(jobs.fail, job_id="fails", on_failure=Callback(jobs.failed))
    queue.enqueue(jobs.fail_until, 2, job_id="recovers", retry=Retry(max=2))
    queue.enqueue(jobs.fail, job_id="waits", retry=Retry(max=1, interval=3600))
    queue.enqueue(jobs.cancel, job_id="cancels", retry=Retry(max=2))
    queue.enqueue(jobs.cancel, returned=True, job_id="cancels-too")
    queue.enqueue(jobs.discard, job_id="discards", retry=Retry(max=2), on_failure=Callback(jobs.failed))
    queue.enqueue(jobs.come_again, 5, 1, job_id="comes-again")
    queue.enqueue("support.jobs.nowhere", job_id="nowhere")
    queue.enqueue(jobs.unpicklable, job_id="unpicklable")
    queue.enqueue_many([Queue.prepare_data(jobs.complete, job_id=f"many-{number}") for number in range(2)])
    queue.enqueue_in(timedelta(hours=1), jobs.complete, job_id="later")
    queue.enqueue_in(timedelta(hours=1), jobs.complete, job_id="cancelled").cancel()
    queue.enqueue(jobs.complete, job_id="unwanted").cancel()
    synchronous = Queue("scene", connection=connection, is_async=False)
    synchronous.enqueue(jobs.complete, job_id="here")
    synchronous.enqueue(jobs.fail, job_id="fails-here")
    synchronous.enqueue(jobs.cancel, job_id="cancels-here")
    if kind == "Worker":
        queue.enqueue(jobs.die, "SIGKILL", job_id="dies")
        queue.enqueue(jobs.die, "exit", job_id="exits")


def _let_heartbeats_expire(connection: Redis) -> None:
    for key in connection.scan_iter("rq:execution:*"):
        connection.delete(key)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _in_child(work: Callable[[], Left]) -> Left:
    """Run in a forked process, so that nothing of it remains in this one."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setpgid(0, 0)
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            left = work()
        except BaseException:
            left = Left(problem=traceback.format_exc())
        with os.fdopen(writer, "w") as pipe:
            json.dump({**left.__dict__, "told": left.told.__dict__}, pipe, default=str)
        os._exit(0)
    os.close(writer)
    return _hear(pid, reader)


def _hear(pid: int, reader: int) -> Left:
    os.set_blocking(reader, False)
    heard, deadline = b"", time.monotonic() + _LONGEST
    try:
        while time.monotonic() < deadline:
            try:
                data = os.read(reader, 1 << 20)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            if not data:
                found = json.loads(heard) if heard else {"problem": "the process died", "told": {}}
                return Left(**{**found, "told": Told(**found["told"])})
            heard += data
        return Left(problem=f"not done within {_LONGEST:g} s")
    finally:
        os.close(reader)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
