"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import jobtelemetry

NAMES = [
    "Cancel",
    "Collector",
    "Config",
    "ConfigError",
    "Counter",
    "Discard",
    "ExecutionEvent",
    "Gauge",
    "Histogram",
    "InvalidReasonError",
    "JobTelemetryError",
    "MetricError",
    "MissingExtraError",
    "Outcome",
    "RateLimited",
    "State",
    "StoreError",
    "__version__",
    "asgi_app",
    "instrument",
    "is_instrumented",
    "job",
    "on_execution",
    "register_rate_limit",
    "send_metrics_to",
    "set_attribute",
    "strict_reasons",
    "uninstrument",
    "wsgi_app",
]


def test_the_public_names_are_these():
    """A name is public on purpose, and stays."""
    assert jobtelemetry.__all__ == NAMES
    assert all(getattr(jobtelemetry, name) is not None for name in NAMES)


def test_importing_is_light():
    """Importing the package imports neither RQ nor the OpenTelemetry SDK nor Sentry."""
    program = (
        "import sys, jobtelemetry; print([n for n in ('rq', 'opentelemetry.sdk', 'sentry_sdk') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
