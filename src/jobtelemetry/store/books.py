"""Keeping the books: what makes the numbers provable besides the counting itself.

An *account* per RQ worker is the second entry of every counted execution. A *generation* lasts as long as nothing of
the numbers is lost; who has seen some of them is a *witness*, and Redis notices when it no longer has what he saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jobtelemetry.contract import RETIRED
from jobtelemetry.errors import StoreError
from jobtelemetry.store.keys import DEPARTED, Keys, decode, encode
from jobtelemetry.store.record import Known, text
from jobtelemetry.store.rq_state import RQWorkers
from jobtelemetry.store.scripts import Script

_BOOKS = ("META", "ACCOUNTS", "SETS")
_REGISTER = Script("common", "generation", "count", "clock", "register", keys=(*_BOOKS, "RQ_WORKER"))
_WITNESS = Script("common", "generation", "witness", keys=_BOOKS)
_REPAIR = Script("common", "generation", "anew", "repair", keys=_BOOKS)
_ACKNOWLEDGE = Script("common", "generation", "anew", "acknowledge", keys=_BOOKS)
_MEND = Script("common", "generation", "tables", "mend", keys=(*_BOOKS, "RUNNING", "CLOSED"))
_REINDEX = Script("common", "sets", "reindex", keys=(*_BOOKS, "SET"))
_FOLD = Script("common", "count", "fold", keys=_BOOKS)
_REMOVE = Script("common", "remove", keys=(*_BOOKS, "SET", "TRACES", "INTO"))

_RETIRED_LABELS = encode([RETIRED, RETIRED])


def append_register(
    pipeline: Any, keys: Keys, rq_worker_key: str, mark: str, *, known: Known, clock: float | None = None
) -> Any:
    """Append the command that opens an RQ worker's account and marks its hash; :func:`registered` reads its reply.

    Args:
        clock: What time it is for RQ in this RQ worker, Unix time; ``None`` if nobody asks whether that is right.
    """
    facts: dict[str, object] = {"account": encode([keys.account(rq_worker_key)]), "mark": mark, **known.packed()}
    if clock is not None:
        facts["clock"] = clock
    return _REGISTER.append(pipeline, (*_keys(keys), rq_worker_key), facts)


def registered(reply: Any) -> tuple[Known, str]:
    """Read the reply to :func:`append_register` or to a witness: what is known, and a fault or nothing."""
    if isinstance(reply, Exception):
        return Known(), str(reply)
    generation, total, fault = reply
    return Known(text(generation), int(total)), text(fault)


def witness(
    connection: Any,
    keys: Keys,
    known: Known,
    *,
    lost: int = 0,
    why: str = "",
    note: tuple[str, int] | None = None,
    rq: str = "",
) -> Known:
    """Let Redis compare what a process has seen with what it has.

    Args:
        known: What it has seen.
        lost: Executions that it has found missing; if Redis itself sees nothing of that any more, because others have
            counted on since, it is noted all the same.
        why: What it has noticed; empty for nothing.
        note: An earlier note that is gone and that nobody has acknowledged: since when, and how many.
        rq: What became of RQ's own counts; empty where nobody can tell.

    Returns:
        What is there now.

    Raises:
        StoreError: It could not be written.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    facts = known.packed()
    if why:
        facts |= {"lost": lost, "why": why}
    if note:
        facts |= {"since": note[0], "before": note[1]}
    if rq:
        facts["rq"] = rq
    now, fault = registered(_WITNESS.run(connection, _keys(keys), facts))
    if fault:
        raise StoreError(fault)
    return now


def reindex(connection: Any, keys: Keys) -> int:
    """Give label sets whose place in the index was lost their place back. Looks through all of Redis's keys.

    Returns:
        How many there were.

    Raises:
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    prefix = keys.label_set("")
    pattern = re.sub(r"([\[\]*?\\])", r"\\\1", prefix) + "*"
    indexed = 0
    for found in connection.scan_iter(match=pattern, count=1000, _type="hash"):
        labels = text(found).removeprefix(prefix)
        if connection.zscore(keys.sets, labels) is None:
            _REINDEX.run(connection, (*_keys(keys), keys.label_set(labels)), {"labels": labels})
            indexed += 1
    return indexed


def repair(connection: Any, keys: Keys, *, change: int, executions: int, rq_workers: Iterable[str] = ()) -> bool:
    """Note that the entries did not agree at the moment of a change, and make the books agree again.

    Args:
        change: The number of the last change when that was seen; if there was another one since, nothing is done.
        executions: What all label sets had together then.
        rq_workers: What live RQ workers are called in the accounts; if those were lost, they begin anew from RQ's
            counts.

    Returns:
        Whether it was done.

    Raises:
        StoreError: It could not be written.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    accounts = list(rq_workers)
    where = (*_keys(keys), *map(keys.rq_worker, accounts))
    facts = {"change": str(change), "sets": executions, "accounts": [encode([account]) for account in accounts]}
    answer, fault = map(text, _REPAIR.run(connection, where, facts))
    if fault:
        raise StoreError(fault)
    return answer == "repaired"


def mend(connection: Any, keys: Keys, labels: Iterable[str] = ()) -> None:
    """Note that something was lost that shows in no sum, and begin it again.

    Args:
        labels: Label sets that their index still has, and whose hashes are gone.

    Raises:
        StoreError: It could not be written.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    gone = list(labels)
    where = (*_keys(keys), keys.running, keys.closed, *map(keys.label_set, gone))
    if fault := text(_MEND.run(connection, where, {"labels": gone})):
        raise StoreError(fault)


def acknowledge_losses(connection: Any, keys: Keys) -> bool:
    """Forget what was noted of losses: somebody has seen it. The proof of live RQ workers begins anew from RQ's counts.

    Returns:
        Whether there was any note.

    Raises:
        StoreError: It could not be written.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    accounts = [worker.name for worker in RQWorkers(connection, keys).read() if worker.unrecorded]
    where = (*_keys(keys), *map(keys.rq_worker, accounts))
    noted, fault = _ACKNOWLEDGE.run(connection, where, {"accounts": [encode([account]) for account in accounts]})
    if text(fault):
        raise StoreError(text(fault))
    return bool(noted)


def append_fold(pipeline: Any, keys: Keys, rq_worker_key: str) -> Any:
    """Append the command that closes the account of an RQ worker that leaves."""
    return _FOLD.append(pipeline, _keys(keys), {"accounts": [encode([keys.account(rq_worker_key)])]})


def fold_departed(connection: Any, keys: Keys, accounts: Iterable[str], present: Iterable[str]) -> int:
    """Fold the accounts of RQ workers that are gone into that of the departed.

    Args:
        accounts: Every account that there is.
        present: The accounts of registered RQ workers.
    """
    alive = set(present) | {DEPARTED}
    gone = sorted(set(accounts) - alive)
    if gone:
        _FOLD.run(connection, _keys(keys), {"accounts": [encode([account]) for account in gone]})
    return len(gone)


def account_names(connection: Any, keys: Keys) -> set[str]:
    """The RQ workers that have an account, by what they are called there."""
    return {decode(text(field))[0] for field in connection.hkeys(keys.accounts)}


def remove_set(connection: Any, keys: Keys, labels: str, *, into: str = "") -> tuple[int, int]:
    """Take one label set out of the books, or fold it into another one.

    Returns:
        How many fields it had, and how many executions they had counted.

    Raises:
        StoreError: The script met a key that it cannot read or write.
        redis.exceptions.RedisError: Redis does not answer or refuses.
    """
    where = (*_keys(keys), keys.label_set(labels), keys.traces(labels), keys.label_set(into or labels))
    facts: dict[str, object] = {"labels": labels}
    if into:
        facts.update(into=into, value=RETIRED)
    reply = _REMOVE.run(connection, where, facts)
    if not isinstance(reply, list) or reply[2]:
        raise StoreError(f"the label set {labels!r} cannot be removed: {reply!r}")
    return int(reply[0]), int(reply[1])


def retire_idle(connection: Any, keys: Keys, *, seconds: float, most: int = 20) -> int:
    """Fold label sets in which nothing has changed for long into ``worker="__retired__"``. Returns how many.

    Args:
        seconds: For how long.
        most: How many are looked at, those that changed longest ago first.
    """
    oldest = [text(labels) for labels in connection.zrange(keys.sets, 0, most - 1)]
    retired = 0
    now = float(connection.time()[0])
    for labels in oldest:
        changed = connection.hget(keys.label_set(labels), "changed")
        if labels != _RETIRED_LABELS and changed is not None and now - _number(changed, now) > seconds:
            remove_set(connection, keys, labels, into=_RETIRED_LABELS)
            retired += 1
    return retired


def _number(value: Any, default: float) -> float:
    try:
        return float(value)
    except ValueError:
        return default


def _keys(keys: Keys) -> tuple[str, ...]:
    return keys.meta, keys.accounts, keys.sets
