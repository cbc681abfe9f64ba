"""The reconciler as the exporter's background work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import with_time_limits
from jobtelemetry.sinks import Sink, reporting_sinks
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import forget_gone_workers, reconcile
from jobtelemetry.store.record import Limits

logger = logging.getLogger(__name__)


def reconciler(connection: Any, config: Config) -> Callable[[threading.Event], None] | None:
    """What counts abandoned executions every ``config.reconcile_interval`` seconds; ``None`` if that is 0.

    Whoever counts an ending tells of it, so the log and, where it is configured, Sentry hear of it from here.

    Args:
        connection: RQ's Redis; a connection of its own with time limits is made from it.
        config: The settings.
    """
    if not config.reconcile_interval:
        return None
    client, keys = with_time_limits(connection), Keys(config.key_prefix)
    limits, sinks = Limits(config.max_label_sets, config.log_size), reporting_sinks(config)

    def run() -> None:
        _tell(sinks, reconcile(client, keys, limits))
        forget_gone_workers(client, keys)

    again_and_again = every(config.reconcile_interval, run, name="reconciler")

    def run_and_flush(stop: threading.Event) -> None:
        again_and_again(stop)
        for sink in sinks:
            with suppress(Exception):
                getattr(sink, "flush", lambda: None)()

    return run_and_flush


def _tell(sinks: Sequence[Sink], events: Sequence[ExecutionEvent]) -> None:
    """Hand every event to every sink; none can harm the others. A broken sink is logged once per call."""
    broken: set[int] = set()
    for event in events:
        for sink in sinks:
            try:
                sink(event)
            except Exception:
                if id(sink) not in broken:
                    broken.add(id(sink))
                    logger.exception("Cannot tell of an ending", extra={"sink": type(sink).__name__})
