"""Forgetting on purpose: the label sets of one worker that was renamed or removed, or a metric of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobtelemetry.errors import StoreError
from jobtelemetry.store.books import remove_set
from jobtelemetry.store.decode import series_of
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.keys import decode as parts_of
from jobtelemetry.store.own import parts_of_series
from jobtelemetry.store.record import text
from jobtelemetry.store.scripts import Script

_REMOVE = Script("common", "own_remove", keys=("META", "ACCOUNTS", "SETS", "FAMILIES", "INDEX"))
#: Series that are removed at once.
_PAGE = 200


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


def forget_metric(connection: Any, keys: Keys, name: str) -> tuple[int, int]:
    """Remove every series of one of users' own metrics, of whatever type and labels, and its definitions.

    What is measured later begins anew, with the definition that measures first.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        name: The full name; a counter's with ``_total``.

    Returns:
        How many series there were, and of how many observations they were made.

    Raises:
        StoreError: The script met a key that it cannot read.
        redis.exceptions.RedisError: Redis does not answer or refuses; what was removed stays removed.
    """
    found = [text(series) for series, _ in connection.zscan_iter(keys.series_index)]
    series = sorted({one for one in found if (parts := parts_of_series(one)) is not None and parts[1] == name})
    fields = [text(field) for field in connection.hgetall(keys.families)]
    defined = [field for field in fields if parts_of(field)[:2] == ("defined", name)]
    observations = 0
    for first in range(0, max(1, len(series)), _PAGE):
        page = series[first : first + _PAGE]
        facts = {"family": name, "series": page, "last": first + _PAGE >= len(series), "defined": defined}
        where = (keys.meta, keys.accounts, keys.sets, keys.families, keys.series_index)
        gone, fault = _REMOVE.run(connection, (*where, *map(keys.series, page)), facts)
        if text(fault):
            raise StoreError(f"the metric {name!r} cannot be removed: {text(fault)}")
        observations += int(gone)
    return len(series), observations
