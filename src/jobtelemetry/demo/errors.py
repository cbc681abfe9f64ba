"""What can go wrong in the demo: a branch of the package's tree."""

from jobtelemetry.errors import JobTelemetryError


class DemoError(JobTelemetryError):
    """The demo cannot start or go on."""


class ServerError(DemoError):
    """The embedded server did not start, or is used before it has."""
