"""Processes of a drill: started with a log, ended for certain."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent


class Process:
    """One process in a session of its own, so that its children end with it.

    Args:
        log: Where its output goes.
        command: What to run.
        environ: Further environment variables.
    """

    def __init__(self, log: Path, *command: str | Path, **environ: str) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                env=os.environ | {"PYTHONPATH": str(_HERE)} | environ,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def terminate(self) -> None:
        """End it in good order."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def wait(self, seconds: float) -> None:
        """Until it has ended by itself, in good order."""
        status = self._process.wait(seconds)
        assert status == 0, f"it ended with {status}"

    @property
    def children(self) -> list[int]:
        """The processes that it started: work-horses, and RQ's scheduler."""
        return [pid for pid in self._session() if pid != self._process.pid]

    def kill(self) -> None:
        """SIGKILL it and all its children."""
        for pid in self._session():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(20)

    def _session(self) -> list[int]:
        """It and its children; RQ's work-horses leave the process group, but not the session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.getsid(int(entry.name)) == self._process.pid:
                        found.append(int(entry.name))
                except (ProcessLookupError, PermissionError):
                    continue
        return found


def python(*arguments: str) -> list[str]:
    """This Python with a module."""
    return [sys.executable, "-m", *arguments]


def binary(*names: str) -> str:
    """The first of these programs that is installed; it must be there, in CI as anywhere."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, f"the drills need {names[0]}: apt-get install prometheus prometheus-alertmanager"
    return found


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
