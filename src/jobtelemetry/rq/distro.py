"""Counting under ``opentelemetry-instrument``, also where OpenTelemetry itself cannot start.

Its launcher loads a distribution, then the SDK, then instrumentations. Where the SDK cannot start (an exporter that is
not installed, nonsense in an ``OTEL_*`` variable), no instrumentation is loaded, and RQ's jobs would not be counted.
This distribution instruments RQ first, and is in all else the one that would have been chosen without it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined,import-not-found,unused-ignore]
    BaseDistro,
    DefaultDistro,
)
from opentelemetry.util._importlib_metadata import entry_points

_GROUP = "opentelemetry_distro"
_OURS = "jobtelemetry"
log = logging.getLogger("jobtelemetry")


class JobTelemetryDistro(BaseDistro):  # type: ignore[misc]
    """Instruments RQ, and leaves the rest to the distribution that is installed besides."""

    def _configure(self, **kwargs: Any) -> None:
        _instrument()
        self._other = _other()
        self._other.configure(**kwargs)

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Load an instrumentation as the other distribution does."""
        self._other.load_instrumentor(entry_point, **kwargs)


def _instrument() -> None:
    without = [name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    if _OURS in without or "*" in without:
        return
    try:
        from jobtelemetry.rq.entry import instrument

        instrument()
    except Exception as error:  # the launcher's program runs, whatever we think of its settings
        log.error("jobs are not counted: %s", " ".join(str(error).split()))  # noqa: TRY400


def _other() -> BaseDistro:
    """What the launcher would have chosen: the first that is a distribution, or its default."""
    for entry_point in entry_points(group=_GROUP):
        if entry_point.name != _OURS:
            distro = entry_point.load()()
            if isinstance(distro, BaseDistro):
                return distro
    return DefaultDistro()
