"""Real workers, a real server, and a Sentry that keeps what it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rq import Queue

from jobtelemetry.demo.server import EmbeddedServer
from sinks.envelopes import SentryServer, sentry_server

TESTS = Path(__file__).parents[1]
PATIENCE = 100.0  # seconds


class Scene:
    """A queue, processes that work on it, and the Sentry that they know.

    Args:
        redis: The server.
        sentry: Where events go.
        home: Where the processes' output goes.
    """

    def __init__(self, redis: EmbeddedServer, sentry: SentryServer, home: Path) -> None:
        self.redis, self.sentry, self.home = redis, sentry, home
        self.connection = redis.connection()
        self.queue = Queue(connection=self.connection)
        #: A busy machine may take longer than a horse waits by default.
        self.environment = {"JOBTELEMETRY_FLUSH_TIMEOUT": "30"}
        self._processes: list[subprocess.Popen[bytes]] = []

    def program(self, worker_class: str, when: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker as a user's own program; ``sentry`` are arguments of ``sentry_sdk.init``."""
        init = {"dsn": self.sentry.dsn, **settings.pop("sentry", {})}
        given = {"class": worker_class, "url": self.redis.url, "when": when, "sentry": init, **settings}
        return self.start("-m", "sinks.sentry_worker", json.dumps(given))

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one of our commands, with ``SENTRY_DSN``."""
        return self.start("-m", "jobtelemetry", *arguments, SENTRY_DSN=self.sentry.dsn, **environment)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Python."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "JOBTELE"))}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**inherited, "PYTHONPATH": str(TESTS), **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process has ended in good order."""
        assert process.wait(PATIENCE) == 0, self.output

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}\n{self.output}"
            time.sleep(0.01)

    @property
    def log(self) -> Path:
        """The file with the output of all processes."""
        return self.home / "output.log"

    @property
    def output(self) -> str:
        """What the processes have written."""
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def said(event: dict[str, Any]) -> tuple[str, ...]:
    """What the truth table says of an event: level, state, attempt, error type."""
    tags = event["tags"]
    return event["level"], tags["state"], tags["attempt"], tags["error_type"]


def job_of(event: dict[str, Any]) -> str:
    """The job that an event is about."""
    return str(event["contexts"]["execution"]["job_id"])


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EmbeddedServer, SentryServer]]:
    """One of each per module."""
    with ExitStack() as stack:
        yield stack.enter_context(EmbeddedServer()), stack.enter_context(sentry_server())


@pytest.fixture
def scene(servers: tuple[EmbeddedServer, SentryServer], tmp_path: Path) -> Iterator[Scene]:
    """An empty server, a Sentry that has heard nothing, and processes that all end with the test."""
    redis, sentry = servers
    redis.connection().flushall()
    sentry.forget()
    scene = Scene(redis, sentry, tmp_path)
    yield scene
    sentry.answering.set()
    scene.close()
