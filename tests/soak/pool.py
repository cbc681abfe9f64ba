"""The soak's processes: RQ workers with and without instrumentation, and exporters."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .ledger import LEDGER, note

ROOT = Path(__file__).resolve().parents[2]

#: What a pool is made of: kinds and the queues they work on. RQ's intermediate queue is used by those with one queue.
FORMATION = (
    ("fork", ("mail",)),
    ("fork", ("mail", "scraping")),
    ("simple", ("scraping",)),
    ("spawn", ("scraping", "mail")),
)
QUEUES = ("mail", "scraping")


@dataclass
class Member:
    """A process of the soak."""

    name: str
    kind: str
    process: subprocess.Popen[bytes]
    frozen: bool = False

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """The process and everything below it."""
        with suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def send(self, sig: signal.Signals) -> None:
        """Send it a signal."""
        if self.alive:
            with suppress(ProcessLookupError):
                self.process.send_signal(sig)


@dataclass
class Pool:
    """Starts processes and keeps the pool at its strength. Safe to be used by several threads."""

    url: str
    folder: Path
    members: dict[str, Member] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def keep_up(self) -> None:
        """Replace instrumented workers that ended."""
        with self.lock:
            self._forget_ended()
            for place, (kind, queues) in enumerate(FORMATION):
                prefix = f"{kind}{place}-"
                if not any(name.startswith(prefix) for name in self.members):
                    self._start_worker(f"{prefix}{next(self._numbers)}", kind, queues, instrumented=True)

    def start_worker(self, name: str, queues: tuple[str, ...], inside: Sequence[str] = ()) -> Member:
        """An instrumented forking worker, on another host if ``inside`` is what gets a command there."""
        with self.lock:
            return self._start_worker(name, "fork", queues, instrumented=True, inside=inside)

    def start_plain_worker(self) -> Member:
        """One that knows nothing of jobtelemetry."""
        with self.lock:
            return self._start_worker(f"plain-{next(self._numbers)}", "fork", QUEUES, instrumented=False)

    def start_exporter(self, listen: str = "127.0.0.1:0", inside: Sequence[str] = ()) -> Member:
        """``jobtelemetry exporter`` with a reconciler that runs every second."""
        options = ["--redis-url", self.url, "--listen", listen, "--reconcile-interval", "1"]
        with self.lock:
            name = f"exporter-{next(self._numbers)}"
            return self._start(name, "exporter", ["-m", "jobtelemetry", "exporter", *options], inside)

    def of(self, *kinds: str) -> list[Member]:
        """Living processes of these kinds."""
        with self.lock:
            self._forget_ended()
            return [member for member in self.members.values() if member.kind in kinds and not member.frozen]

    def end(self) -> None:
        """SIGKILL everything, orphaned work-horses included."""
        mark = os.environ[LEDGER]
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(LEDGER) == mark:
                    process.kill()
        with self.lock:
            for member in self.members.values():
                member.process.wait()

    def _start_worker(
        self, name: str, kind: str, queues: tuple[str, ...], *, instrumented: bool, inside: Sequence[str] = ()
    ) -> Member:
        arguments = ["-m", "tests.soak.worker", self.url, name, kind, "yes" if instrumented else "no", *queues]
        return self._start(name, kind if instrumented else "plain", arguments, inside)

    def _start(self, name: str, kind: str, arguments: list[str], inside: Sequence[str] = ()) -> Member:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*inside, sys.executable, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        note("process", name=name, kind=kind, process=process.pid)
        member = self.members[name] = Member(name, kind, process)
        return member

    def _forget_ended(self) -> None:
        for name in [name for name, member in self.members.items() if not member.alive]:
            del self.members[name]
