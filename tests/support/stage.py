"""A stage: one server, the processes on it, and the way to play the same scene with and without jobtelemetry."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job

import jobtelemetry
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.snapshot import Snapshot
from support.jobs import BOOKS
from support.nursery import Child, Nursery
from support.servers import TcpServer
from support.told import Told, listen, log_entries, rq_state
from support.waiting import eventually

Scene = Callable[["Stage"], None]


class Stage:
    """Where one scene is played.

    Args:
        server: Where RQ is.
        nursery: Who starts the processes.
        folder: The jobs' books; made if it is not there.
        instrumented: Whether workers and producer are.
    """

    def __init__(self, server: TcpServer, nursery: Nursery, folder: Path, *, instrumented: bool = True) -> None:
        self.server = server
        self.nursery = nursery
        self.folder = folder
        self.instrumented = instrumented
        self.connection: Redis = server.client()
        self.unreached = 0
        self.environ: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._workers: dict[str, Child] = {}
        folder.mkdir(parents=True, exist_ok=True)

    # producing

    def queue(self, name: str = "default", **options: Any) -> Queue:
        """A queue of RQ."""
        return Queue(name, connection=self.connection, **options)

    def enqueue(self, function: Any, *args: Any, on: str = "default", **options: Any) -> Job:
        """Enqueue a job; its id is ``job-1`` and so on."""
        return self.queue(on).enqueue(function, *args, job_id=self.next_id(), **options)

    def next_id(self) -> str:
        """The id of the next job, the same in every run of the scene."""
        return f"job-{next(self._numbers)}"

    def job(self, job_id: str = "job-1") -> Job:
        """A job as RQ has it now."""
        return Job.fetch(job_id, connection=self.connection)

    def status(self, job_id: str = "job-1") -> str:
        """Its status as RQ has it now, or ``gone``."""
        status = self.connection.hget(f"rq:job:{job_id}", "status")
        return status.decode() if isinstance(status, bytes) else "gone"

    # working

    def worker(
        self, kind: str = "Worker", *, url: str = "", on: tuple[str, ...] = ("default",), **options: Any
    ) -> Child:
        """Start a worker process.

        Args:
            kind: One of :data:`support.workers.CLASSES`.
            url: Where it finds the server, if not directly.
            on: Its queues.
            options: Of :func:`support.workers.work`.
        """
        name = options.pop("name", f"worker-{len(self._workers) + 1}")
        instrumented = options.pop("instrumented", self.instrumented)
        child = self.nursery.start(
            "support.workers:work",
            url=url or self.server.tcp_url,
            queues=list(on),
            kind=kind,
            name=name,
            instrumented=instrumented,
            environ={BOOKS: str(self.folder), **self.environ},
            **options,
        )
        self._workers[name] = child
        return child

    def run(self, kind: str = "Worker", **options: Any) -> Child:
        """Start a worker and wait until there is nothing left to do; the worker stays alive."""
        child = self.worker(kind, **options)
        self.settle()
        return child

    def settle(self, *queues: str) -> None:
        """Wait until the queues are empty and every live worker is idle."""
        eventually(lambda: self._settled(queues or ("default",)), "an idle pool with empty queues")

    def _settled(self, queues: tuple[str, ...]) -> bool:
        pipe = self.connection.pipeline()
        for queue in queues:
            pipe.llen(f"rq:queue:{queue}")
            pipe.llen(f"rq:queue:{queue}:intermediate")
        names = list(self._workers)
        for name in names:
            pipe.hmget(f"rq:worker:{name}", "state", "death")
        replies = pipe.execute()
        states = replies[2 * len(queues) :]
        for name, (state, death) in zip(names, states, strict=True):
            ended = not self._workers[name].alive
            if not ended and (state != b"idle" or death):
                return False
        return not any(replies[: 2 * len(queues)])

    def settle_late(self) -> None:
        """Settle where a worker class performs jobs without RQ's ``perform_job``.

        What became of such a job is counted when the worker's ``execute_job`` is through, and that is after RQ has
        the worker as idle.
        """
        self.settle()
        eventually(lambda: not self.connection.exists(Keys().running), "an empty running table")

    def is_idle(self, worker: str) -> bool:
        """Whether RQ has an RQ worker as idle."""
        return self.connection.hmget(f"rq:worker:{worker}", "state", "death") == [b"idle", None]

    def meet(self, name: str = "job") -> int:
        """Wait until :func:`support.jobs.meet` runs, and return the process it runs in."""
        file = self.folder / f"{name}.pid"
        return int(eventually(lambda: file.exists() and file.read_text(), f"the start of {name}"))

    def go(self, name: str = "job") -> None:
        """Let it go on."""
        (self.folder / f"{name}.go").touch()

    def kill(self, pid: int, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a work-horse."""
        with suppress(ProcessLookupError):
            os.kill(pid, sig)

    def bury(self, worker: Child) -> None:
        """SIGKILL a worker, and wait until Redis has noticed: until then it would still be given the next job."""
        worker.kill()
        worker.wait()
        alive = sum(child.alive for child in self._workers.values())
        eventually(lambda: self._waiting_clients() <= alive, "the end of its connections")

    def _waiting_clients(self) -> int:
        return sum("b" in client["flags"] for client in self.connection.client_list())

    def let_heartbeats_expire(self, *workers: str) -> None:
        """Do now what Redis does by itself when RQ's heartbeats have stayed away for 90 s or more.

        RQ's own keys run out: those of the executions, and those of the named RQ workers. Nothing of jobtelemetry's
        is touched, and nothing but the waiting is skipped.
        """
        pipe = self.connection.pipeline()
        for key in self.connection.scan_iter("rq:execution:*"):
            pipe.pexpire(key, 1)
        for key in self.connection.scan_iter("rq:wip:*"):
            for member in self.connection.zrange(key, 0, -1):
                pipe.zadd(key, {member: 1})
        for worker in workers:
            pipe.pexpire(f"rq:worker:{worker}", 1)
        pipe.execute()
        eventually(lambda: not any(self.connection.scan_iter("rq:execution:*")), "the end of RQ's execution keys")

    # looking

    def told(self) -> Told:
        """What jobtelemetry tells now."""
        return listen(self.connection)

    def snapshot(self) -> Snapshot:
        """All of it."""
        return read_snapshot(self.connection, Keys())

    def log(self) -> list[dict[str, str]]:
        """The execution log."""
        return log_entries(self.connection)

    def book(self, name: str) -> list[str]:
        """What the jobs wrote into one of their books, sorted."""
        file = self.folder / name
        return sorted(file.read_text().splitlines()) if file.exists() else []

    @property
    def calls(self) -> int:
        """How often a job's function was called, by the jobs' own books."""
        return len(self.book("ledger"))

    # curtain

    @contextmanager
    def open(self) -> Iterator[Stage]:
        """Instrument the producer (this process), and afterwards end every process and forget everything."""
        previous = os.environ.get(BOOKS)
        os.environ[BOOKS] = str(self.folder)
        try:
            if self.instrumented:
                jobtelemetry.instrument()
            yield self
        except BaseException:
            for name, child in self._workers.items():
                print(f"--- {name} (process {child.pid}, exit code {child.exit_code})\n{child.output}")
            raise
        finally:
            jobtelemetry.uninstrument()
            self.nursery.clear()
            if previous is None:
                del os.environ[BOOKS]
            else:
                os.environ[BOOKS] = previous
            if self.server.running:
                eventually(lambda: not self._waiting_clients(), "the end of the workers' connections")
                self.connection.flushall()


class Theatre:
    """Plays a scene bare, then instrumented, and compares.

    Args:
        server: Where RQ is.
        nursery: Who starts the processes.
        folder: Where the jobs' books are kept.
    """

    def __init__(self, server: TcpServer, nursery: Nursery, folder: Path) -> None:
        self.server = server
        self.nursery = nursery
        self._folder = folder
        self._runs = itertools.count(1)

    def stage(self, *, instrumented: bool = True) -> Stage:
        """A stage of one's own; use it with ``with theatre.stage().open() as stage``."""
        return Stage(self.server, self.nursery, self._folder / str(next(self._runs)), instrumented=instrumented)

    def play(self, scene: Scene, *, like_rq: bool = True) -> Told:
        """Play a scene and return what jobtelemetry told of it.

        That every execution was counted once is checked here, against the books of the jobs.

        Args:
            scene: What happens.
            like_rq: Whether RQ must end up as it does without jobtelemetry, in everything that it stores.
        """
        reference = None
        if like_rq:
            with self.stage(instrumented=False).open() as bare:
                scene(bare)
                reference = _left_behind(bare)
        with self.stage().open() as stage:
            scene(stage)
            told = stage.told()
            assert told.executions == stage.calls + stage.unreached, (told, stage.book("ledger"))
            if reference is not None:
                assert _left_behind(stage) == reference
        return told


def _left_behind(stage: Stage) -> dict[str, Any]:
    """What RQ stores after a scene, and what the jobs noted."""
    books = {f"book {name}": stage.book(name) for name in ("callbacks", "handlers")}
    return rq_state(stage.connection) | books | {"calls": stage.calls}
