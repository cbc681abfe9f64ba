"""The handle that the command in the terminal has on everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from jobtelemetry.demo import session
from jobtelemetry.demo.errors import DemoError
from jobtelemetry.demo.server import temporary_directory

#: What asks the demo to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END_TIMEOUT = 15.0
_UNEXPECTED = "the process that owns the demo's server, workers and exporter ended unexpectedly; try again"


class Stage:
    """A private Valkey, an instrumented worker pool and an exporter, for as long as the context lasts.

    The processes belong to :mod:`jobtelemetry.demo.backstage`, which clears them away however this process ends. If
    that one is killed first, this one does it.

    Args:
        listen: ``HOST:PORT`` for the exporter; port 0 takes a free one.
        workers: How many RQ workers.
        environment: Further environment variables for the processes.
    """

    def __init__(self, listen: str, workers: int, environment: Mapping[str, str] | None = None) -> None:
        self._listen = listen
        self._environment = dict(environment or {})
        self._workers = workers
        name = f"jobtelemetry-{secrets.token_hex(4)}"
        with _deferred_signals():  # tempfile tries its directory out with a file
            self._home = temporary_directory(name) / name
        self._process: subprocess.Popen[str] | None = None
        self.redis_url = ""
        self.exporter_url = ""

    def __enter__(self) -> Stage:
        """Start everything and return when it is up.

        Raises:
            DemoError: Something did not start; the message says what and why.
        """
        try:
            self._start()
            facts = self._hear()
            self.redis_url, self.exporter_url = facts["redis"], facts["exporter"]
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Nothing, as long as everything runs.

        Raises:
            DemoError: Something has ended; the message says what.
        """
        if self._process is not None and self._process.poll() is not None:
            self._hear()
            raise DemoError(_UNEXPECTED)

    def close(self) -> None:
        """End everything and remove all files; returns when they are gone. No signal interrupts it."""
        handlers = {sig: signal.signal(sig, signal.SIG_IGN) for sig in SIGNALS}
        process, self._process = self._process, None
        if process is not None:
            _pipe(process.stdin).close()
            process.terminate()
            try:
                process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            session.end(process.pid)
            _pipe(process.stdout).close()
        shutil.rmtree(self._home, ignore_errors=True)
        for sig, handler in handlers.items():
            signal.signal(sig, handler)

    def _start(self) -> None:
        """Start backstage; a signal waits until its process is known, so that it is not lost."""
        with _deferred_signals():
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    "-m",
                    "jobtelemetry.demo.backstage",
                    str(self._home),
                    self._listen,
                    str(self._workers),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd="/",
                env=os.environ | {"PYTHONPATH": _absolute_python_path()} | self._environment,
                start_new_session=True,
            )

    def _hear(self) -> dict[str, str]:
        """What backstage says next.

        Raises:
            DemoError: It says that something is wrong, or ends without a word that can be understood.
        """
        said = _UNEXPECTED
        assert self._process is not None  # noqa: S101 - for the type checker
        for line in _pipe(self._process.stdout):
            try:
                facts: dict[str, str] = json.loads(line)
            except ValueError:
                said = line.strip() or said
                continue
            if "error" in facts:
                raise DemoError(facts["error"])
            return facts
        raise DemoError(said)


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Let signals wait. A process started meanwhile has them blocked and must unblock them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None  # noqa: S101 - we asked for a pipe
    return end


def _absolute_python_path() -> str:
    """``PYTHONPATH`` for a process in another directory."""
    entries = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(str(Path(entry).absolute()) for entry in entries)
