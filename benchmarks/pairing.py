"""Rounds: in each, bare RQ and every variant take their turn in a fresh process, in an order of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.receivers import receivers
from benchmarks.trial import Order
from benchmarks.variants import BARE, Variant
from jobtelemetry.demo.server import EmbeddedServer

ROOT = Path(__file__).parents[1]
#: What is worked on, and how many jobs a trial has: the slow ones fewer.
WORKLOADS = {"forking": 1.0, "simple": 3.0, "enqueue": 3.0, "forking 50 ms": 0.2, "forking, allocating": 0.2}
#: One server with more and more RQ workers, or label sets; of interest is whether one execution costs more then.
GROWTH = {"crowd 1": 2.0, "crowd 8": 4.0, "crowd 64": 8.0, "sets 10": 3.0, "sets 1000": 3.0, "sets 5000": 3.0}

Figures = dict[str, Any]


@dataclass
class Measured:
    """All trials of a workload: per variant the figures of each round, and what was counted once.

    Args:
        workload: Its name.
        jobs: How many a trial had.
        rounds: Variant's name -> the figures of each round.
        counted: Variant's name -> function calls and commands.
    """

    workload: str
    jobs: int
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    counted: dict[str, Figures] = field(default_factory=dict)

    def ratios(self, variant: str, figure: str | Callable[[Figures], float]) -> list[float]:
        """That of the variant by that of bare RQ in the same round, for every round."""
        of: Callable[[Figures], float] = figure if callable(figure) else lambda figures: figures[figure]
        pairs = zip(self.rounds[variant], self.rounds[BARE], strict=True)
        return [of(with_) / of(without) for with_, without in pairs if of(without)]

    def added(self, variant: str, figure: Callable[[Figures], float]) -> list[float]:
        """That of the variant less that of bare RQ in the same round, for every round."""
        pairs = zip(self.rounds[variant], self.rounds[BARE], strict=True)
        return [figure(with_) - figure(without) for with_, without in pairs]

    def median(self, variant: str, figure: str) -> float:
        """Of all rounds."""
        return statistics.median(figures[figure] for figures in self.rounds[variant])


class Bench:
    """Where trials run: one server, the receivers, an interpreter per variant.

    Args:
        socket: The server's unix socket.
        addresses: The receivers by how they behave.
        interpreters: Variant's name -> its Python, where it is not this one.
        connection: To the same server.
    """

    def __init__(
        self, socket: str, addresses: Mapping[str, str], interpreters: Mapping[str, Path], connection: Any
    ) -> None:
        self._socket = socket
        self._addresses = addresses
        self._interpreters = interpreters
        self._connection = connection

    def trial(self, variant: Variant, workload: str, jobs: int, *, count: bool = False, mark: bool = False) -> Figures:
        """One trial in a process of its own. Figures are per job.

        Raises:
            RuntimeError: It failed; the message has the end of what it said.
        """
        order = Order(self._socket, self._addresses[variant.receiver], variant.name, workload, jobs, count, mark)
        python = str(self._interpreters.get(variant.name, sys.executable))
        done = subprocess.run(  # noqa: S603 - our own module
            [python, "-m", "benchmarks.trial", order.argument()],
            cwd=ROOT,
            env=environ(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode or not done.stdout:
            raise RuntimeError(f"the trial of {variant.name!r} failed: {done.stderr[-1500:]}")
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def counted(self, variant: Variant, workload: str, jobs: int) -> Figures:
        """Function calls per job, and the commands that clients sent for it (those within scripts not)."""
        with _watching(self._connection) as commands:
            figures = self.trial(variant, workload, jobs, count=True)
        return {
            "calls_parent": figures["calls_parent"],
            "calls_horse": figures["calls_horse"],
            "commands": len(commands) / jobs,
        }

    def measure(
        self,
        workload: str,
        variants: Sequence[Variant],
        *,
        jobs: int,
        rounds: int,
        count: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> Measured:
        """Every variant in turn, ``rounds`` times, in an order that is another one in each round."""
        measured = Measured(workload, max(10, int(jobs * {**WORKLOADS, **GROWTH}[workload])))
        for number in range(rounds):
            for variant in random.sample(variants, len(variants)):
                figures = self.trial(variant, workload, measured.jobs)
                measured.rounds.setdefault(variant.name, []).append(figures)
            say(f"{workload}: round {number + 1} of {rounds}")
        if count:
            for variant in variants:
                measured.counted[variant.name] = self.counted(variant, workload, 20)
            say(f"{workload}: counted")
        return measured


#: Settings of whoever runs this would change what is measured. Without bytecode every process, and every work-horse of
#: bare RQ too, would compile what it imports; an installed package never does.
_OTHERS = ("JOBTELEMETRY_", "OTEL_", "SENTRY_", "RQ_", "PYTHONPROFILE", "PYTHONDONTWRITEBYTECODE")


def environ() -> dict[str, str]:
    """The environment of a process that is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}


@contextlib.contextmanager
def bench(interpreters: Mapping[str, Path] | None = None) -> Iterator[Bench]:
    """Server and receivers, for as long as the context lasts."""
    with EmbeddedServer() as server, receivers() as addresses:
        # Without a limit: what watches the commands waits until a trial has started, late on a busy machine.
        yield Bench(str(server.socket), addresses, interpreters or {}, server.connection(socket_timeout=None))


@contextlib.contextmanager
def _watching(connection: Any) -> Iterator[list[str]]:
    """What clients send between the trial's two ECHOs, complete when the context is left."""
    commands: list[str] = []

    def listen(monitor: Any) -> None:
        within = False
        for line in monitor.listen():
            command = line["command"]
            if command in {"ECHO begin", "ECHO end"}:
                within = command.endswith("begin")
                if not within:
                    return
            elif within and line["client_type"] != "lua" and not command.startswith("INFO"):
                commands.append(command)

    with connection.monitor() as monitor:
        thread = threading.Thread(target=listen, args=(monitor,), daemon=True)
        thread.start()
        yield commands
        thread.join(timeout=30)
