"""Forgetting: every series of one worker, in one step, for a job class that was renamed or removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobtelemetry.contract import OTHER
from jobtelemetry.errors import StoreError
from jobtelemetry.store.keys import Keys, encode
from jobtelemetry.store.record import _script

_FORGET = _script("common", "forget")


@dataclass(frozen=True)
class Forgotten:
    """What was removed: fields of hashes, and the executions that they had counted."""

    fields: int
    executions: int


def forget_worker(connection: Any, keys: Keys, worker: str) -> Forgotten:
    """Remove every series of a worker, on all queues and from all sources; the execution log keeps its entries.

    An execution that ends later begins a new series.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        worker: The label, in full.

    Raises:
        StoreError: The script met a key that it cannot read.
        redis.exceptions.RedisError: Redis does not answer or refuses; nothing was removed.
    """
    takes_places = "0" if worker == OTHER else "1"
    reply = connection.execute_command("EVAL", _FORGET, 2, keys.series, keys.exemplars, encode([worker]), takes_places)
    if not isinstance(reply, list):
        raise StoreError(f"the series of {worker!r} cannot be removed: {reply!r}")
    return Forgotten(*map(int, reply))
