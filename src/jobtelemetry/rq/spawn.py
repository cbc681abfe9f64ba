"""``SpawnWorker``: its horse is a new Python that knows nothing of us, so its program gets a first line of ours."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rq.worker import worker_classes

from jobtelemetry import logformat, otel
from jobtelemetry.config import Config
from jobtelemetry.sinks import sentry
from jobtelemetry.sinks.tracing import span_context, traceparent
from jobtelemetry.store.record import Known, Start

if TYPE_CHECKING:
    from jobtelemetry.rq.run import Run

#: Bytes; Linux takes 128 KiB.
_LONGEST_ARGUMENT = 130_000

_spawning: tuple[Run, Config, str, Known] | None = None

#: In the horse: what its parent knew.
_inherited: dict[str, Any] = {}


@contextmanager
def spawning(run: Run | None, config: Config, off: str, known: Known) -> Iterator[None]:
    """While this lasts, a horse that is spawned is given this run and what else its parent knows.

    Args:
        off: Why nothing can be recorded; empty if it can.
        known: What is known of the numbers.
    """
    global _spawning
    _spawning = (run, config, off, known) if run is not None else None
    scope = vars(worker_classes)
    real = scope["os"]
    scope["os"] = InstrumentingOs(real)  # only for as long: a worker that forks uses the real one
    try:
        yield
    finally:
        scope["os"] = real
        _spawning = None


class InstrumentingOs:
    """The ``os`` module as RQ's worker module sees it, with our line in the programs that it spawns."""

    def __init__(self, real: Any) -> None:
        self.__wrapped__ = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def spawnv(self, mode: int, path: str, args: Any, *rest: Any) -> int:
        """As RQ calls it up to 2.x."""
        return int(self.__wrapped__.spawnv(mode, path, with_prelude(args), *rest))

    def posix_spawn(self, path: str, argv: Any, env: Any, **kwargs: Any) -> int:
        """As RQ calls it from 3.0 on."""
        return int(self.__wrapped__.posix_spawn(path, with_prelude(argv), env, **kwargs))


def with_prelude(argv: Any) -> Any:
    """The argument vector of a Python that first instruments itself, or the same one if that cannot be."""
    try:
        if _spawning is None or len(argv) != 3 or argv[1] != "-c":
            return argv
        run, config, off, known = _spawning
        facts = {
            "config": asdict(config),
            "off": off,
            "start": run.start._asdict(),
            "home": run.home,
            "known": [known.generation, known.total],
            "began": run.began,
            "attempt": run.attempt,
            "max_attempts": run.max_attempts,
            "in_table": run.in_table,
            "writer": run.horse.pipe.writer if run.horse is not None and run.horse.pipe is not None else -1,
            "span": traceparent(run.trace.context) if run.trace else "",
            "otel": otel.configured(),
            "log": logformat.chosen(),
            "sentry": sentry.started_from_environment(),
        }
        entrance = (
            "try:\n"
            "    from jobtelemetry.rq.spawned import enter\n"
            f"    enter({json.dumps(facts)!r})\n"
            "except Exception:\n"
            "    pass\n"
        )
        path = f"sys.path[:] = {sys.path!r}\n"
        before, from_path, rest = argv[2].partition(path)
        if from_path:  # from RQ 3 on it sets the path itself
            program = before + path + entrance + rest
        else:
            program = f"import sys\n_path = sys.path[:]\n{path}{entrance}sys.path[:] = _path\n{argv[2]}"
        # A path of many hundred entries fits in once; then the job runs without us, and the parent counts it.
        return [*argv[:2], program] if len(os.fsencode(program)) < _LONGEST_ARGUMENT else argv
    except Exception:  # the job runs, and the parent counts it
        return argv


def inherit(facts: dict[str, Any]) -> None:
    """In the spawned horse: keep what its parent knew."""
    _inherited.update(facts)


def inherited() -> tuple[Run, Known, str] | None:
    """In the spawned horse: what its parent knew; ``None`` in a forked one.

    Returns:
        The run that it was spawned for, how far the numbers are, and why nothing can be recorded (empty if it can).
    """
    if not _inherited:
        return None
    from jobtelemetry.forking.horse_span import RunTrace
    from jobtelemetry.forking.pipe import HorsePipe
    from jobtelemetry.rq.run import Horse, Run

    facts = dict(_inherited["start"])
    facts["extra"] = tuple((name, value) for name, value in facts["extra"])
    run = Run(Start(**facts), home=_inherited["home"], began=_inherited["began"])
    run.max_attempts = _inherited["max_attempts"]
    run.attempt, run.in_table = _inherited["attempt"], _inherited["in_table"]
    if _inherited["writer"] >= 0:
        run.horse = Horse(HorsePipe.of_spawned(_inherited["writer"]))
    if context := span_context(_inherited["span"], remote=False):
        run.trace = RunTrace(context)
    return run, Known(*_inherited["known"]), str(_inherited["off"])
