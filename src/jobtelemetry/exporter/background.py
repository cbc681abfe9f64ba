"""Something to be done every few seconds beside the serving, for as long as that lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from jobtelemetry.exporter.reading import explain

logger = logging.getLogger(__name__)


def every(seconds: float, action: Callable[[], object], *, name: str) -> Callable[[threading.Event], None]:
    """What :class:`~jobtelemetry.exporter.server.ExporterServer` takes as ``background``.

    An error does not end it; the first of a row of errors is logged.

    Args:
        seconds: Between the end of one run and the beginning of the next.
        action: What to do.
        name: What it is, for the log.
    """

    def run(stop: threading.Event) -> None:
        failing = False
        while not stop.is_set():
            try:
                action()
                failing = False
            except Exception as error:  # noqa: BLE001 - Redis may be away; the next run will do
                if not failing:
                    logger.warning("The %s failed and will be tried again: %s", name, explain(error))
                failing = True
            stop.wait(seconds)

    return run
