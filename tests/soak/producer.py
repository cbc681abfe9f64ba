"""What the pool has to do: jobs of every kind, at random, and now and then a cancellation before they run."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from importlib import metadata
from typing import Any

from redis import Redis
from rq import Callback, Queue, Repeat, Retry
from rq.job import Job

from . import jobs
from .ledger import note
from .pool import QUEUES

#: Kinds of jobs that cannot say themselves what is expected of them.
NOWHERE, CALLBACK = "nowhere", "callback"
CALLBACK_RAISES = Callback(jobs.failing_callback)

RQ = tuple(int(part) for part in metadata.version("rq").split(".")[:2])

#: Of a returned ``Retry``. RQ 2.7 forgets with an interval how often a job has been tried, and tries it for ever.
INTERVALS = [0, 1] if RQ >= (2, 12) else [0]


class Producer:
    """Enqueues one job, or a few that belong together, at a time.

    Args:
        connection: RQ's Redis.
        dice: Where chance comes from.
    """

    def __init__(self, connection: Redis, dice: random.Random) -> None:
        self._dice = dice
        self._queues = [Queue(name, connection=connection, default_timeout=60) for name in QUEUES]
        self._numbers = 0
        self._ways: list[tuple[int, Callable[[Queue], Any]]] = [
            (30, lambda queue: self._put(queue, jobs.complete, self._seconds())),
            (20, lambda queue: self._put(queue, jobs.cancel, self._seconds(), dice.random() < 0.5)),
            (6, lambda queue: self._put(queue, jobs.fail, self._seconds())),
            (6, lambda queue: self._put(queue, jobs.fail, self._seconds(), retry=Retry(max=2))),
            (5, lambda queue: self._put(queue, jobs.sometimes, self._seconds(), retry=Retry(max=2, interval=1))),
            (3, lambda queue: self._put(queue, jobs.discard, retry=Retry(max=2))),
            (3, lambda queue: self._put(queue, jobs.cancel, retry=Retry(max=2))),
            (3, lambda queue: self._put(queue, jobs.come_again, 2, dice.choice(INTERVALS))),
            (2, lambda queue: self._put(queue, jobs.overrun, job_timeout=1, retry=dice.choice([None, Retry(max=1)]))),
            (3, lambda queue: self._put(queue, jobs.die, dice.choice(["SIGKILL", "SIGSEGV", "exit"]))),
            (2, lambda queue: self._put(queue, jobs.die, dice.choice(["SIGKILL", "exit"]), retry=Retry(max=1))),
            (2, lambda queue: self._put(queue, jobs.unpicklable)),
            (2, lambda queue: self._put(queue, "tests.soak.jobs.nowhere", kind=NOWHERE)),
            (2, lambda queue: self._put(queue, jobs.complete, kind=CALLBACK, on_success=CALLBACK_RAISES)),
            (3, lambda queue: self._put(queue, jobs.complete, result_ttl=0)),
            (3, lambda queue: self._put(queue, jobs.complete, repeat=Repeat(times=2))),
            (2, self._dependents),
            (2, self._many),
            (2, self._later),
            (2, self._cancelled_unstarted),
        ]

    def produce(self) -> None:
        """One of the ways into a queue.

        Raises:
            redis.exceptions.RedisError: Redis is away; what was half done is no matter, RQ's own state counts.
        """
        weights = [weight for weight, _ in self._ways]
        way = self._dice.choices([way for _, way in self._ways], weights)[0]
        way(self._dice.choice(self._queues))

    def _seconds(self) -> float:
        """Most jobs are quick; some are caught in the act."""
        return self._dice.choice([0.0, 0.0, 0.0, 0.01, 0.02, 0.05, 0.2, 0.2, 1.0, self._dice.uniform(2.0, 6.0)])

    def _id(self) -> str:
        self._numbers += 1
        return f"job-{self._numbers}"

    def _put(self, queue: Queue, function: Any, *args: Any, kind: str = "", **options: Any) -> Job:
        job_id = self._id()
        note("producing", job=job_id, kind=kind)
        options.setdefault("result_ttl", 60)
        return queue.enqueue(function, args=args, job_id=job_id, **options)

    def _dependents(self, queue: Queue) -> None:
        first = self._put(queue, self._dice.choice([jobs.complete, jobs.fail, jobs.cancel]), 0.2)
        self._put(queue, jobs.complete, depends_on=first)

    def _many(self, queue: Queue) -> None:
        queue.enqueue_many([Queue.prepare_data(jobs.complete, args=(0.0,), job_id=self._id()) for _ in range(5)])

    def _later(self, queue: Queue) -> None:
        queue.enqueue_in(timedelta(seconds=2), jobs.complete, 0.0, job_id=self._id())

    def _cancelled_unstarted(self, queue: Queue) -> None:
        queue.enqueue_in(timedelta(hours=1), jobs.complete, 0.0, job_id=self._id()).cancel()
