"""The reconciler as the exporter's background work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import forget_gone_workers, reconcile
from jobtelemetry.store.record import Limits


def reconciler(connection: Any, config: Config) -> Callable[[threading.Event], None] | None:
    """What counts abandoned executions every ``config.reconcile_interval`` seconds; ``None`` if that is 0.

    Args:
        connection: RQ's Redis; a connection of its own with time limits is made from it.
        config: The settings.
    """
    if not config.reconcile_interval:
        return None
    client, keys = with_time_limits(connection), Keys(config.key_prefix)
    limits = Limits(config.max_label_sets, config.log_size)

    def run() -> None:
        reconcile(client, keys, limits)
        forget_gone_workers(client, keys)

    return every(config.reconcile_interval, run, name="reconciler")
