"""``jobtelemetry exporter``."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import click

from jobtelemetry.config import Config, parse_listen
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.reconcile import forget_gone_workers, reconcile
from jobtelemetry.store.record import Limits


@click.command()
@click.option(
    "--redis-url",
    "-u",
    metavar="URL",
    help="RQ's Redis: redis://, rediss:// or unix://. "
    "Else JOBTELEMETRY_REDIS_URL, RQ_REDIS_URL, REDIS_URL, or redis://localhost:6379/0.",
)
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Where to serve; port 0 takes a free one. Else JOBTELEMETRY_LISTEN, or 0.0.0.0:10427.",
)
@click.option(
    "--reconcile-interval",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How often to count executions whose RQ worker died; 0 never does. "
    "Else JOBTELEMETRY_RECONCILE_INTERVAL, or 5.",
)
def exporter(redis_url: str | None, listen: str | None, reconcile_interval: float | None) -> None:
    """Serve /metrics for Prometheus and a summary page at /.

    It needs nothing but Redis, may be restarted at any time, and may run more than once: the numbers live in Redis.
    Also served: /healthz (this process) and /readyz (Redis answers).

    \b
    Example:
      jobtelemetry exporter --redis-url redis://localhost:6379/0 --listen 127.0.0.1:10427
      curl http://127.0.0.1:10427/metrics
    """
    config = Config.from_env().with_overrides(redis_url=redis_url, reconcile_interval=reconcile_interval)
    if listen is not None:
        host, port = parse_listen(listen, option="--listen")
        config = config.with_overrides(listen_host=host, listen_port=port)
    _log_to_stderr()
    server = ExporterServer(config=config, background=reconciler(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopping(server))
    server.serve_forever()


def reconciler(config: Config) -> Callable[[threading.Event], None] | None:
    """What counts abandoned executions every ``config.reconcile_interval`` seconds; ``None`` if that is 0."""
    if not config.reconcile_interval:
        return None
    connection, keys = connect(config.redis_url), Keys(config.key_prefix)
    limits = Limits(config.max_label_sets, config.log_size)

    def run() -> None:
        reconcile(connection, keys, limits)
        forget_gone_workers(connection, keys)

    return every(config.reconcile_interval, run, name="reconciler")


def _stopping(server: ExporterServer) -> Callable[[int, FrameType | None], None]:
    return lambda signum, frame: server.stop()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("jobtelemetry")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
