"""Pushing the numbers of ``/metrics`` to an OpenTelemetry collector, for those who have one and no Prometheus.

What cannot be had as the environment asks for it is one line in the log, and the exporter serves scrapes all the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobtelemetry import otel
from jobtelemetry._version import __version__
from jobtelemetry.errors import ConfigError, MissingExtraError
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.sinks.tracing import SCHEMA_URL, SCOPE

TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_INTERVAL, _TIMEOUT = ("OTEL_METRIC_EXPORT_INTERVAL", 60_000), ("OTEL_METRIC_EXPORT_TIMEOUT", 30_000)
_PREFERENCES = ("cumulative", "delta", "lowmemory")
_END = 5.0  # seconds that the last push may take

logger = logging.getLogger("jobtelemetry")


@contextmanager
def pushing(collector: Collector) -> Iterator[None]:
    """While this lasts, what the collector has is pushed every ``OTEL_METRIC_EXPORT_INTERVAL``, and at its end."""
    reader = _reader_or_none(collector)
    try:
        yield
    finally:
        if reader is not None:  # a collector that hangs would hold the process up for longer
            thread = threading.Thread(target=reader.shutdown, daemon=True)
            thread.start()
            thread.join(_END)


def _reader_or_none(collector: Collector) -> Any:
    try:
        return _reader(collector)
    except (ConfigError, MissingExtraError) as error:
        problem = str(error)
    except ImportError:
        problem = "metrics by OTLP need OpenTelemetry's SDK: pip install 'jobtelemetry[otlp]'"
    except Exception as error:  # noqa: BLE001 - whatever an exporter or the SDK makes of the environment
        names = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        problem = f"OpenTelemetry cannot use one of {names}: {' '.join(str(error).split()) or type(error).__name__}"
    logger.warning("no metrics are pushed; they are served to scrapes", extra={"problem": problem})
    return None


def _reader(collector: Collector) -> Any:
    from opentelemetry.sdk.metrics import export
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from jobtelemetry.exporter.points import Converter

    preference = _preference()
    converter = Converter(preference == "delta", preference in ("delta", "lowmemory"))
    resource, scope = otel.resource(), InstrumentationScope(SCOPE, __version__, SCHEMA_URL)

    class Confirming(export.MetricExporter):
        """Tells the converter what has arrived, so that a delta that was not taken comes with the next one."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self._inner = inner

        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
            result = self._inner.export(metrics_data, timeout_millis=timeout_millis, **kwargs)
            if result is export.MetricExportResult.SUCCESS:
                converter.arrived()
            return result

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return bool(self._inner.force_flush(timeout_millis))

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            self._inner.shutdown(timeout_millis=timeout_millis, **kwargs)

    def collect(reader: Any, timeout_millis: float = 10_000) -> Any:
        found = converter.convert(collector.collect_within(timeout_millis / 1000))
        return export.MetricsData(
            [
                export.ResourceMetrics(
                    resource=resource,
                    schema_url=resource.schema_url,
                    scope_metrics=[export.ScopeMetrics(scope=scope, metrics=found, schema_url=SCHEMA_URL)],
                )
            ]
        )

    inner = otel.metric_exporter()
    reader = export.PeriodicExportingMetricReader(
        Confirming(inner), otel.positive(*_INTERVAL), otel.positive(*_TIMEOUT)
    )
    # As a MeterProvider does; one would only know instruments, and no histogram of theirs can be given its counts.
    reader._set_collect_callback(collect)  # noqa: SLF001
    return reader


def _preference() -> str:
    """What temporality is asked for; where it is nonsense the SDK says so, and takes the first."""
    text = os.environ.get(TEMPORALITY, "").strip().lower()
    return text if text in _PREFERENCES else _PREFERENCES[0]
