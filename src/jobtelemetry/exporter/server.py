"""The exporter as a whole: it listens, answers, and ends when told to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

import redis

from jobtelemetry.config import Config
from jobtelemetry.exporter.app import App
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.connection import connect, with_time_limits
from jobtelemetry.exporter.listener import Listener
from jobtelemetry.exporter.reading import TIME_LIMIT, TimeLimited
from jobtelemetry.exporter.site import Site

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
_POLL = 0.1  # seconds within which serving notices that it shall end
_JOIN = 2.0  # seconds that a background run may take to end

logger = logging.getLogger(__name__)


class ExporterServer:
    """Serves ``/metrics``, the page at ``/``, ``/healthz`` and ``/readyz``.

    It is bound as soon as it is made, so a busy port is found before anything else happens, and answers from
    :meth:`start` on. Redis may be away at any time, also at the beginning.

    Args:
        connection: RQ's Redis, or its URL; the one of ``config`` by default.
        config: The settings; read from the environment by default.
        host: Name or address to listen on; the one of ``config`` by default.
        port: The port; 0 takes a free one; the one of ``config`` by default.
        background: Runs in a thread of its own while the server runs; it is handed the event that ends it.

    Raises:
        ConfigError: The URL cannot be used, or nobody can listen there.
    """

    def __init__(
        self,
        connection: redis.Redis | str | None = None,
        config: Config | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        background: Callable[[threading.Event], None] | None = None,
    ) -> None:
        config = config or Config.from_env()
        target = config.redis_url if connection is None else connection
        client = connect(target) if isinstance(target, str) else with_time_limits(target)
        self._own_pool = None if client is connection else client.connection_pool
        collector = Collector(client, config)
        site = Site(client, config, collector.reader)
        self._listener = Listener(
            config.listen_host if host is None else host,
            config.listen_port if port is None else port,
            App(collector, TimeLimited(client.ping, TIME_LIMIT), site),
        )
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name="jobtelemetry-http", daemon=True),
            threading.Thread(target=site.background, args=(self._stop,), name="jobtelemetry-trends", daemon=True),
        ]
        if background is not None:
            self._threads.append(
                threading.Thread(target=background, args=(self._stop,), name="jobtelemetry-background", daemon=True)
            )
        self._started = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it is bound to; the real port where 0 was given."""
        host, port = self._listener.server_address[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        """The address to open from this machine, without a path."""
        host, port = self.address
        return _url(_WILDCARDS.get(host, host), port)

    def start(self) -> None:
        """Answer requests in the background; returns at once."""
        if self._started:
            return
        self._started = True
        self._threads[0].start()
        logger.info("Serving metrics on %s/metrics", _url(*self.address))
        for thread in self._threads[1:]:
            thread.start()

    def serve_forever(self) -> None:
        """Answer requests until :meth:`stop` is called, from a signal handler for instance; then close."""
        with self:
            self._stop.wait()

    def stop(self) -> None:
        """Make :meth:`serve_forever` return; safe in a signal handler."""
        self._stop.set()

    def close(self) -> None:
        """End all threads, free the port and hang up on Redis; may be called more than once."""
        self._stop.set()
        if self._started:
            self._listener.shutdown()
            for thread in self._threads:
                thread.join(_JOIN)
        self._listener.server_close()
        if self._own_pool is not None:
            self._own_pool.disconnect()

    def __enter__(self) -> ExporterServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        self._listener.serve_forever(poll_interval=_POLL)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
