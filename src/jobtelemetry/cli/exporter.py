"""``jobtelemetry exporter``."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

import click

from jobtelemetry import otel
from jobtelemetry.cli.connecting import redis_option
from jobtelemetry.config import Config, parse_listen
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.logformat import log_to_stderr
from jobtelemetry.settings import otherwise
from jobtelemetry.sinks import sentry


@click.command()
@redis_option
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Where to serve; port 0 takes a free one. "
    f"Else JOBTELEMETRY_LISTEN, or {Config.listen_host}:{Config.listen_port}.",
)
@click.option(
    "--reconcile-interval",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How often to count executions whose RQ worker died; 0 never does. " + otherwise(Config, "reconcile_interval"),
)
@click.option("--log-json", is_flag=True, help="Write the log as one line of JSON per record.")
def exporter(redis_url: str | None, listen: str | None, reconcile_interval: float | None, log_json: bool) -> None:
    """Serve /metrics for Prometheus and a summary page at /.

    It needs nothing but Redis, may be restarted at any time, and may run more than once: the numbers live in Redis.
    Also served: /healthz (this process) and /readyz (Redis answers).

    \b
    Example:
      jobtelemetry exporter --redis-url redis://localhost:6379/0 --listen 127.0.0.1:10427
      curl http://127.0.0.1:10427/metrics
    """  # noqa: D301 - click wants the character, not the backslash
    config = Config.from_env().with_overrides(redis_url=redis_url, reconcile_interval=reconcile_interval)
    if listen is not None:
        host, port = parse_listen(listen, option="--listen")
        config = config.with_overrides(listen_host=host, listen_port=port)
    log_to_stderr("json" if log_json else "text")
    sentry.start_from_environment()
    otel.configure(exit_timeout=config.flush_timeout)
    connection = connect(config.redis_url)
    server = ExporterServer(connection, config, background=reconciler(connection, config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopping(server))
    server.serve_forever()


def _stopping(server: ExporterServer) -> Callable[[int, FrameType | None], None]:
    return lambda signum, frame: server.stop()
