"""What happens to the pool: processes are killed, frozen and replaced, Redis restarts, connections are cut.

Every deed is in the ledger before it is done: which processes it hits, or that it hits all.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from redis.exceptions import RedisError
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job

from .ledger import note
from .pool import QUEUES, Member, Pool
from .primary import Primary
from .proof import Proof
from .worker import SIMPLE_TTL

#: Seconds between two deeds after which RQ itself has lost something: what is excused must stay the exception.
_BETWEEN_LOSSES = 30.0


class Chaos:
    """Does something terrible every few seconds. Used by the main thread: Redis ends with the thread that starts it.

    Args:
        server: Redis.
        pool: The processes.
        proof: What must notice it, where something of the numbers is lost.
        dice: Where chance comes from.
        pause: Mean seconds between two deeds.
    """

    def __init__(self, server: Primary, pool: Pool, proof: Proof, dice: random.Random, pause: float) -> None:
        self._server, self._pool, self._proof, self._dice, self._pause = server, pool, proof, dice, pause
        self._connection = server.client()
        self._lost_at = time.monotonic()
        self._frozen: list[tuple[float, Member, list[psutil.Process]]] = []
        self.deeds: dict[str, int] = {}
        self._deeds: list[tuple[int, Callable[[], object]]] = [
            (8, self.kill_horse),
            (4, self.kill_worker_and_horse),
            (4, self.kill_worker_only),
            (3, self.stop_job),
            (3, self.warm_shutdown),
            (2, self.cold_shutdown),
            (2, self.freeze),
            (3, self.plain_worker_comes),
            (3, self.plain_worker_goes),
            (2, self.exporter_comes),
            (2, self.exporter_dies),
            (2, self.cut_connections),
            (1, self.redis_restarts),
            (1, self.redis_dies),
            (1, self.scripts_flushed),
            (2, self.key_lost),
            (1, self.keys_lost),
            (1, self.backup),
            (1, self.older_state_restored),
            (1, self.everything_flushed),
            (1, self.failed_over),
            (1, self.failed_over_to_a_lagging_replica),
        ]

    def rage(self, seconds: float) -> None:
        """For so long; in the end what is frozen goes on."""
        weights = [weight for weight, _ in self._deeds]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(self._dice.expovariate(1 / self._pause), 3 * self._pause))
            self._thaw(before=time.monotonic())
            deed = self._dice.choices([deed for _, deed in self._deeds], weights)[0]
            try:
                if deed():
                    name = deed.__name__
                    self.deeds[name] = self.deeds.get(name, 0) + 1
            except (RedisError, psutil.Error, OSError) as error:
                note("chaos-failed", deed=deed.__name__, error=repr(error))
        self._thaw(before=float("inf"))

    # processes

    def kill_horse(self) -> bool:
        """SIGKILL to a work-horse: the OOM killer."""
        if not (found := self._horses()):
            return False
        member, horse = self._dice.choice(found)
        note("chaos", deed="kill_horse", hit=[horse.pid, member.process.pid])
        horse.kill()
        return True

    def kill_worker_and_horse(self) -> bool:
        """The machine dies."""
        member = self._any("fork", "simple", "spawn")
        family = member.family() if member else []
        note("chaos", deed="kill_worker_and_horse", hit=[process.pid for process in family])
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        return bool(family)

    def kill_worker_only(self) -> bool:
        """The horse is orphaned and goes on."""
        if (member := self._any("fork", "simple", "spawn")) is None:
            return False
        note("chaos", deed="kill_worker_only", hit=[member.process.pid])
        member.send(signal.SIGKILL)
        return True

    def warm_shutdown(self) -> bool:
        """One SIGTERM: the job is finished first. Nothing may go wrong, so nothing is hit."""
        member = self._any("fork", "simple", "spawn")
        if member is not None:
            member.send(signal.SIGTERM)
        return member is not None

    def cold_shutdown(self) -> bool:
        """Two SIGTERMs: the job is not."""
        if (member := self._any("fork", "spawn")) is None:
            return False
        note("chaos", deed="cold_shutdown", hit=[member.process.pid])
        member.send(signal.SIGTERM)
        time.sleep(1.2)  # RQ takes two within a second for one
        member.send(signal.SIGTERM)
        return True

    def freeze(self) -> bool:
        """A host that hangs past its heartbeat, and comes back."""
        if self._frozen or (member := self._any("fork", "simple")) is None:
            return False
        family = member.family()
        note("chaos", deed="freeze", hit=[process.pid for process in family])
        member.frozen = True
        for process in family:
            with suppress(psutil.Error):
                process.suspend()
        self._frozen.append((time.monotonic() + SIMPLE_TTL + 4, member, family))
        return True

    def _thaw(self, before: float) -> None:
        for entry in [entry for entry in self._frozen if entry[0] <= before]:
            self._frozen.remove(entry)
            for process in entry[2]:
                with suppress(psutil.Error):
                    process.resume()
            entry[1].frozen = False

    # RQ

    def stop_job(self) -> bool:
        """An operator stops a running job."""
        for member in self._shuffled("fork", "spawn"):
            job_id = self._connection.hget(f"rq:worker:{member.name}", "current_job")
            running = [Job.fetch(job_id.decode(), self._connection)] if isinstance(job_id, bytes) else []
            if not running:
                running = self._started_on(member.name)
            for job in running:
                note("stop", job=job.id)
                with suppress(InvalidJobOperation):
                    send_stop_job_command(self._connection, job.id)
                    return True
        return False

    def _started_on(self, name: str) -> list[Job]:
        found = []
        for queue in QUEUES:
            for entry in self._connection.zrange(f"rq:wip:{queue}", 0, -1):
                with suppress(NoSuchJobError):
                    job = Job.fetch(entry.decode().split(":")[0], self._connection)
                    if job.worker_name == name:
                        found.append(job)
        return found

    def plain_worker_comes(self) -> bool:
        """Somebody adds an ordinary ``rq worker`` to the pool."""
        if self._pool.of("plain"):
            return False
        self._pool.start_plain_worker()
        return True

    def plain_worker_goes(self) -> bool:
        """And stops it."""
        for member in self._pool.of("plain"):
            member.send(signal.SIGTERM)
            return True
        return False

    # exporters

    def exporter_comes(self) -> bool:
        """Up to three at once."""
        if len(self._pool.of("exporter")) >= 3:
            return False
        self._pool.start_exporter()
        return True

    def exporter_dies(self) -> bool:
        """In the middle of whatever it does."""
        if (member := self._any("exporter")) is None:
            return False
        member.send(signal.SIGKILL)
        return True

    # Redis

    def cut_connections(self) -> bool:
        """All of them; a transaction may have been applied before its reply is lost."""
        note("chaos", deed="cut_connections", hit="all", seconds=0.0)
        for kind in ("normal", "pubsub"):
            self._connection.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        return True

    def redis_restarts(self) -> bool:
        """In good order."""
        return self._outage("redis_restarts", self._server.restart)

    def redis_dies(self) -> bool:
        """SIGKILL, and back from its append-only file."""

        def die() -> None:
            self._server.kill()
            time.sleep(self._dice.uniform(0.0, 2.0))
            self._server.start()

        return self._outage("redis_dies", die)

    def scripts_flushed(self) -> bool:
        """Redis forgets every script, as after a fail-over."""
        self._connection.script_flush()
        return True

    # the numbers

    def key_lost(self) -> bool:
        """One of our keys is deleted or evicted."""
        return self._lose(lambda found: [self._dice.choice(found)])

    def keys_lost(self) -> bool:
        """All of them are."""
        return self._lose(lambda found: found)

    def _lose(self, choose: Callable[[list[bytes]], list[bytes]]) -> bool:
        found = sorted(self._connection.scan_iter("rq:telemetry:*"))
        if not found:
            return False
        keys = [key.decode() for key in choose(found)]
        # Who ends without a word afterwards may be lost, and one that was settled counted again: both must be said.
        blind = any(key.endswith((":running", ":closed")) for key in keys)
        note("chaos", deed="keys_lost", hit=[], keys=keys)
        if blind:
            now = time.time()
            note("lost", since=now, till=now)
        self._proof.tampered()
        self._proof.copy_and("DEL", *keys)
        return True

    # what RQ loses as well

    def backup(self) -> bool:
        """Somebody copies the files of Redis."""
        self._server.back_up()
        return True

    def older_state_restored(self) -> bool:
        """And later Redis starts with them."""
        since = self._server.backed_up_at
        if since is None or time.time() - since > 4 * _BETWEEN_LOSSES:
            return False
        return self._lost_with("older_state_restored", since, self._server.restore)

    def everything_flushed(self) -> bool:
        """``FLUSHALL``."""
        return self._lost_with("everything_flushed", time.time(), lambda: self._proof.copy_and("FLUSHALL"))

    def failed_over(self) -> bool:
        """A replica that has everything takes over."""
        return self._outage("failed_over", self._server.fail_over)

    def failed_over_to_a_lagging_replica(self) -> bool:
        """One that has not."""
        since: list[float] = []

        def fall_behind() -> None:
            since.append(time.time())
            time.sleep(self._dice.uniform(0.1, 4.0))

        def fail_over() -> None:
            self._server.fail_over(fall_behind)
            self._proof.forget_since(since[0])
            note("lost", since=since[0], till=time.time())

        return self._lost_with("failed_over_to_a_lagging_replica", None, fail_over)

    def _lost_with(self, name: str, since: float | None, deed: Callable[[], None]) -> bool:
        if time.monotonic() - self._lost_at < _BETWEEN_LOSSES:
            return False
        self._proof.tampered()

        def lose() -> None:
            deed()
            if since is not None:
                self._proof.forget_since(since)
                note("lost", since=since, till=time.time())

        done = self._outage(name, lose)
        self._proof.tampered()
        self._lost_at = time.monotonic()
        return done

    def _outage(self, name: str, deed: Callable[[], None]) -> bool:
        note("chaos", deed=name, hit="all", seconds=10.0)
        deed()
        note("chaos", deed=f"{name}, over", hit="all", seconds=0.0)
        return True

    def _horses(self) -> list[tuple[Member, psutil.Process]]:
        found = []
        for member in self._pool.of("fork", "spawn"):
            for process in member.family()[1:]:
                with suppress(OSError):
                    if os.getpgid(process.pid) == process.pid:
                        found.append((member, process))
        return found

    def _any(self, *kinds: str) -> Member | None:
        return next(iter(self._shuffled(*kinds)), None)

    def _shuffled(self, *kinds: str) -> list[Member]:
        members = self._pool.of(*kinds)
        self._dice.shuffle(members)
        return members
