"""Writing: what one ending adds, as commands appended to a pipeline that somebody else executes.

Nothing here executes anything or imports RQ. Every function appends exactly one ``EVAL`` (never ``EVALSHA``:
a ``NOSCRIPT`` inside RQ's transaction would fail a good job) whose script never raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS, le
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys, encode

#: What :func:`append_finish` and :func:`append_stuck` can answer. Nothing of these: it could not be counted.
COUNTED, LATE, AGAIN = "counted", "late", "again"


def _script(*names: str) -> str:
    """The named Lua sources as one script, without comments and indentation: it travels with every call."""
    folder = resources.files(__package__) / "lua"
    lines = [line.strip() for name in names for line in (folder / f"{name}.lua").read_text("utf-8").splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("--"))


_START = _script("common", "start")
_FINISH = _script("common", "count", "finish")
_STUCK = _script("common", "count", "stuck")
_SETTLE = _script("common", "count", "settle")
_TALLY = _script("common", "tally")
_OWN_ERRORS = _script("common", "own_errors")
_CANCELLED = _script("common", "cancelled")
_PROBE = _script("common", "probe")


@dataclass(frozen=True)
class Limits:
    """The bounds that the scripts keep: label sets per family, entries in the execution log (0: no log)."""

    label_sets: int = 1000
    log_size: int = 10_000


@dataclass(frozen=True)
class Start:
    """What is known when an execution starts.

    Args:
        execution_id: RQ's id of the execution.
        job_id: RQ's id of the job.
        worker: The label, as far as it is known before the job is loaded.
        queue: The queue's name.
        rq_worker: The RQ worker's name.
        started_at: Unix time in seconds.
        ready_at: When it could run, Unix time; ``None`` if unknown.
        retries_left: As RQ has it at the start; 0 without retries.
        source: The optional source label.
        trace: The trace context of the consumer span, for an event about an execution nobody ended.
    """

    execution_id: str
    job_id: str
    worker: str
    queue: str
    rq_worker: str
    started_at: float
    ready_at: float | None = None
    retries_left: int = 0
    source: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Started:
    """What Redis said to a :class:`Start`: the attempt (1-based, 0 if unknown) and a fault or nothing."""

    attempt: int
    fault: str = ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _micros(seconds: float | None) -> str:
    return "" if seconds is None else str(max(0, round(seconds * 1_000_000)))


def _observed(seconds: float | None, buckets: tuple[float, ...]) -> tuple[str, str]:
    return ("", "") if seconds is None else (_micros(seconds), le(max(0.0, seconds), buckets))


def _eval(pipeline: Any, script: str, keys: tuple[str, ...], args: tuple[object, ...]) -> Any:
    """Everything goes as UTF-8 bytes: redis-py would encode it while RQ's transaction is sent, too late to fail."""
    words = (str(word).encode("utf-8", "backslashreplace") for word in (*keys, *args))
    return pipeline.execute_command("EVAL", script, len(keys), *words)


def _counting_keys(keys: Keys, rq_worker_key: str) -> tuple[str, ...]:
    return (keys.running, keys.series, keys.exemplars, keys.closed, keys.log, rq_worker_key)


def _detail(event: ExecutionEvent) -> tuple[str, str]:
    """The family beside executions in which the event counts, and its encoded label value."""
    if event.outcome.state is State.CANCELLED:
        return "cancellations", encode([event.outcome.reason])
    if event.outcome.state.failed:
        return "errors", encode([event.outcome.error_type])
    return "", ""


def log_fields(event: ExecutionEvent) -> tuple[str, ...]:
    """The event as field-value pairs of the execution log; empty values are left out."""
    entry = {
        "execution": event.execution_id,
        "job": event.job_id,
        "worker": event.worker,
        "queue": event.queue,
        "rq_worker": event.rq_worker,
        "state": event.outcome.state.value,
        "reason": event.outcome.reason,
        "error_type": event.outcome.error_type,
        "message": event.message[:500],
        "attempt": str(event.attempt or ""),
        "wait": _micros(event.wait),
        "duration": _micros(event.duration),
        "ended": f"{event.ended_at:.6f}",
        "trace": event.trace_id,
        "source": event.source,
        "attributes": json.dumps(dict(event.attributes), ensure_ascii=False) if event.attributes else "",
    }
    return tuple(text for pair in entry.items() if pair[1] for text in pair)


def append_start(pipeline: Any, keys: Keys, start: Start, *, job_key: str, limits: Limits) -> Any:
    """Append the command that puts an execution into the running table; :func:`started` reads its reply."""
    entry = {
        "worker": start.worker,
        "queue": start.queue,
        "source": start.source,
        "start": _micros(start.started_at),
        "ready": _micros(start.ready_at),
        "job": start.job_id,
        "rq_worker": start.rq_worker,
        "retries": str(start.retries_left),
        "trace": start.trace,
    }
    return _eval(
        pipeline,
        _START,
        (keys.running, keys.series, job_key),
        (
            start.execution_id,
            encode([start.worker, start.queue, start.source]),
            f"{start.started_at:.6f}",
            limits.label_sets,
            json.dumps(entry, ensure_ascii=False),
        ),
    )


def started(reply: Any) -> Started:
    """Read the reply to :func:`append_start`."""
    attempt, fault = reply
    return Started(int(attempt), _text(fault))


def append_finish(
    pipeline: Any,
    keys: Keys,
    event: ExecutionEvent,
    *,
    job_key: str,
    rq_worker_key: str,
    limits: Limits,
    token: bool = True,
    counted_by_rq: int = 0,
) -> Any:
    """Append the command that counts an ended execution, once however often it is executed.

    Args:
        token: Whether the start was written, so that the running table decides; otherwise the id does.
        counted_by_rq: How many endings RQ adds to its worker's counts in the same transaction.
    """
    duration, duration_le = _observed(event.duration, DURATION_BUCKETS)
    wait, wait_le = _observed(event.wait, WAIT_BUCKETS)
    return _eval(
        pipeline,
        _FINISH,
        (
            *_counting_keys(keys, rq_worker_key),
            job_key,
            keys.intermediate(event.queue),
            keys.execution(event.job_id, event.execution_id),
        ),
        (
            "token" if token else "free",
            event.execution_id,
            encode([event.worker, event.queue, event.source]),
            event.outcome.state.value,
            f"{event.ended_at:.6f}",
            duration,
            duration_le,
            wait,
            wait_le,
            *_detail(event),
            f"{event.trace_id}|{event.span_id}" if event.trace_id else "",
            limits.label_sets,
            counted_by_rq,
            event.job_id,
            limits.log_size,
            *(log_fields(event) if limits.log_size else ()),
        ),
    )


def finished(reply: Any) -> tuple[str, str]:
    """Read the reply to :func:`append_finish` or :func:`append_stuck`, or the exception that stands for it.

    Returns:
        What became of it, or nothing; and what could not be written, in Redis's words, or nothing.
    """
    if isinstance(reply, Exception):
        return "", str(reply)
    answer, fault = map(_text, reply)
    return answer, fault


def append_stuck(
    pipeline: Any,
    keys: Keys,
    event: ExecutionEvent,
    *,
    rq_worker_key: str,
    limits: Limits,
    counted_by_rq: int = 0,
) -> Any:
    """Append the command that counts a job stuck in RQ's intermediate queue, for which no execution is named."""
    return _eval(
        pipeline,
        _STUCK,
        _counting_keys(keys, rq_worker_key),
        (
            event.job_id,
            encode([event.worker, event.queue, event.source]),
            event.outcome.state.value,
            f"{event.ended_at:.6f}",
            encode([event.outcome.error_type]),
            limits.label_sets,
            counted_by_rq,
            limits.log_size,
            *(log_fields(event) if limits.log_size else ()),
        ),
    )


@dataclass(frozen=True)
class Exited:
    """A work-horse is gone and has not said that its ending was recorded.

    Args:
        state: How the execution ended if RQ has forgotten the job and nobody else can tell.
        told: Whether the work-horse itself said so: RQ has counted that ending.
    """

    state: State
    told: bool = False


def append_settle(
    pipeline: Any,
    keys: Keys,
    event: ExecutionEvent,
    *,
    exited: Exited | None,
    job_key: str,
    execution_key: str,
    rq_worker_key: str,
    limits: Limits,
) -> Any:
    """Append the command that counts an execution whose end nobody reported, if it has ended.

    Args:
        event: What is known; state and error type are decided by the script, from ``outcome.error_type``.
        exited: What the caller knows of its process, which is gone; ``None`` if it knows nothing, and the execution
            has ended only if RQ no longer has it.
    """
    duration, duration_le = _observed(event.duration, DURATION_BUCKETS)
    wait, wait_le = _observed(event.wait, WAIT_BUCKETS)
    decided = {"state", "reason", "error_type"}
    fields = iter(log_fields(event))
    pairs = [pair for pair in zip(fields, fields, strict=True) if pair[0] not in decided]
    return _eval(
        pipeline,
        _SETTLE,
        (*_counting_keys(keys, rq_worker_key), job_key, execution_key, keys.intermediate(event.queue)),
        (
            f"exited|{exited.state}|{'told' if exited.told else ''}" if exited else "abandoned",
            event.execution_id,
            encode([event.worker, event.queue, event.source]),
            f"{event.ended_at:.6f}",
            duration,
            duration_le,
            wait,
            wait_le,
            f"{event.trace_id}|{event.span_id}" if event.trace_id else "",
            limits.label_sets,
            event.outcome.error_type,
            limits.log_size,
            *(text for pair in pairs for text in pair),
        ),
    )


def append_enqueued(
    pipeline: Any,
    keys: Keys,
    worker: str,
    queue: str,
    source: str,
    *,
    now: float,
    limits: Limits,
    number: int = 1,
) -> Any:
    """Append the command that counts jobs put on a queue."""
    return _tally(pipeline, keys, "enqueued", (worker, queue, source), number, now, limits)


def append_cancelled_unstarted(
    pipeline: Any, keys: Keys, worker: str, queue: str, source: str, *, now: float, limits: Limits
) -> Any:
    """Append the command that counts a job cancelled before it ran."""
    return _tally(pipeline, keys, "unstarted", (worker, queue, source), 1, now, limits)


def _tally(
    pipeline: Any,
    keys: Keys,
    counter: str,
    labels: tuple[str, str, str],
    number: int,
    now: float,
    limits: Limits,
) -> Any:
    args = (counter, encode(labels), number, f"{now:.6f}", limits.label_sets)
    return _eval(pipeline, _TALLY, (keys.series,), args)


def append_cancelled(pipeline: Any, keys: Keys, job_id: str, queue: str, *, now: float, ttl: int) -> Any:
    """Append the command that lets RQ's registry forget cancelled jobs when their hashes expire.

    Args:
        ttl: Seconds after which this job's hash expires; more than 0.
    """
    args = (job_id, f"{now:.0f}", f"{now + ttl:.0f}")
    return _eval(pipeline, _CANCELLED, (keys.cancelled(queue), keys.registry("canceled", queue)), args)


def append_own_errors(pipeline: Any, keys: Keys, errors: Mapping[str, int]) -> Any:
    """Append the command that counts errors of our own hooks, by hook."""
    args = tuple(text for hook, number in errors.items() for text in (encode([hook]), number))
    return _eval(pipeline, _OWN_ERRORS, (keys.series,), args)


def append_probe(pipeline: Any, keys: Keys) -> Any:
    """Append the command that tries what the others do and answers ``""`` or what is wrong."""
    used = (keys.running, keys.series, keys.exemplars, keys.closed, keys.log, keys.instrumented)
    return _eval(pipeline, _PROBE, used, ())
