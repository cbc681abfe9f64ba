"""The process that serves ``--metrics`` beside a worker: ``python -m jobtelemetry.cli.metrics_process``.

It is no command for people. What it serves, and where, comes as JSON on standard input.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

#: What RQ's commands make a connection of; these options come along.
CONNECTION_OPTIONS = ("url", "config", "connection_class", "path")


def main() -> None:
    """Serve until the worker ends."""
    from jobtelemetry.exporter.beside import serve_for_parent
    from jobtelemetry.logformat import log_to_stderr
    from jobtelemetry.sinks import sentry

    request = json.load(sys.stdin)
    log_to_stderr(*request.get("log") or ("text", logging.INFO))
    sentry.start_from_environment()
    serve_for_parent(request, lambda: connection_of(request["options"]))


def connection_of(options: dict[str, Any]) -> Any:
    """The connection that RQ makes of its options.

    Raises:
        ConfigError: The URL cannot be used; the message has no password in it.
    """
    from rq.cli.helpers import CliConfig

    from jobtelemetry import redis_url
    from jobtelemetry.errors import ConfigError

    if url := options.get("url"):
        redis_url.check(url)
        redis_url.remember(url)
    try:
        return CliConfig(**{name: options[name] for name in CONNECTION_OPTIONS if options.get(name)}).connection
    except (ValueError, TypeError):  # redis-py's own words may have a piece of the password
        raise ConfigError("RQ's settings have no Redis URL that can be used") from None


if __name__ == "__main__":
    main()
