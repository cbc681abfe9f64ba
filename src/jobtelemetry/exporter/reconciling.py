"""The reconciler as the exporter's background work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.sinks import Sinks, reporting_sinks
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import forget_gone_workers, reconcile
from jobtelemetry.store.record import Limits

logger = logging.getLogger(__name__)


def reconciler(connection: Any, config: Config) -> Callable[[threading.Event], None] | None:
    """What counts abandoned executions every ``config.reconcile_interval`` seconds; ``None`` if that is 0.

    Whoever counts an ending tells of it, so the log and, where it is configured, Sentry hear of it from here. A sink
    that fails is logged once a run.

    Args:
        connection: RQ's Redis; a connection of its own with time limits is made from it.
        config: The settings.
    """
    if not config.reconcile_interval:
        return None
    client, keys = with_time_limits(connection), Keys(config.key_prefix)
    limits = Limits(config.max_label_sets, config.log_size)
    logged: set[str] = set()

    def log_once(hook: str, error: Exception) -> None:
        if hook not in logged:
            logged.add(hook)
            logger.error("Cannot tell of an ending", extra={"hook": hook}, exc_info=error)

    sinks = Sinks(reporting_sinks(config), log_once)

    def run() -> None:
        logged.clear()
        for event in reconcile(client, keys, limits):
            sinks.tell(event)
        forget_gone_workers(client, keys)

    again_and_again = every(config.reconcile_interval, run, name="reconciler")

    def run_and_flush(stop: threading.Event) -> None:
        again_and_again(stop)
        sinks.flush()

    return run_and_flush
