"""The process that owns what the demo starts: ``python -m jobtelemetry.demo.backstage HOME LISTEN WORKERS``.

It leads a session of its own, in which the server, the pool, the workers, the work-horses and the exporter all run,
and it ends when its standard input does. So whatever happens to the command in the terminal - it finishes, Ctrl-C,
even SIGKILL - the kernel closes that pipe, and everything is cleared away here: the processes, then the directory.

It answers on standard output with one line of JSON: ``{"redis": URL, "exporter": URL}`` when all is up, and
``{"error": MESSAGE}`` when it is not or no longer.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobtelemetry.demo import session
from jobtelemetry.demo.errors import DemoError
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.demo.tether import tethered
from jobtelemetry.errors import JobTelemetryError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_START_TIMEOUT = 30.0
_TICK = 0.1
_ADDRESS = re.compile(r"(https?://\S+?)/metrics")

#: A record of a log that says nothing about an end.
_ALL_IS_WELL = re.compile(r"\d{4}-\d\d-\d\d \S+ (DEBUG|INFO) ")


class Child:
    """A Python module that runs as a process, with its output in a file.

    Args:
        what: How to call it in a message.
        log: The file.
        arguments: ``python -m``'s.
    """

    def __init__(self, what: str, log: Path, *arguments: str) -> None:
        self._what = what
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                tethered([sys.executable, "-m", *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Nothing, as long as it runs.

        Raises:
            DemoError: It has ended; the message is the last thing it said.
        """
        if self._process.poll() is not None:
            last = self.output.strip().rpartition("\n")[2].removeprefix("Error: ")
            said = "" if _ALL_IS_WELL.match(last) else last
            raise DemoError(said or f"{self._what} ended unexpectedly with status {self._process.returncode}")


def main(home: Path, listen: str, workers: str) -> int:
    """Start everything in ``home``, say so, wait for the end of standard input, and clear everything away."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for sig in _SIGNALS:
        signal.signal(sig, _leave)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, *_SIGNALS))  # the starter blocks them
        home.mkdir(mode=0o700)
        _run(home, listen, workers)
    except (JobTelemetryError, OSError) as error:
        _tell(error=str(error))
        return 1
    finally:
        for sig in _SIGNALS:
            signal.signal(sig, signal.SIG_IGN)
        session.end(os.getpid())
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _run(home: Path, listen: str, workers: str) -> None:
    with EmbeddedServer(directory=home) as server:
        _play(server, home, listen, workers)


def _play(server: EmbeddedServer, home: Path, listen: str, workers: str) -> None:
    pool = Child("the worker pool", home / "pool.log", "jobtelemetry.demo.pool", server.url, workers)
    exporter = Child(
        "the exporter",
        home / "exporter.log",
        *("jobtelemetry", "exporter", "--redis-url", server.url, "--listen", listen),
    )
    _tell(redis=server.url, exporter=_address(exporter))
    while not _standard_input_ended():
        pool.check()
        exporter.check()
        if not server.running:
            raise DemoError("the embedded Valkey ended unexpectedly")


def _address(exporter: Child) -> str:
    """The address that the exporter says it serves on, without a path."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if found := _ADDRESS.search(exporter.output):
            return found[1]
        exporter.check()
        if _standard_input_ended():
            break
    raise DemoError("the exporter did not say where it serves")


def _standard_input_ended() -> bool:
    """Whether the command in the terminal is gone; waits a moment for it."""
    readable, _, _ = select.select([0], [], [], _TICK)
    return bool(readable) and not os.read(0, 1024)


def _tell(**facts: str) -> None:
    try:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody listens any more; the flush at exit must not fail


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
