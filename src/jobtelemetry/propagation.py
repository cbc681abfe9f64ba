"""The trace context that a job carries, written and read by the configured propagator.

``opentelemetry.propagate`` raises when it is imported while ``OTEL_PROPAGATORS`` names what is not installed. That
variable is often set for every program of a host, so the module is imported with the first job that carries a context,
and without it the propagators that are installed do the work.
"""

from __future__ import annotations

import logging
import os
from importlib import metadata
from typing import Any

from opentelemetry.context import Context

log = logging.getLogger("jobtelemetry")

_propagate: Any = None


def inject(carrier: dict[str, str]) -> None:
    """Write the current context into a carrier."""
    _propagator().inject(carrier)


def extract(carrier: dict[str, str]) -> Context:
    """The context that a carrier has; nothing of this process's own."""
    context: Context = _propagator().extract(carrier, context=Context())
    return context


def _propagator() -> Any:
    global _propagate
    if _propagate is None:
        try:
            from opentelemetry import propagate

            _propagate = propagate  # the module: an application may set another propagator at any time
        except Exception as error:  # noqa: BLE001 - a propagator that is not installed, or whose import fails
            _propagate = _installed()
            problem = f"OTEL_PROPAGATORS={os.environ.get('OTEL_PROPAGATORS', '')}: {' '.join(str(error).split())}"
            log.warning(
                "a propagator of OpenTelemetry cannot be used; the others are",
                extra={"problem": problem, "remedy": "install its package, opentelemetry-propagator-..."},
            )
    return _propagate


def _installed() -> Any:
    """What can be loaded of what the environment names."""
    from opentelemetry.propagators.composite import CompositePropagator

    found = []
    for name in os.environ.get("OTEL_PROPAGATORS", "").split(","):
        for entry in metadata.entry_points(group="opentelemetry_propagator", name=name.strip()):
            try:
                found.append(entry.load()())
            except Exception:  # noqa: BLE001, S112 - the one that was complained of
                continue
    return CompositePropagator(found)
