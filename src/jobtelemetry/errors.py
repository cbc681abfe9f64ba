"""The exceptions of this package.

::

    JobTelemetryError
    ├── ConfigError             a setting or option has no usable value
    ├── InvalidReasonError      Cancel or Discard was given free text
    ├── MetricError             a metric of your own cannot be what it is defined as
    ├── MissingExtraError       an optional dependency is not installed
    └── StoreError              Redis holds something that jobtelemetry cannot read
"""


class JobTelemetryError(Exception):
    """Base of every error that jobtelemetry raises on purpose."""


class ConfigError(JobTelemetryError, ValueError):
    """A setting or option has no usable value."""


class InvalidReasonError(JobTelemetryError, ValueError):
    """The reason of a ``Cancel`` or ``Discard`` is not an identifier."""


class MetricError(JobTelemetryError, ValueError):
    """A metric of one's own cannot be what it is defined as, or cannot do what is asked of it."""


class MissingExtraError(JobTelemetryError, ImportError):
    """An optional dependency is needed and not installed."""


class StoreError(JobTelemetryError):
    """Redis holds something under jobtelemetry's keys that it cannot read."""
