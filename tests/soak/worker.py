"""An RQ worker of the soak: ``python -m tests.soak.worker URL NAME KIND INSTRUMENTED QUEUE...``.

RQ as it is, with shorter times: what RQ gives up after 90 s is given up after seconds here, so that thousands of jobs
can be given up in ten minutes. And it writes into the ledger which executions it was given.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import timedelta
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker, SpawnWorker, Worker
from rq.intermediate_queue import IntermediateQueue
from rq.utils import now

from . import jobs
from .ledger import note

#: Seconds after its last heartbeat in which RQ gives an execution up, and seconds between two heartbeats.
HEARTBEAT_TTL = int(os.environ.get("JOBTELEMETRY_SOAK_HEARTBEAT_TTL", "5"))
SIMPLE_TTL = 14
_INTERVAL = 1
_STUCK = timedelta(seconds=8)


def _stuck(self: IntermediateQueue, job_id: str) -> bool:
    """RQ waits a minute."""
    first_seen = self.get_first_seen(job_id)
    return first_seen is not None and now() - first_seen > _STUCK


IntermediateQueue.should_be_cleaned_up = _stuck  # type: ignore[method-assign]


class WitnessedQueue(Queue):
    """Says which jobs were taken, as soon as Redis has said so."""

    @classmethod
    def lmove(cls, *args: Any, **kwargs: Any) -> Any:
        taken = super().lmove(*args, **kwargs)
        if taken is not None:
            note("taken", job=taken[1].decode())
        return taken

    @classmethod
    def lpop(cls, *args: Any, **kwargs: Any) -> Any:
        taken = super().lpop(*args, **kwargs)
        if taken is not None:
            note("taken", job=taken[1].decode())
        return taken


class _Witness:
    """Says what it was given, before and after RQ knows."""

    heartbeat_ttl = HEARTBEAT_TTL

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(maintenance_interval=3, worker_ttl=1, queue_class=WitnessedQueue)
        super().__init__(*args, **kwargs)
        self.job_monitoring_interval = _INTERVAL

    def get_heartbeat_ttl(self, *args: Any, **kwargs: Any) -> int:
        return self.heartbeat_ttl

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        super().heartbeat(min(timeout or self.heartbeat_ttl, self.heartbeat_ttl), pipeline)  # type: ignore[misc]

    def prepare_execution(self, job: Any) -> Any:
        execution = super().prepare_execution(job)  # type: ignore[misc]
        note("created", job=job.id, execution=execution.id, worker=self.name)  # type: ignore[attr-defined]
        return execution

    def perform_job(self, job: Any, queue: Any, *rest: Any) -> bool:
        execution = rest[0] if rest else self.execution  # type: ignore[attr-defined]
        jobs.current_execution = execution.id
        return super().perform_job(job, queue, *rest)  # type: ignore[misc,no-any-return]


class ForkingWorker(_Witness, Worker):
    """RQ's default."""


class SpawningWorker(_Witness, SpawnWorker):
    """Starts a new Python for each job."""


class OneProcessWorker(_Witness, SimpleWorker):
    """Runs jobs itself and beats only between them, so it must be given more time."""

    heartbeat_ttl = SIMPLE_TTL


KINDS = {"fork": ForkingWorker, "spawn": SpawningWorker, "simple": OneProcessWorker}


def main(url: str, name: str, kind: str, instrumented: str, *queues: str) -> None:
    """Work until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    if instrumented == "yes":
        import jobtelemetry

        jobtelemetry.instrument()
    worker = KINDS[kind](list(queues), name=name, connection=Redis.from_url(url))
    worker.work(logging_level="INFO")


if __name__ == "__main__":
    # As a module, so that a spawned horse can import the worker's class.
    from tests.soak.worker import main as main_of_module

    main_of_module(*sys.argv[1:])
