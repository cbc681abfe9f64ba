"""What jobtelemetry tells of a scene, and what RQ itself holds after it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from jobtelemetry.store.keys import FAILED, FAILED_AGAIN, SUCCEEDED, SUCCEEDED_AGAIN, Keys, encode
from jobtelemetry.store.read import read_snapshot


@dataclass
class Told:
    """All numbers that a row of the truth table is about. What a test does not name is zero or empty.

    ``misaudited`` is what :attr:`Snapshot.unrecorded` cannot show: RQ workers, dead ones included, for which RQ and
    jobtelemetry counted different numbers of endings, successes and failures each. ``unbalanced`` and ``lost`` are what
    the books say of themselves.
    """

    states: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    unstarted: int = 0
    reconciled: int = 0
    late: int = 0
    handler_errors: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    running: int = 0
    unrecorded: int = 0
    uninstrumented: int = 0
    misaudited: dict[str, tuple[int, int]] = field(default_factory=dict)
    unbalanced: int = 0
    lost: str = ""

    @property
    def executions(self) -> int:
        """The sum over all states."""
        return sum(self.states.values())


def told(
    *,
    errors: dict[str, int] | None = None,
    reasons: dict[str, int] | None = None,
    unstarted: int = 0,
    reconciled: int = 0,
    late: int = 0,
    handler_errors: dict[str, int] | None = None,
    **states: int,
) -> Told:
    """What is expected: ``told(completed=2)``."""
    return Told(
        states=states,
        errors=errors or {},
        reasons=reasons or {},
        unstarted=unstarted,
        reconciled=reconciled,
        late=late,
        handler_errors=handler_errors or {},
    )


def listen(connection: Redis, keys: Keys | None = None) -> Told:
    """What jobtelemetry tells now, read as the exporter reads it."""
    keys = keys or Keys()
    snapshot = read_snapshot(connection, keys)
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for (_, state), counter in snapshot.executions.items():
        states[state.value] += counter.value
    for (_, reason), counter in snapshot.cancellations.items():
        reasons[reason] += counter.value
    for (_, error), counter in snapshot.errors.items():
        errors[error] += counter.value
    return Told(
        states=_present(states),
        reasons=_present(reasons),
        errors=_present(errors),
        unstarted=sum(counter.value for counter in snapshot.cancelled_unstarted.values()),
        reconciled=snapshot.reconciled,
        late=snapshot.late,
        handler_errors=_present(snapshot.handler_errors),
        dropped=_present(snapshot.dropped),
        running=len(snapshot.running),
        unrecorded=snapshot.unrecorded,
        uninstrumented=snapshot.uninstrumented,
        misaudited=_misaudited(connection, keys),
        unbalanced=snapshot.accounts_difference,
        lost=snapshot.counts_lost_why,
    )


def _present(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}


def _misaudited(connection: Redis, keys: Keys) -> dict[str, tuple[int, int]]:
    wrong = {}
    registered = connection.smembers(keys.rq_workers)
    for key in connection.scan_iter(f"{keys.prefix}:worker:*", _type="hash"):
        account = encode([keys.account(key.decode())])
        for counter, columns in _BOOKED.items():
            counted = int(connection.hget(key, counter) or 0)
            booked = [connection.hget(keys.accounts, f"{account}|{column}") for column in columns]
            if booked == [None, None] and key not in registered:
                continue  # folded into the account of the departed, or never instrumented
            if counted != sum(int(value or 0) for value in booked):
                wrong[f"{key.decode()} {counter}"] = (counted, sum(int(value or 0) for value in booked))
    return wrong


def log_entries(connection: Redis, keys: Keys | None = None) -> list[dict[str, str]]:
    """The execution log, oldest first."""
    entries: Any = connection.xrange((keys or Keys()).log)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


_BOOKED = {
    "successful_job_count": (SUCCEEDED, SUCCEEDED_AGAIN),
    "failed_job_count": (FAILED, FAILED_AGAIN),
}

#: Fields whose values must be the same with and without jobtelemetry; of others only the presence.
_SAME_VALUE = {
    "status", "retries_left", "number_of_retries", "repeats_left", "retry_intervals", "origin", "timeout",
    "result_ttl", "failure_ttl", "ttl", "description", "worker_name", "enqueue_at_front",
    "allow_dependency_failures", "dependency_id", "state", "queues", "successful_job_count",
    "failed_job_count", "current_job",
}  # fmt: skip
_ID = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(r"rq:telemetry:")
_PASSING = re.compile(r"rq:(clean_registries|scheduler-lock|maintenance|cleaning)|maintenance_lock|:lock")


def rq_state(connection: Redis) -> dict[str, Any]:
    """Everything that RQ holds, without what differs from run to run (times, ids) and without what is ours."""
    state: dict[str, Any] = {}
    for raw in connection.scan_iter("*", count=1000):
        key = raw.decode()
        if _OURS.search(key) or _PASSING.search(key):
            continue
        state[_ID.sub("#", key)] = (_ttl(connection, key), _content(connection, key))
    return state


def _ttl(connection: Redis, key: str) -> str:
    ttl = int(connection.ttl(key))  # type: ignore[arg-type]
    return "none" if ttl < 0 else "some"


def _content(connection: Any, key: str) -> Any:
    kind = connection.type(key).decode()
    if kind == "hash":
        fields = {name.decode(): value for name, value in connection.hgetall(key).items()}
        return {
            name: value.decode() if name in _SAME_VALUE else "..."
            for name, value in fields.items()
            if not name.startswith("jobtelemetry")
        }
    if kind == "zset":
        return sorted(
            (_ID.sub("#", name.decode()), score == float("inf"))
            for name, score in connection.zrange(key, 0, -1, withscores=True)
        )
    if kind == "set":
        return sorted(_ID.sub("#", name.decode()) for name in connection.smembers(key))
    if kind == "list":
        return [name.decode() for name in connection.lrange(key, 0, -1)]
    if kind == "stream":
        return [fields.get(b"type") for _, fields in connection.xrange(key)]
    return kind
