"""``jobtelemetry exporter``."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import click
import redis

from jobtelemetry import otel
from jobtelemetry.cli.connecting import client, described, redis_option
from jobtelemetry.config import Config, parse_listen
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.connection import SOCKET_TIMEOUT
from jobtelemetry.exporter.doorkeeper import Doorkeeper
from jobtelemetry.exporter.otlp import pushing
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.logformat import log_to_stderr
from jobtelemetry.settings import otherwise
from jobtelemetry.sinks import sentry


@click.command()
@redis_option
@click.option(
    "--listen",
    metavar="[HOST:]PORT|unix:/PATH",
    help="Where to serve; port 0 takes a free one. "
    f"Else JOBTELEMETRY_LISTEN, or {Config.listen_host}:{Config.listen_port}: every machine that reaches this one.",
)
@click.option(
    "--web-config-file",
    "--web.config.file",
    metavar="PATH",
    help="TLS, client certificates and passwords, in the format of Prometheus' exporters. "
    "Else JOBTELEMETRY_WEB_CONFIG_FILE, or none of these.",
)
@click.option(
    "--route-prefix",
    metavar="/PATH",
    help="What stands before every path, behind a proxy that does not take it away. "
    "Else JOBTELEMETRY_ROUTE_PREFIX, or nothing.",
)
@click.option(
    "--reconcile-interval",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How often to count executions whose RQ worker died; 0 never does. " + otherwise(Config, "reconcile_interval"),
)
@click.option(
    "--otlp",
    is_flag=True,
    help="Push the same numbers to an OpenTelemetry collector, too, as the OTEL_* variables say; also with "
    "OTEL_METRICS_EXPORTER=otlp.",
)
@click.option("--log-json", is_flag=True, help="Write the log as one line of JSON per record.")
@click.option("--check", is_flag=True, help="Say whether the settings and the web configuration can be used, and end.")
def exporter(
    redis_url: str | None,
    listen: str | None,
    web_config_file: str | None,
    route_prefix: str | None,
    reconcile_interval: float | None,
    otlp: bool,
    log_json: bool,
    check: bool,
) -> None:
    """Serve /metrics for Prometheus, pages for people at / and the same as JSON at /api/v1.

    With --otlp the same numbers are pushed to an OpenTelemetry collector, too. It needs nothing but Redis, may be
    restarted at any time, and may run more than once: the numbers live in Redis.
    Also served: /healthz (this process) and /readyz (Redis answers).

    \b
    Example:
      jobtelemetry exporter --redis-url redis://localhost:6379/0 --listen 127.0.0.1:10427
      curl http://127.0.0.1:10427/metrics
    """  # noqa: D301 - click wants the character, not the backslash
    config = Config.from_env().with_overrides(
        redis_url=redis_url, reconcile_interval=reconcile_interval, web_config_file=web_config_file
    )
    try:
        config = config.with_overrides(route_prefix=route_prefix)
    except ConfigError:
        raise click.BadParameter("expected a path such as /telemetry", param_hint="--route-prefix") from None
    if listen is not None:
        host, port = parse_listen(listen, option="--listen")
        config = config.with_overrides(listen_host=host, listen_port=port)
    if check:
        click.echo(_checked(config, redis_url))
        return
    log_to_stderr("json" if log_json else "text")
    sentry.start_from_environment()
    otel.configure(exit_timeout=config.flush_timeout)
    connection = _connection(config, redis_url)
    server = ExporterServer(connection, config, reconciler=reconciler(connection, config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopping(server))
    with pushing(server.collector) if otlp or otel.metrics_wanted() else nullcontext():
        server.serve_forever()


def _connection(config: Config, redis_url: str | None) -> redis.Redis:
    return client(config, redis_url, connect_timeout=SOCKET_TIMEOUT, reply_timeout=SOCKET_TIMEOUT)


def _checked(config: Config, redis_url: str | None) -> str:
    """What the settings come to; connects to nobody and listens nowhere."""
    _connection(config, redis_url)
    doorkeeper = Doorkeeper(Path(config.web_config_file) if config.web_config_file else None)
    doorkeeper.close()
    encrypted = "TLS" if doorkeeper.encrypts else "no TLS"
    demands = doorkeeper.demands or "no password"
    return f"The settings can be used: {described(click.get_current_context())}; {encrypted}, {demands}."


def _stopping(server: ExporterServer) -> Callable[[int, FrameType | None], None]:
    return lambda signum, frame: server.stop()
