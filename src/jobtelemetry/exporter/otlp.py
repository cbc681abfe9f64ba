"""Pushing the numbers of ``/metrics`` to an OpenTelemetry collector, for those who have one and no Prometheus.

What cannot be had as the environment asks for it is one line in the log, and the exporter serves scrapes all the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
    pusher = _pusher_or_none(collector)
    try:
        yield
    finally:
        if pusher is not None:
            pusher.end()


def _pusher_or_none(collector: Collector) -> _Pusher | None:
    try:
        return _Pusher(collector)
    except (ConfigError, MissingExtraError) as error:
        problem = str(error)
    except ImportError:
        problem = "metrics by OTLP need OpenTelemetry's SDK: pip install 'jobtelemetry[otlp]'"
    except Exception as error:  # noqa: BLE001 - whatever an exporter or the SDK makes of the environment
        names = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        problem = f"OpenTelemetry cannot use one of {names}: {' '.join(str(error).split()) or type(error).__name__}"
    logger.warning("no metrics are pushed; they are served to scrapes", extra={"problem": problem})
    return None


class _Pusher:
    """A thread that gives an exporter of the SDK what the collector found.

    The SDK's own periodic reader collects from instruments alone, and no histogram of theirs can be given its counts.

    Raises:
        MissingExtraError: The exporter that the environment names is not installed.
        ConfigError: There is no such protocol.
        ImportError: The SDK is not installed.
    """

    def __init__(self, collector: Collector) -> None:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        from jobtelemetry.exporter.points import Converter

        preference = _preference()
        self._collector = collector
        self._converter = Converter(preference == "delta", preference in ("delta", "lowmemory"))
        self._resource, self._scope = otel.resource(), InstrumentationScope(SCOPE, __version__, SCHEMA_URL)
        self._exporter = otel.metric_exporter()
        self._interval, self._timeout = otel.positive(*_INTERVAL), otel.positive(*_TIMEOUT)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobtelemetry-otlp", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Push once more; a collector that hangs does not hold the process up."""
        self._ending.set()
        self._thread.join(_END)

    def _run(self) -> None:
        from opentelemetry.context import attach, set_value

        attach(set_value("suppress_instrumentation", True))  # a push is no work of the application's: no span
        while not self._ending.wait(self._interval / 1000):
            self._push()
        self._push()
        self._exporter.shutdown()

    def _push(self) -> None:
        try:
            self._export()
        except Exception as error:  # noqa: BLE001 - the next one may succeed
            problem = " ".join(str(error).split()) or type(error).__name__
            logger.warning("a push of metrics failed; the next one says all of it", extra={"problem": problem})

    def _export(self) -> None:
        from opentelemetry.sdk.metrics import export

        found = self._converter.convert(self._collector.collect_within(self._timeout / 1000))
        scope = export.ScopeMetrics(scope=self._scope, metrics=found, schema_url=SCHEMA_URL)
        part = export.ResourceMetrics(
            resource=self._resource, scope_metrics=[scope], schema_url=self._resource.schema_url
        )
        result = self._exporter.export(export.MetricsData([part]), timeout_millis=self._timeout)
        if result is export.MetricExportResult.SUCCESS:  # otherwise a delta comes with the next one
            self._converter.arrived()


def _preference() -> str:
    """What temporality is asked for; where it is nonsense the SDK says so, and takes the first."""
    text = os.environ.get(TEMPORALITY, "").strip().lower()
    return text if text in _PREFERENCES else _PREFERENCES[0]
