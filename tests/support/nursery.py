"""Starting and ending real processes quickly. See :mod:`support.nursery_process`."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support.waiting import eventually

TESTS = Path(__file__).resolve().parent.parent


def _path() -> str:
    return os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))


class Child:
    """A process that the nursery started."""

    def __init__(self, nursery: Nursery, pid: int, log: Path) -> None:
        self._nursery = nursery
        self.pid = pid
        self.log = log

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; ``None`` while it runs."""
        code = self._nursery.ask(do="poll", pid=self.pid)
        return code if code is None else int(code)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, sig)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end and return its exit code."""
        eventually(lambda: not self.alive, f"the end of process {self.pid}", seconds)
        code = self.exit_code
        assert code is not None
        return code


class Nursery:
    """Forks processes from one that has everything imported, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.nursery_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": _path(), "PYTHONUNBUFFERED": "1"},
            text=True,
            start_new_session=True,
        )
        self._receive()

    def ask(self, **request: Any) -> Any:
        """Send a request and return the reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery process ended; its error is on stderr")
        return json.loads(line)

    def start(self, target: str, **kwargs: Any) -> Child:
        """Run ``module:function`` with keyword arguments (JSON) in a process of its own."""
        log = self._folder / f"{next(self._numbers)}.log"
        return Child(self, int(self.ask(do="start", target=target, kwargs=kwargs, log=str(log))), log)

    def clear(self) -> int:
        """SIGKILL everything that was started and still runs, orphans included; returns how many."""
        return int(self.ask(do="clear"))

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
