"""Reading: one look at Redis, as a :class:`~jobtelemetry.store.snapshot.Snapshot`.

Read-only on RQ's data (a registry's own ``count`` would move jobs), three round trips whatever Redis holds, and a
cost that depends on the number of series, queues and RQ workers, never on the number of jobs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from jobtelemetry.contract import HOOKS
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import WORKER_RECORDED_FIELD, Keys, decode
from jobtelemetry.store.snapshot import (
    Counter,
    Exemplar,
    Histogram,
    QueueState,
    RQWorkerState,
    RunningExecution,
    Series,
    Snapshot,
)

_WORKER_FIELDS = (
    "state",
    "queues",
    "birth",
    "death",
    "successful_job_count",
    "failed_job_count",
    WORKER_RECORDED_FIELD,
)
_STATES = {state.value for state in State}
_ZSETS = ("started", "scheduled", "deferred", "ready_to_enqueue", "finished", "failed", "canceled")

#: Names under which the scripts count what a full family dropped.
_DROPPED = {
    "executions": "jobtelemetry_job_executions_total",
    "cancellations": "jobtelemetry_job_cancellations_total",
    "errors": "jobtelemetry_job_errors_total",
}


def read_snapshot(connection: Any, keys: Keys) -> Snapshot:
    """Read everything that is exported.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.

    Returns:
        The state of the moment, by the server's clock.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    clock, series, running, exemplars, instrumented, queues, workers, limits = _first(connection, keys)
    now = int(clock[0]) + int(clock[1]) / 1_000_000
    queue_names = sorted(keys.queue_name(key) for key in _texts(queues))
    worker_names = sorted(keys.rq_worker_name(key) for key in _texts(workers))
    rate_limits = sorted(_texts(limits))
    queue_rows, worker_rows, limited = _second(connection, keys, queue_names, worker_names, rate_limits, now)
    heads = _third(connection, keys, [_text(row[2]) if row[2] else None for row in queue_rows])
    return _Decoder(_hash(series), _hash(exemplars)).snapshot(
        taken_at=now,
        running=tuple(running_entries(_hash(running))),
        queues=tuple(map(_queue_state, queue_names, queue_rows, heads)),
        rate_limited=sum(limited),
        rq_workers=_worker_states(worker_names, worker_rows, _hash(instrumented)),
    )


def _first(connection: Any, keys: Keys) -> list[Any]:
    pipe = connection.pipeline()
    pipe.time()
    for key in (keys.series, keys.running, keys.exemplars, keys.instrumented):
        pipe.hgetall(key)
    for key in (keys.queues, keys.rq_workers, keys.rate_limits):
        pipe.smembers(key)
    return list(pipe.execute())


def _second(
    connection: Any, keys: Keys, queues: list[str], workers: list[str], rate_limits: list[str], now: float
) -> tuple[list[list[Any]], list[list[Any]], list[int]]:
    """What RQ holds per queue, per worker and per rate limit, and both sides of the audit in one transaction."""
    pipe = connection.pipeline()
    for queue in queues:
        pipe.llen(keys.queue(queue))
        pipe.llen(keys.intermediate(queue))
        pipe.lindex(keys.queue(queue), 0)
        pipe.exists(keys.scheduler_lock(queue))
        pipe.zcount(keys.registry("scheduled", queue), "-inf", now - 1)
        for status in _ZSETS:
            pipe.zcard(keys.registry(status, queue))
    for worker in workers:
        pipe.hmget(keys.rq_worker(worker), _WORKER_FIELDS)
    for rate_limit in rate_limits:
        pipe.zcard(keys.rate_limited(rate_limit))
    replies = list(pipe.execute())
    width = 5 + len(_ZSETS)
    queue_rows = [replies[i * width : (i + 1) * width] for i in range(len(queues))]
    rest = replies[len(queues) * width :]
    return queue_rows, rest[: len(workers)], rest[len(workers) :]


def _third(connection: Any, keys: Keys, job_ids: list[str | None]) -> list[float | None]:
    """When the jobs at the heads of the queues were enqueued."""
    pipe = connection.pipeline(transaction=False)
    for job_id in job_ids:
        if job_id is not None:
            pipe.hget(keys.job(job_id), "enqueued_at")
    replies = iter(pipe.execute())
    return [None if job_id is None else _rq_time(next(replies)) for job_id in job_ids]


def _queue_state(name: str, row: list[Any], oldest: float | None) -> QueueState:
    queued, intermediate, _, lock, overdue, *registries = row
    jobs = {"queued": int(queued), "intermediate": int(intermediate)}
    jobs.update(zip(_ZSETS, map(int, registries), strict=True))
    return QueueState(name, jobs, oldest, int(overdue), bool(lock))


def _worker_states(
    names: list[str], rows: list[list[Any]], instrumented: Mapping[str, str]
) -> tuple[RQWorkerState, ...]:
    states = []
    for name, row in zip(names, rows, strict=True):
        state, queues, birth, death, succeeded, failed, recorded = ("" if v is None else _text(v) for v in row)
        if death or not (state or birth):
            # Gone, or expired and not yet forgotten by RQ: an orphaned work-horse that counts its ending on the hash
            # of a dead worker brings it back with nothing but that.
            continue
        states.append(
            RQWorkerState(
                name=name,
                queues=tuple(queues.split(",")) if queues else (),
                status=state or "started",
                # A worker hash that expired under a live worker comes back without its birth.
                instrumented=name in instrumented and (not birth or instrumented[name] == birth),
                counted_by_rq=int(succeeded or 0) + int(failed or 0),
                recorded=int(recorded or 0),
            )
        )
    return tuple(states)


def running_entries(table: Mapping[str, str]) -> Iterator[RunningExecution]:
    """The entries of the running table; what is not ours to read is passed over."""
    for execution_id, value in table.items():
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            yield running_entry(execution_id, value)


def running_entry(execution_id: str, value: str) -> RunningExecution:
    """One entry of the running table, as ``start.lua`` wrote it."""
    entry = json.loads(value)
    ready = entry.get("ready")
    return RunningExecution(
        execution_id=execution_id,
        job_id=entry["job"],
        series=Series(entry["worker"], entry["queue"], entry["source"]),
        rq_worker=entry["rq_worker"],
        started_at=int(entry["start"]) / 1_000_000,
        attempt=int(entry["attempt"]),
        ready_at=int(ready) / 1_000_000 if ready else None,
        retries_left=int(entry.get("retries") or 0),
        trace=entry.get("trace") or "",
    )


class _Decoder:
    """Turns the fields of the series hash back into families. A field that is not ours is passed over."""

    def __init__(self, series: Mapping[str, str], exemplars: Mapping[str, str]) -> None:
        self._by_family: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for field, value in series.items():
            family, *labels = decode(field)
            with suppress(ValueError):
                self._by_family.setdefault(family, []).append((tuple(labels), float(value)))
        self._exemplars: dict[tuple[str, ...], Exemplar] = {}
        for field, value in exemplars.items():
            with suppress(ValueError):
                self._exemplars[decode(field)] = _exemplar(value)
        self._seen = {Series(*labels): value for labels, value in self._rows("seen", 3)}
        self._created = dict(self._by_family.get("created", ()))

    def _rows(self, family: str, width: int) -> list[tuple[tuple[str, ...], float]]:
        return [row for row in self._by_family.get(family, ()) if len(row[0]) == width]

    def _counts(self, family: str, width: int) -> dict[tuple[str, ...], int]:
        return {labels: int(value) for labels, value in self._rows(family, width)}

    def snapshot(self, **observed: Any) -> Snapshot:
        waits = {series: Histogram(created=at) for series, at in self._seen.items()}
        return Snapshot(
            seen=self._seen,
            executions=self._executions(),
            cancellations=self._details("cancellations"),
            errors=self._details("errors"),
            durations={
                (Series(*labels[:3]), State(labels[3])): histogram
                for labels, histogram in self._histograms("duration", 4).items()
                if labels[3] in _STATES
            },
            waits=waits | {Series(*labels): found for labels, found in self._histograms("wait", 3).items()},
            enqueued=self._tallies("enqueued"),
            cancelled_unstarted=self._tallies("unstarted"),
            last_completed={Series(*labels): value for labels, value in self._rows("completed", 3)},
            handler_errors=dict.fromkeys(HOOKS, 0) | self._plain("handler_errors"),
            reconciled=self._counts("reconciled", 0).get((), 0),
            late=self._counts("late", 0).get((), 0),
            dropped={name: self._plain("dropped").get(short, 0) for short, name in _DROPPED.items()},
            created=min(self._seen.values(), default=0.0),
            **observed,
        )

    def _plain(self, family: str) -> dict[str, int]:
        return {labels[0]: number for labels, number in self._counts(family, 1).items()}

    def _executions(self) -> dict[tuple[Series, State], Counter]:
        counts = self._counts("executions", 4)
        return {
            (series, state): Counter(
                counts.get((*series, state.value), 0),
                created,
                self._exemplars.get(("executions", *series, state.value)),
            )
            for series, created in self._seen.items()
            for state in State
        }

    def _details(self, family: str) -> dict[tuple[Series, str], Counter]:
        return {
            (Series(*labels[:3]), labels[3]): Counter(number, self._created.get((family, *labels), 0.0))
            for labels, number in self._counts(family, 4).items()
        }

    def _tallies(self, family: str) -> dict[Series, Counter]:
        counts = self._counts(family, 3)
        return {series: Counter(counts.get(tuple(series), 0), created) for series, created in self._seen.items()}

    def _histograms(self, family: str, width: int) -> dict[tuple[str, ...], Histogram]:
        found: dict[tuple[str, ...], dict[str, int]] = {}
        for labels, number in self._counts(family, width + 1).items():
            found.setdefault(labels[:-1], {})[labels[-1]] = number
        histograms = {}
        for labels, counts in found.items():
            total = counts.pop("sum", 0) / 1_000_000
            named = {bound: self._exemplars.get((family, *labels, bound)) for bound in counts}
            exemplars = {bound: exemplar for bound, exemplar in named.items() if exemplar is not None}
            histograms[labels] = Histogram(counts, total, self._seen.get(Series(*labels[:3]), 0.0), exemplars)
        return histograms


def _exemplar(value: str) -> Exemplar:
    trace_id, span_id, micros, at = value.split("|")
    return Exemplar(trace_id, span_id, int(micros) / 1_000_000, float(at))


def _rq_time(value: Any) -> float | None:
    """A moment in RQ's own format (``2026-01-31T12:00:00.000000Z``, UTC) as Unix time."""
    if not value:
        return None
    try:
        return datetime.fromisoformat(_text(value).rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _texts(values: Any) -> list[str]:
    return [_text(value) for value in values]


def _hash(reply: Mapping[Any, Any]) -> dict[str, str]:
    return {_text(field): _text(value) for field, value in reply.items()}
