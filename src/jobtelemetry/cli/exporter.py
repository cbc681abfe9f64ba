"""``jobtelemetry exporter``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import click

from jobtelemetry import otel
from jobtelemetry.cli import redis_servers, rq_settings
from jobtelemetry.config import Config, parse_listen
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.exporter.doorkeeper import Doorkeeper
from jobtelemetry.exporter.otlp import pushing
from jobtelemetry.exporter.reconciling import reconciler, reconcilers
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.logformat import log_to_stderr
from jobtelemetry.settings import otherwise
from jobtelemetry.sinks import sentry


@click.command()
@rq_settings.settings_option
@redis_servers.options
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
    redis_urls: tuple[str, ...],
    redis_servers_file: str | None,
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

    It can read several Redis servers, each under a name, which everything that comes from it has as the label redis.
    While one of them is away the others are served.

    \b
    Example:
      jobtelemetry exporter --redis-url redis://localhost:6379/0 --listen 127.0.0.1:10427
      curl http://127.0.0.1:10427/metrics
      jobtelemetry exporter -u eu=redis://eu.example:6379/0 -u us=redis://us.example:6379/0
    """  # noqa: D301 - click wants the character, not the backslash
    config = Config.from_env().with_overrides(reconcile_interval=reconcile_interval, web_config_file=web_config_file)
    try:
        config = config.with_overrides(route_prefix=route_prefix)
    except ConfigError:
        raise click.BadParameter("expected a path such as /telemetry", param_hint="--route-prefix") from None
    if listen is not None:
        host, port = parse_listen(listen, option="--listen")
        config = config.with_overrides(listen_host=host, listen_port=port)
    servers = redis_servers.chosen(config, redis_urls, redis_servers_file)
    config = redis_servers.with_prefixes(config, servers)
    if check:
        click.echo(_checked(config, servers))
        return
    log_to_stderr("json" if log_json else "text")
    sentry.start_from_environment()
    otel.configure(exit_timeout=config.flush_timeout)
    connections = {one.name: one.connection for one in servers}
    if "" in connections:
        only = connections[""]
        server = ExporterServer(only, config, reconciler=reconciler(only, config))
    else:
        server = ExporterServer(connections, config, reconciler=reconcilers(connections, config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopping(server))
    with pushing(server.collector) if otlp or otel.metrics_wanted() else nullcontext():
        server.serve_forever()


def _checked(config: Config, servers: Sequence[redis_servers.Server]) -> str:
    """What the settings come to; connects to nobody and listens nowhere."""
    Cardinality.of(config)
    doorkeeper = Doorkeeper(Path(config.web_config_file) if config.web_config_file else None)
    doorkeeper.close()
    encrypted = "TLS" if doorkeeper.encrypts else "no TLS"
    demands = doorkeeper.demands or "no password"
    return f"The settings can be used: {', '.join(map(str, servers))}; {encrypted}, {demands}."


def _stopping(server: ExporterServer) -> Callable[[int, FrameType | None], None]:
    return lambda signum, frame: server.stop()
