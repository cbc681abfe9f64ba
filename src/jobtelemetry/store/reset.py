"""Forgetting on purpose: every label set of one worker, for a job class that was renamed or removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobtelemetry.store.books import remove_set
from jobtelemetry.store.decode import series_of
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import text


@dataclass(frozen=True)
class Forgotten:
    """What was removed: fields of hashes, and the executions that they had counted."""

    fields: int
    executions: int


def forget_worker(connection: Any, keys: Keys, worker: str) -> Forgotten:
    """Remove every label set of a worker, on all queues; the execution log keeps its entries.

    An execution that ends later begins a new label set.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        worker: The label, in full.

    Raises:
        StoreError: The script met a key that it cannot read.
        redis.exceptions.RedisError: Redis does not answer or refuses; what was removed stays removed.
    """
    fields = executions = 0
    for found, _ in connection.zscan_iter(keys.sets):
        labels = text(found)
        series = series_of(labels)
        if series is not None and series.worker == worker:
            removed, counted = remove_set(connection, keys, labels)
            fields, executions = fields + removed, executions + counted
    return Forgotten(fields, executions)
