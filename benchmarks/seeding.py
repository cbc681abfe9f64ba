"""Synthetic contents: label sets written by the store's own functions, RQ's own keys as RQ leaves them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store import record, scripts
from jobtelemetry.store.keys import Keys

KEYS = Keys()
_LIMITS = record.Limits(label_sets=100_000, log_size=0)
_OUTCOMES = (
    Outcome(State.COMPLETED),
    Outcome(State.CANCELLED, reason="NotMatched"),
    Outcome(State.FAILURE, error_type="TimeoutError"),
)


def count_execution(pipeline: Any, event: ExecutionEvent) -> None:
    """Append the start and the end of one execution: the only place that knows how the store is written to."""
    job_key, rq_worker_key = KEYS.job(event.job_id), KEYS.rq_worker(event.rq_worker)
    start = record.Start(
        execution_id=event.execution_id,
        job_id=event.job_id,
        worker=event.worker,
        queue=event.queue,
        rq_worker=event.rq_worker,
        account=KEYS.account(rq_worker_key),
        started_at=event.started_at,
    )
    record.append_start(pipeline, KEYS, start, job_key=job_key, limits=_LIMITS)
    booking = record.Booking.of(event.outcome.state)
    record.append_finish(
        pipeline, KEYS, event, job_key=job_key, rq_worker_key=rq_worker_key, limits=_LIMITS, booking=booking
    )


def label_sets(connection: Any, numbers: Iterable[int], queues: int, *, all_states: bool = True) -> None:
    """Count executions of these label sets: one completed, cancelled and failed each, or one completed alone."""
    pipeline = connection.pipeline(transaction=False)
    for number in numbers:
        for outcome in _OUTCOMES if all_states else _OUTCOMES[:1]:
            now = time.time()
            event = ExecutionEvent(
                execution_id=uuid.uuid4().hex,
                job_id=uuid.uuid4().hex,
                worker=f"cinema.jobs.process_{number:05}",
                queue=f"queue-{number % queues:04}",
                rq_worker="seeding",
                outcome=outcome,
                attempt=1,
                started_at=now - 1.5,
                ended_at=now,
                duration=1.5,
                wait=0.2,
            )
            count_execution(pipeline, event)
        if number % 200 == 199:
            _execute(pipeline)
    _execute(pipeline)


def _execute(pipeline: Any) -> None:
    """Send what was appended, and look whether all of it was counted: figures of what was refused mean nothing."""
    ends = [record.finished(reply) for reply in scripts.execute(pipeline)[1::2]]
    if refused := [end for end in ends if end.answer != record.COUNTED]:
        raise RuntimeError(f"{len(refused)} of {len(ends)} executions were not counted: {refused[0]!r}")


def rq_workers(connection: Any, number: int, queues: int) -> None:
    """RQ workers as they register themselves."""
    pipeline = connection.pipeline(transaction=False)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    for index in range(number):
        key, queue = KEYS.rq_worker(f"worker-{index:05}"), f"queue-{index % queues:04}"
        facts = {"birth": moment, "last_heartbeat": moment, "queues": queue, "state": "idle", "hostname": "here"}
        facts |= {"pid": str(index), "successful_job_count": "0", "failed_job_count": "0", "version": "3.0.0"}
        pipeline.hset(key, mapping=facts)
        pipeline.sadd(KEYS.rq_workers, key)
        pipeline.sadd(f"{KEYS.rq_workers}:{queue}", key)
    pipeline.execute()


def rq_queues(connection: Any, number: int) -> None:
    """Queues that RQ knows, empty."""
    connection.sadd(KEYS.queues, *(KEYS.queue(f"queue-{index:04}") for index in range(number)))


def finished_jobs(connection: Any, number: int) -> None:
    """Entries of finished jobs in RQ's registry; of their hashes nobody reads more when there are more."""
    expiry = time.time() + 3600
    for first in range(0, number, 10_000):
        entries = {f"job-{index:08}": expiry for index in range(first, min(number, first + 10_000))}
        connection.zadd(KEYS.registry("finished", "queue-0000"), entries)
