"""Faults in what hooks lean on: Redis's answers, the pipe to the parent, log handlers, time limits."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import wrapt
from rq.exceptions import ShutDownImminentException, StopRequested
from rq.timeouts import HorseMonitorTimeoutException, JobTimeoutException

from faults.scene import Left, play
from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.forking import pipe
from jobtelemetry.rq import labels
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.store import record, scripts

KINDS = ("SimpleWorker", "Worker")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="module")
def whole(server: EmbeddedServer) -> dict[str, Left]:
    """How the scene ends without a fault."""
    return {kind: play(server.url, kind) for kind in KINDS}


def goes_on(left: Left, whole: Left) -> None:
    """RQ and the jobs noticed nothing, nothing was counted twice, and the next job is counted."""
    assert (left.problem, left.worked) == ("", True)
    assert (left.rq, left.calls, left.callbacks) == (whole.rq, whole.calls, whole.callbacks)
    assert left.told.executions <= left.executions
    assert left.told.running == 0
    assert left.after == 1


@contextmanager
def _answering(script: str) -> Iterator[None]:
    """Every script is another one, but that with which a worker finds out at its start whether it can record."""
    command, text = scripts.Script.command, script.encode("ascii", "backslashreplace")
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()

    def other(self: scripts.Script, keys: tuple[str, ...], packed: Mapping[str, object]) -> tuple[Any, ...]:
        name, right, *rest = command(self, keys, packed)
        return (name, right if self is record._PROBE else digest, *rest)

    with mock.patch.object(scripts.Script, "command", other), mock.patch.dict(scripts._TEXTS, {digest: text}):
        yield


@pytest.mark.parametrize(
    "script",
    [
        "return 1",
        "return false",
        "return {}",
        "return {1, 2, 3}",
        "return {'x', 'y'}",
        "return '\\255\\254'",
        "return redis.error_reply('NO such luck')",
        "error('boom')",
        "this is not Lua",
        "return redis.call('GET', KEYS[1])",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_redis_answers_nonsense(server: EmbeddedServer, whole: dict[str, Left], kind: str, script: str) -> None:
    """Whatever Redis answers to our commands, RQ's transactions are executed and understood as without them."""
    goes_on(play(server.url, kind, lambda _: _answering(script)), whole[kind])


class _FaultyOs(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """The ``os`` module, one of whose functions fails."""

    def __init__(self, function: str, error: Exception) -> None:
        super().__init__(os)

        def fail(*_: Any, **__: Any) -> None:
            raise error

        self._self_faulty = {function: fail}

    def __getattr__(self, name: str) -> Any:
        return self._self_faulty.get(name) or super().__getattr__(name)


def _faulty_os(function: str, error: Exception) -> AbstractContextManager[Any]:
    return mock.patch.object(pipe, "os", _FaultyOs(function, error))


def _full_pipe() -> AbstractContextManager[Any]:
    divide = pipe.HorsePipe.in_horse

    def fill(full: pipe.HorsePipe) -> None:
        divide(full)
        try:
            while True:
                os.write(full._writer, b"x" * 4096)
        except BlockingIOError:
            pass

    return mock.patch.object(pipe.HorsePipe, "in_horse", fill)


PIPE_FAULTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no more descriptors": lambda: _faulty_os("pipe", OSError(24, "Too many open files")),
    "write fails": lambda: _faulty_os("write", OSError(5, "Input/output error")),
    "parent gone": lambda: _faulty_os("write", BrokenPipeError(32, "Broken pipe")),
    "read fails": lambda: _faulty_os("read", OSError(5, "Input/output error")),
    "close fails": lambda: _faulty_os("close", OSError(9, "Bad file descriptor")),
    "cannot be made non-blocking": lambda: _faulty_os("set_blocking", OSError(9, "Bad file descriptor")),
    "full": _full_pipe,
}


@pytest.mark.parametrize("fault", PIPE_FAULTS)
def test_the_pipe_to_the_parent_fails(server: EmbeddedServer, whole: dict[str, Left], fault: str) -> None:
    """Without a pipe that works, work-horses run and are counted exactly once, those that die included."""
    left = play(server.url, "Worker", lambda _: PIPE_FAULTS[fault]())
    goes_on(left, whole["Worker"])
    assert left.told.executions == left.executions


class _RaisingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a log handler of the application's")


@contextmanager
def _raising_handler() -> Iterator[None]:
    handler, logger = _RaisingHandler(), logging.getLogger("jobtelemetry")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_handler_raises(server: EmbeddedServer, whole: dict[str, Left], kind: str) -> None:
    """A log handler of the application's that raises fails no job, and every ending is counted."""
    left = play(server.url, kind, lambda _: _raising_handler())
    goes_on(left, whole[kind])
    assert left.told.executions == left.executions
    assert left.told.handler_errors["sink_logsink"] > 0


@pytest.mark.parametrize(
    "error",
    [JobTimeoutException, HorseMonitorTimeoutException, StopRequested, ShutDownImminentException],
    ids=lambda error: error.__name__,
)
def test_what_is_meant_for_rq_passes_a_fence(error: type[Exception]) -> None:
    """An exception that a signal raises into whatever code happens to run reaches RQ, also out of a hook."""
    with pytest.raises(error), Runtime(Config()).fence("record"):
        raise error("now", {}) if error is ShutDownImminentException else error("now")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_process_passes_a_fence(error: type[BaseException]) -> None:
    """A request to end the process is not ours to swallow."""
    with pytest.raises(error), Runtime(Config()).fence("record"):
        raise error


@contextmanager
def _hanging(book: Path) -> Iterator[None]:
    note_options = labels.note_options

    def hang(job: Any, function: Any) -> bool:
        if job.id == "overruns" and job.started_at is not None:
            book.write_text("hung")
            while True:
                pass
        return note_options(job, function)

    with mock.patch.object(labels, "note_options", hang):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_times_out_inside_a_hook(server: EmbeddedServer, kind: str) -> None:
    """A job whose time limit strikes while a hook runs fails of its time limit and not of anything else."""
    left = play(server.url, kind, _hanging, overrun=True)
    assert (left.problem, left.worked, left.raised) == ("", True, 1)
    assert left.told.errors["JobTimeoutException"] == 1
    assert left.told.executions == left.executions
