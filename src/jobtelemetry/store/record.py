"""Writing: what a start or an ending adds, as commands appended to a pipeline that somebody else executes.

Nothing here executes anything or imports RQ. Every function appends exactly one command, whose script never raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS, le
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import FAILED, FAILED_AGAIN, SUCCEEDED, SUCCEEDED_AGAIN, UNBOOKED, Keys, encode
from jobtelemetry.store.own import Measurements, packed, redefined
from jobtelemetry.store.scripts import Script, as_keys, by_text
from jobtelemetry.text import label_text

#: What became of an ending. Empty: it could not be counted, and shows as unrecorded.
COUNTED, LATE, AGAIN = "counted", "late", "again"
#: What became of one that was to be settled, besides: somebody else had ended it, or it is no longer as it was.
ENDED, CHANGED = "ended", "changed"

_SET = ("META", "ACCOUNTS", "SETS", "SET", "OTHER_SET")
_START = Script("common", "generation", "tables", "sets", "clock", "start", keys=(*_SET, "RUNNING", "JOB"))
_FINISH = Script(
    *("common", "generation", "tables", "sets", "count", "own", "finish"),
    keys=(*_SET, "TRACES", "RUNNING", "CLOSED", "LOG", "RQ_WORKER", "JOB", "EXECUTION", "INTERMEDIATE"),
)
_BOOK = Script("common", "generation", "count", "book", keys=("META", "ACCOUNTS", "SETS"))
_TALLY = Script("common", "generation", "sets", "clock", "tally", keys=_SET)
_OWN_ERRORS = Script("common", "generation", "own_errors", keys=("META", "ACCOUNTS", "SETS"))
_CANCELLED = Script("common", "cancelled", keys=("CANCELLED", "REGISTRY"))
_PROBE = Script(
    *("common", "probe"),
    keys=("META", "ACCOUNTS", "SETS", "RUNNING", "CLOSED", "LOG", "PROBE", "FAMILIES", "INDEX", "BATCHES"),
)

#: The label set that a full store counts in.
OTHER_LABELS = encode(["__other__", "__other__"])


@dataclass(frozen=True)
class Limits:
    """The bounds that the scripts keep.

    Args:
        label_sets: Label sets, reasons and error types, and the series of one of users' own metrics.
        log_size: Entries in the log; 0 for no log.
        own_metrics: Users' own metrics.
    """

    label_sets: int = 1000
    log_size: int = 10_000
    own_metrics: int = 100


@dataclass(frozen=True)
class Known:
    """What a process knows of the numbers, so that Redis can notice that something was lost.

    Args:
        generation: The id of the generation; empty if it knows none.
        total: The highest total of the ledger that it has seen.
    """

    generation: str = ""
    total: int = 0

    def packed(self) -> dict[str, object]:
        """For a script."""
        return {"generation": self.generation, "counted": self.total} if self.generation else {}


@dataclass(frozen=True)
class Start:
    """What is known when an execution starts.

    Args:
        execution_id: RQ's id of the execution; made up where RQ has none.
        job_id: RQ's id of the job.
        worker: The label, as far as it is known before the job is loaded.
        queue: The queue's name.
        rq_worker: The RQ worker's name.
        account: What it is called in the accounts.
        started_at: Unix time in seconds, by Redis's clock once Redis has said it.
        wait: Seconds from when it could run to its start, by Redis's clock; ``None`` if unknown.
        retries_left: As RQ has it at the start; 0 without retries.
        extra: Further labels with their values, in the order of the setting.
        trace: The trace context of the consumer span, for an event about an execution nobody ended.
    """

    execution_id: str
    job_id: str
    worker: str
    queue: str
    rq_worker: str
    account: str = ""
    started_at: float = 0.0
    wait: float | None = None
    retries_left: int = 0
    extra: tuple[tuple[str, str], ...] = ()
    trace: str = ""


@dataclass(frozen=True)
class Started:
    """What Redis said to a :class:`Start`.

    Args:
        attempt: 1-based; 0 if unknown.
        fault: What could not be written, or nothing.
        at: Redis's time, Unix time in seconds; ``None`` if nobody knows.
        wait: Seconds since it could run; ``None`` if unknown.
        known: The generation and its total.
    """

    attempt: int
    fault: str = ""
    at: float | None = None
    wait: float | None = None
    known: Known = Known()


@dataclass(frozen=True)
class Booking:
    """How RQ counts an ending for its worker, in the same transaction.

    Args:
        column: ``succeeded``, ``failed``, or ``unbooked`` where RQ counts nothing.
        times: How often RQ counts it.
        later: Whether RQ counts it in a transaction of its own, after this one; see :func:`append_booked`.
    """

    column: str = UNBOOKED
    times: int = 0
    later: bool = False

    @classmethod
    def of(cls, state: State) -> Booking:
        """As RQ's own code books a state."""
        counts = state.row.rq_counts
        return cls() if counts is None else cls(SUCCEEDED if counts == "successful" else FAILED, 1)

    def packed(self) -> dict[str, object]:
        """For a script."""
        again = SUCCEEDED_AGAIN if self.column == SUCCEEDED else FAILED_AGAIN
        return {"booked": self.column, "again": again, "bookings": self.times, "later": self.later}


@dataclass(frozen=True)
class Settling:
    """What a decision about an execution was made from; it holds only as long as that is so.

    Args:
        status: RQ's status of the job; empty if RQ has forgotten it.
        exists: Whether RQ still has the execution.
        abandoned: Whether a reconciler asks, and not a process that saw the end.
    """

    status: str
    exists: bool
    abandoned: bool

    def packed(self) -> dict[str, object]:
        """For a script."""
        return {"status": self.status, "exists": self.exists, "abandoned": self.abandoned}


def text(value: Any) -> str:
    """A reply as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=1_000)
def labels_of(worker: str, queue: str, extra: tuple[tuple[str, str], ...] = ()) -> str:
    """An encoded label set: worker, queue, and ``name=value`` for each further label. Long ones are cut."""
    return encode(
        [label_text(worker), label_text(queue), *[f"{name}={label_text(value)}" for name, value in extra if value]]
    )


@lru_cache(maxsize=1_000)
def _set_keys(prefix: str, labels: str) -> tuple[bytes, ...]:
    """The keys of :data:`_SET`. They are the same for every job of a kind, and on the path of each."""
    keys = Keys(prefix)
    return as_keys(keys.meta, keys.accounts, keys.sets, keys.label_set(labels), keys.label_set(OTHER_LABELS))


@lru_cache(maxsize=1_000)
def _end_keys(prefix: str, labels: str) -> tuple[bytes, ...]:
    """Those that an ending needs besides, and that do not depend on the job."""
    keys = Keys(prefix)
    return as_keys(keys.traces(labels), keys.running, keys.closed, keys.log)


def _micros(seconds: float) -> str:
    return str(max(0, round(seconds * 1_000_000)))


def log_fields(event: ExecutionEvent) -> list[str]:
    """The event as field-value pairs of the execution log; empty values are left out. When it ended, Redis says."""
    outcome = event.outcome
    entry = {
        "execution": event.execution_id,
        "job": event.job_id,
        "worker": label_text(event.worker),
        "queue": event.queue,
        "rq_worker": event.rq_worker,
        "state": outcome.state.value,
        "reason": outcome.reason and label_text(outcome.reason),
        "error_type": outcome.error_type and label_text(outcome.error_type),
        "message": (event.message or event.killed_by)[:500],
        "attempt": str(event.attempt or ""),
        "wait": "" if event.wait is None else _micros(event.wait),
        "duration": "" if event.duration is None else _micros(event.duration),
        "cpu": "" if event.cpu is None else _micros(event.cpu),
        "memory": "" if event.memory is None else str(event.memory),
        "trace": event.trace_id,
        **{name if name == "source" else f"label.{name}": value for name, value in event.labels.items()},
        "attributes": json.dumps(dict(event.attributes), ensure_ascii=False) if event.attributes else "",
    }
    return [word for pair in entry.items() if pair[1] for word in pair]


def append_start(
    pipeline: Any,
    keys: Keys,
    start: Start,
    *,
    job_key: str,
    limits: Limits,
    ready_at: float | None = None,
    clock: float | None = None,
    known: Known = Known(),
) -> Any:
    """Append the command that puts an execution into the running table; :func:`started` reads its reply.

    Args:
        ready_at: When it could run, Unix time by whatever clock; ``None`` if unknown.
        clock: What time it is for RQ in this RQ worker, Unix time; ``None`` if nobody asks whether that is right.
    """
    labels = labels_of(start.worker, start.queue, start.extra)
    entry: dict[str, object] = {
        "worker": label_text(start.worker),
        "queue": label_text(start.queue),
        "job": start.job_id,
        "rq_worker": start.rq_worker,
        "retries": start.retries_left,
        "trace": start.trace,
    }
    if start.account != start.rq_worker:
        entry["account"] = start.account
    if start.extra:
        entry["extra"] = dict(start.extra)
    facts: dict[str, object] = {"id": start.execution_id, "labels": labels, "limit": limits.label_sets, "entry": entry}
    if ready_at is not None:
        facts["ready"] = ready_at
    if clock is not None:
        facts.update(clock=clock, account=encode([start.account or start.rq_worker]))
    facts.update(known.packed())
    return _START.append(pipeline, (*_set_keys(keys.prefix, labels), *as_keys(keys.running, job_key)), facts)


def started(reply: Any) -> Started:
    """Read the reply to :func:`append_start`, or the exception that stands for it."""
    if isinstance(reply, Exception):
        return Started(0, str(reply))
    attempt, fault, at, wait, generation, total = reply
    return Started(
        int(attempt),
        text(fault),
        int(at) / 1_000_000 if at else None,
        int(wait) / 1_000_000 if wait else None,
        Known(text(generation), int(total)),
    )


@dataclass(frozen=True)
class Finished:
    """What became of an ending.

    Args:
        answer: One of :data:`COUNTED`, :data:`LATE`, :data:`AGAIN`, :data:`ENDED`, :data:`CHANGED`, or empty.
        fault: What could not be written, in Redis's words, or nothing.
        known: The generation and its total.
        redefined: Users' own metrics that it defined in another way than they were before, and how they were.
    """

    answer: str
    fault: str = ""
    known: Known = Known()
    redefined: Mapping[str, str] = field(default_factory=dict)


def append_finish(
    pipeline: Any,
    keys: Keys,
    event: ExecutionEvent,
    *,
    job_key: str,
    rq_worker_key: str,
    limits: Limits,
    booking: Booking,
    stuck: bool = False,
    known: Known = Known(),
    measured: Measurements | None = None,
) -> Any:
    """Append the command that counts an ended execution, once however often it is executed.

    Args:
        booking: How RQ counts it.
        stuck: RQ gave up on a job in its intermediate queue, and names no execution.
        measured: What its job measured in metrics of its own.
    """
    return pipeline.execute_command(
        *finish_command(
            keys,
            event,
            job_key=job_key,
            rq_worker_key=rq_worker_key,
            limits=limits,
            booking=booking,
            stuck=stuck,
            known=known,
            measured=measured,
        )
    )


def finish_command(
    keys: Keys,
    event: ExecutionEvent,
    *,
    job_key: str,
    rq_worker_key: str,
    limits: Limits,
    booking: Booking,
    settling: Settling | None = None,
    stuck: bool = False,
    known: Known = Known(),
    measured: Measurements | None = None,
) -> tuple[Any, ...]:
    """The command of :func:`append_finish`.

    Args:
        settling: What it was concluded from, where nobody reported the ending.
    """
    outcome = event.outcome
    labels = labels_of(event.worker, event.queue, tuple(event.labels.items()))
    account = encode([keys.account(rq_worker_key)])
    facts: dict[str, object] = {
        "mode": "stuck" if stuck else "settle" if settling else "ended",
        "id": event.execution_id or f"job:{event.job_id}",
        "job": event.job_id,
        "account": account,
        "marked": not settling,
        "labels": labels,
        "limit": limits.label_sets,
        "state": outcome.state.value,
        **booking.packed(),
        **known.packed(),
    }
    if settling:
        facts.update(settling.packed())
    if event.duration is not None:
        facts.update(duration=_micros(event.duration), duration_bucket=le(max(0.0, event.duration), DURATION_BUCKETS))
    if event.wait is not None:
        facts.update(wait=_micros(event.wait), wait_bucket=le(max(0.0, event.wait), WAIT_BUCKETS))
    facts.update(_used(event))
    if outcome.state is State.CANCELLED:
        facts.update(family="cancellations", value=encode([label_text(outcome.reason)]))
    elif outcome.state.failed:
        facts.update(family="errors", value=encode([label_text(outcome.error_type)]))
        if event.rate_limited:
            facts["limited"] = True
    if event.trace_id:
        facts["trace"] = f"{event.trace_id}|{event.span_id}|"
    if limits.log_size:
        facts.update(log=log_fields(event), log_size=limits.log_size)
    execution_key = keys.execution(event.job_id, event.execution_id)
    of_rq = as_keys(rq_worker_key, job_key, execution_key, keys.intermediate(event.queue))
    where: tuple[str | bytes, ...] = (*_set_keys(keys.prefix, labels), *_end_keys(keys.prefix, labels), *of_rq)
    if measured is not None:
        where = _with_measured(where, facts, measured, keys, event, limits)
    return _FINISH.command(where, facts)


def _used(event: ExecutionEvent) -> dict[str, object]:
    cpu: dict[str, object] = {} if event.cpu is None else {"cpu": _micros(event.cpu)}
    return cpu if event.memory is None else {**cpu, "memory": event.memory}


def _with_measured(
    where: tuple[str | bytes, ...],
    facts: dict[str, object],
    measured: Measurements,
    keys: Keys,
    event: ExecutionEvent,
    limits: Limits,
) -> tuple[str | bytes, ...]:
    """The keys with those that what was measured needs besides; it is put into the facts."""
    if measured.unwritten:
        facts["unwritten"] = True
        return where
    trace = {"trace_id": event.trace_id, "span_id": event.span_id} if event.trace_id else {}
    bounds = {"families": limits.own_metrics, "series": limits.label_sets}
    further, facts["own"] = packed(measured, keys, at=len(where) + 1, trace=trace, **bounds)
    return *where, *further


def finished(reply: Any) -> Finished:
    """Read the reply to :func:`append_finish`, or the exception that stands for it."""
    if isinstance(reply, Exception):
        return Finished("", str(reply))
    answer, fault, generation, total, changed = reply
    return Finished(
        text(answer), text(fault), Known(text(generation), int(total)), redefined(changed) if changed else {}
    )


def append_booked(pipeline: Any, keys: Keys, execution_id: str, rq_worker_key: str) -> Any:
    """Append the command that books as failed what RQ counts only now, in a transaction after that of the ending."""
    facts = {"account": encode([keys.account(rq_worker_key)]), "id": execution_id}
    return _BOOK.append(pipeline, (keys.meta, keys.accounts, keys.sets), facts)


def append_enqueued(
    pipeline: Any,
    keys: Keys,
    worker: str,
    queue: str,
    extra: tuple[tuple[str, str], ...] = (),
    *,
    limits: Limits,
    number: int = 1,
    clock: float | None = None,
    who: str = "",
) -> Any:
    """Append the command that counts jobs put on a queue.

    Args:
        clock: What time it is for RQ in this process, Unix time; ``None`` if nobody asks whether that is right.
        who: What this process is called: its host and its number there.
    """
    told: dict[str, object] = {} if clock is None else {"clock": clock, "who": encode([who])}
    return _tally(pipeline, keys, "enqueued", labels_of(worker, queue, extra), number, limits, told)


def append_cancelled_unstarted(
    pipeline: Any, keys: Keys, worker: str, queue: str, extra: tuple[tuple[str, str], ...] = (), *, limits: Limits
) -> Any:
    """Append the command that counts a job cancelled before it ran."""
    return _tally(pipeline, keys, "unstarted", labels_of(worker, queue, extra), 1, limits)


def _tally(
    pipeline: Any,
    keys: Keys,
    field: str,
    labels: str,
    number: int,
    limits: Limits,
    told: Mapping[str, object] = MappingProxyType({}),
) -> Any:
    facts = {"field": field, "labels": labels, "number": number, "limit": limits.label_sets, **told}
    return _TALLY.append(pipeline, _set_keys(keys.prefix, labels), facts)


def append_cancelled(pipeline: Any, keys: Keys, queue: str, job_id: str = "", ttl: int = 0) -> Any:
    """Append the command that lets RQ's registry forget cancelled jobs when their hashes expire.

    Args:
        job_id: A job that was cancelled just now; without it, only those whose time has come are forgotten.
        ttl: Seconds after which this job's hash expires; more than 0.
    """
    facts: dict[str, object] = {"job": job_id, "ttl": ttl} if job_id else {"only": "expired"}
    return _CANCELLED.append(pipeline, (keys.cancelled(queue), keys.registry("canceled", queue)), facts)


def append_own_errors(pipeline: Any, keys: Keys, errors: Mapping[str, int]) -> Any:
    """Append the command that counts errors of our own hooks, by hook."""
    where = (keys.meta, keys.accounts, keys.sets)
    return _OWN_ERRORS.append(pipeline, where, {"errors": {encode([hook]): number for hook, number in errors.items()}})


def append_probe(pipeline: Any, keys: Keys, *, log: bool = True) -> None:
    """Append the commands that try what the others do, by text and by digest: each answers ``""`` or what is wrong."""
    where = (
        *(keys.meta, keys.accounts, keys.sets, keys.running, keys.closed, keys.log, keys.probe),
        *(keys.families, keys.series_index, keys.batches),
    )
    command = _PROBE.command(where, {"log": log})
    pipeline.execute_command(*by_text(command))
    pipeline.execute_command(*command)
