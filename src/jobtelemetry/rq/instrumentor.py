"""OpenTelemetry's zero-code way in: ``opentelemetry-instrument rq worker``.

The entry point ``opentelemetry_instrumentor`` names this class. It has the methods that OpenTelemetry's loader
calls, and derives from its base class where that is installed.
"""

from __future__ import annotations

from typing import Any

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,import-not-found,unused-ignore]
except ImportError:
    BaseInstrumentor = object

from jobtelemetry.rq.entry import instrument, uninstrument


class JobTelemetryInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Calls :func:`jobtelemetry.instrument`."""

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        """What must be installed for this to make sense."""
        return ("rq >= 2.7",)

    def _instrument(self, **kwargs: Any) -> None:
        instrument(kwargs.get("config"))

    def _uninstrument(self, **_kwargs: Any) -> None:
        uninstrument()

    if BaseInstrumentor is object:

        def instrument(self, **kwargs: Any) -> None:
            """Instrument this process."""
            self._instrument(**kwargs)

        def uninstrument(self, **kwargs: Any) -> None:
            """Take it back."""
            self._uninstrument(**kwargs)
