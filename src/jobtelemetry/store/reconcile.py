"""Counting what nobody reported: executions in the running table that RQ no longer knows.

RQ keeps an execution alive by heartbeats; its key expires after RQ's heartbeat TTL (at most 90 s with RQ's default
monitoring interval, the job's timeout + 60 s for a ``SimpleWorker``). So an abandoned execution is found within
that time plus the interval at which :func:`reconcile` runs. RQ's own clean-up of abandoned jobs is never run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jobtelemetry.errors import StoreError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import ERROR_TYPES, Ending, Found, Outcome, State, conclude
from jobtelemetry.store.books import account_names, fold_departed
from jobtelemetry.store.decode import running_entries
from jobtelemetry.store.keys import (
    JOB_ATTEMPT_FIELD,
    JOB_CANCEL_REASON_FIELD,
    JOB_REPORT_FIELD,
    JOB_WORKER_FIELD,
    Keys,
)
from jobtelemetry.store.own import Measurements
from jobtelemetry.store.record import (
    CHANGED,
    COUNTED,
    Booking,
    Limits,
    Settling,
    append_cancelled,
    finish_command,
    finished,
    text,
)
from jobtelemetry.store.rq_state import still_there
from jobtelemetry.store.scripts import execute, run
from jobtelemetry.store.snapshot import RunningExecution

_JOB_FIELDS = (
    "status",
    JOB_ATTEMPT_FIELD,
    JOB_CANCEL_REASON_FIELD,
    JOB_REPORT_FIELD,
    JOB_WORKER_FIELD,
    "worker_name",
)
#: How often a decision is made anew because RQ changed the job meanwhile.
_TRIES = 3


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
    counted = []
    for one in suspects:
        event = settle(
            connection,
            keys,
            _event(one, now),
            limits,
            attempt=one.attempt,
            retries=one.retries_left > 0,
            account=one.account,
        )
        if event is not None:
            counted.append(event)
    return counted


def settle(
    connection: Any,
    keys: Keys,
    event: ExecutionEvent,
    limits: Limits,
    *,
    attempt: int,
    retries: bool,
    account: str = "",
    asked: str = "abandoned",
    told: Found | None = None,
    measured: Measurements | None = None,
) -> ExecutionEvent | None:
    """Find out what became of an execution whose end nobody has reported, and count it, once, if it has ended.

    Args:
        event: What is known of it.
        attempt: Its number within its job, as the running table has it.
        retries: Whether it had retries left when it started.
        account: What its RQ worker is called in the accounts, if not by its name.
        asked: Who asks; see :class:`~jobtelemetry.outcomes.Found`.
        told: What its own process told, or what was seen of its end; only the fields about that are read.
        measured: What its job measured in metrics of its own, as far as this process knows.

    Returns:
        What was counted, or ``None``.

    Raises:
        StoreError: It could not be written; it shows as unrecorded.
        redis.exceptions.RedisError: Redis does not answer or refuses; nothing is lost.
    """
    for _ in range(_TRIES):
        found, noted, report = _found(connection, keys, event, attempt, retries, asked, told)
        concluded = conclude(found)
        if concluded is None:
            return None
        settled = replace(event, outcome=concluded.outcome, worker=noted or event.worker, report=report or event.report)
        booking = Booking.of(settled.outcome.state) if concluded.counted_by_rq else Booking()
        command = finish_command(
            keys,
            settled,
            job_key=keys.job(event.job_id),
            rq_worker_key=keys.rq_worker(account or event.rq_worker),
            limits=limits,
            booking=booking,
            settling=Settling(found.status, found.exists, abandoned=found.asked == "abandoned"),
            measured=measured,
        )
        answer = finished(run(connection, command))
        if answer.fault:
            raise StoreError(answer.fault)
        if answer.answer != CHANGED:
            return settled if answer.answer == COUNTED else None
    return None


def _found(
    connection: Any,
    keys: Keys,
    event: ExecutionEvent,
    attempt: int,
    retries: bool,
    asked: str,
    told: Found | None,
) -> tuple[Found, str, str]:
    """What Redis has of it now, and what the job's hash says of its label and about reporting."""
    pipe = connection.pipeline()
    pipe.hmget(keys.job(event.job_id), _JOB_FIELDS)
    pipe.exists(keys.execution(event.job_id, event.execution_id))
    row, exists = pipe.execute()
    status, attempted, reason, report, label, ran_by = ("" if value is None else text(value) for value in row)
    newest = attempted == str(attempt) and ran_by in ("", event.rq_worker)
    known = told or Found(asked, exists=False, status="")
    return (
        replace(
            known,
            asked=asked,
            exists=bool(exists),
            status=status,
            newest=newest,
            retries=retries,
            reason=reason or known.reason,
        ),
        label,
        report,
    )


def tidy(connection: Any, keys: Keys) -> None:
    """What else is left behind: accounts of RQ workers that are gone, cancelled jobs that have expired.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    accounts = account_names(connection, keys)
    fold_departed(connection, keys, accounts, still_there(connection, keys, accounts))
    pipe = connection.pipeline(transaction=False)
    for queue in connection.smembers(keys.queues):
        append_cancelled(pipe, keys, keys.queue_name(text(queue)))
    execute(pipe)


def _running(connection: Any, keys: Keys) -> tuple[float, list[RunningExecution]]:
    pipe = connection.pipeline()
    pipe.time()
    pipe.hgetall(keys.running)
    (seconds, micros), entries = pipe.execute()
    table = {text(field): text(value) for field, value in entries.items()}
    return seconds + micros / 1_000_000, list(running_entries(table))


def _suspects(connection: Any, keys: Keys, running: Sequence[RunningExecution]) -> list[RunningExecution]:
    """Executions that RQ no longer has and whose RQ worker is not still busy with them."""
    newest: dict[str, float] = {}
    for execution in running:
        newest[execution.rq_worker] = max(newest.get(execution.rq_worker, 0.0), execution.started_at)
    pipe = connection.pipeline()
    for execution in running:
        pipe.exists(keys.execution(execution.job_id, execution.execution_id))
        pipe.hmget(keys.rq_worker(execution.account or execution.rq_worker), "state", "death")
    replies = pipe.execute()
    suspects = []
    for execution, exists, (state, death) in zip(running, replies[::2], replies[1::2], strict=True):
        # job.delete() removes the execution of a job that is still running.
        at_work = state is not None and text(state) == "busy" and not death
        if not exists and not (at_work and execution.started_at == newest[execution.rq_worker]):
            suspects.append(execution)
    return suspects


def _event(execution: RunningExecution, now: float) -> ExecutionEvent:
    _, trace_id, span_id, *_ = [*execution.trace.split(" ")[0].split("-"), "", "", ""]
    return ExecutionEvent(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        worker=execution.series.worker,
        queue=execution.series.queue,
        rq_worker=execution.rq_worker,
        outcome=Outcome(State.DISCARD, error_type=ERROR_TYPES[Ending.ABANDONED]),
        attempt=execution.attempt,
        started_at=execution.started_at,
        ended_at=now,
        wait=execution.wait,
        labels=dict(execution.series.extra),
        trace_id=trace_id,
        span_id=span_id,
        lost_span=execution.trace,
    )
