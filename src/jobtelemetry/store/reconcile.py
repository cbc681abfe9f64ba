"""Counting what nobody reported: executions in the running table that RQ no longer knows.

RQ keeps an execution alive by heartbeats; its key expires after RQ's heartbeat TTL (at most 90 s with RQ's default
monitoring interval, the job's timeout + 60 s for a ``SimpleWorker``). So an abandoned execution is found within
that time plus the interval at which :func:`reconcile` runs. RQ's own clean-up of abandoned jobs is never run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import ERROR_TYPES, Ending, Outcome, State
from jobtelemetry.store.keys import JOB_WORKER_FIELD, Keys
from jobtelemetry.store.read import running_entries
from jobtelemetry.store.record import Limits, append_settle
from jobtelemetry.store.snapshot import RunningExecution


def reconcile(connection: Any, keys: Keys, limits: Limits) -> list[ExecutionEvent]:
    """Count, once, every execution that ended without anybody reporting it.

    Safe to run anywhere, any number of times, at once with others: the running table's entry is the token.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        limits: The bounds of series and log.

    Returns:
        One event per execution that this call counted.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses; nothing is lost, the next run goes on.
    """
    now, running = _running(connection, keys)
    suspects = _suspects(connection, keys, running)
    if not suspects:
        return []
    noted = _noted_labels(connection, keys, suspects)
    events = [_event(execution, now, label) for execution, label in zip(suspects, noted, strict=True)]
    pipe = connection.pipeline(transaction=False)
    for event in events:
        append_settle(
            pipe,
            keys,
            event,
            exited=None,
            job_key=keys.job(event.job_id),
            execution_key=keys.execution(event.job_id, event.execution_id),
            rq_worker_key=keys.rq_worker(event.rq_worker),
            limits=limits,
        )
    replies = pipe.execute(raise_on_error=False)
    return [settled for event, reply in zip(events, replies, strict=True) if (settled := settle_reply(event, reply))]


def forget_gone_workers(connection: Any, keys: Keys) -> int:
    """Drop the audit's marks of RQ workers that are gone. Returns how many."""
    pipe = connection.pipeline()
    pipe.hkeys(keys.instrumented)
    pipe.smembers(keys.rq_workers)
    marked, registered = pipe.execute()
    alive = {keys.rq_worker_name(_text(key)) for key in registered}
    gone = [name for name in map(_text, marked) if name not in alive]
    return int(connection.hdel(keys.instrumented, *gone)) if gone else 0


def settle_reply(event: ExecutionEvent, reply: Any) -> ExecutionEvent | None:
    """The event with the outcome that ``settle.lua`` decided, or ``None`` if it counted nothing."""
    if not isinstance(reply, list) or _text(reply[0]) != "counted":
        return None
    state, reason, error_type, report = map(_text, reply[1:5])
    return replace(event, outcome=Outcome(State(state), reason, error_type), report=report)


def _running(connection: Any, keys: Keys) -> tuple[float, list[RunningExecution]]:
    pipe = connection.pipeline()
    pipe.time()
    pipe.hgetall(keys.running)
    (seconds, micros), entries = pipe.execute()
    table = {_text(field): _text(value) for field, value in entries.items()}
    return seconds + micros / 1_000_000, list(running_entries(table))


def _suspects(connection: Any, keys: Keys, running: Sequence[RunningExecution]) -> list[RunningExecution]:
    """Executions that RQ no longer has and whose RQ worker is not still busy with them."""
    newest: dict[str, float] = {}
    for execution in running:
        newest[execution.rq_worker] = max(newest.get(execution.rq_worker, 0.0), execution.started_at)
    pipe = connection.pipeline()
    for execution in running:
        pipe.exists(keys.execution(execution.job_id, execution.execution_id))
        pipe.hmget(keys.rq_worker(execution.rq_worker), "state", "death")
    replies = pipe.execute()
    suspects = []
    for execution, exists, (state, death) in zip(running, replies[::2], replies[1::2], strict=True):
        # job.delete() removes the execution of a job that is still running.
        at_work = state is not None and _text(state) == "busy" and not death
        if not exists and not (at_work and execution.started_at == newest[execution.rq_worker]):
            suspects.append(execution)
    return suspects


def _noted_labels(connection: Any, keys: Keys, suspects: Sequence[RunningExecution]) -> list[str]:
    """What a work-horse that loaded the job knew better than the process that started it; empty for nothing."""
    pipe = connection.pipeline(transaction=False)
    for execution in suspects:
        pipe.hget(keys.job(execution.job_id), JOB_WORKER_FIELD)
    return [_text(label or "") for label in pipe.execute()]


def _event(execution: RunningExecution, now: float, label: str) -> ExecutionEvent:
    ready, start = execution.ready_at, execution.started_at
    _, trace_id, span_id, *_ = [*execution.trace.split(" ")[0].split("-"), "", "", ""]
    return ExecutionEvent(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        worker=label or execution.series.worker,
        queue=execution.series.queue,
        rq_worker=execution.rq_worker,
        outcome=Outcome(State.DISCARD, error_type=ERROR_TYPES[Ending.ABANDONED]),
        attempt=execution.attempt,
        started_at=start,
        ended_at=now,
        wait=None if ready is None else max(0.0, start - ready),
        source=execution.series.source,
        trace_id=trace_id,
        span_id=span_id,
        lost_span=execution.trace,
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
