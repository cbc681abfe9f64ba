"""The exporter as a whole: it listens, answers, and ends when told to."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from jobtelemetry.config import Config
from jobtelemetry.exporter import binding
from jobtelemetry.exporter.app import Request, Response, complete, text
from jobtelemetry.exporter.clients import Phase
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.connection import connection_of
from jobtelemetry.exporter.doorkeeper import Doorkeeper
from jobtelemetry.exporter.listener import Listener
from jobtelemetry.exporter.mounted import make_app
from jobtelemetry.exporter.reconciling import Reconciler

#: Addresses that mean every one of this machine, and one that opens from here.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_JOIN = 3.0  # seconds that a thread may take to end
_THREADS = 16
_MOST_WAITING = 64  # requests that wait for Redis or for a thread
_MOST_UNSENT = 64 * 1024 * 1024  # bytes of answers that clients are taking

logger = logging.getLogger(__name__)


class ExporterServer:
    """Serves ``/metrics``, the page at ``/``, ``/healthz`` and ``/readyz``.

    It is bound as soon as it is made, so a busy port is found before anything else happens, and answers from
    :meth:`start` on. Redis may be away at any time, also at the beginning.

    Args:
        connection: RQ's Redis, or its URL; the one of ``config`` by default.
        config: The settings; read from the environment by default.
        host: Name or address to listen on, or ``unix:/path``; the one of ``config`` by default.
        port: The port; 0 takes a free one; the one of ``config`` by default.
        reconciler: Runs in a thread of its own while the server runs; what is served says whether it can write.
        background: Runs in a thread of its own too; it is handed the event that ends it.
        option: What a user would change where nobody can listen, for messages.

    Raises:
        ConfigError: The URL or the web configuration cannot be used, or nobody can listen there.
        MissingExtraError: What the web configuration needs is not installed.
    """

    def __init__(
        self,
        connection: redis.Redis | str | None = None,
        config: Config | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        reconciler: Reconciler | None = None,
        background: Callable[[threading.Event], None] | None = None,
        option: str = "--listen",
    ) -> None:
        config = config or Config.from_env()
        client = connection_of(connection, config)
        self._own_pool = None if client is connection else client.connection_pool
        self._app = make_app(client, config, reconciler)
        self._prefix = config.route_prefix.rstrip("/")
        self._doorkeeper = Doorkeeper(Path(config.web_config_file) if config.web_config_file else None)
        host, port = config.listen_host if host is None else host, config.listen_port if port is None else port
        self._socket = binding.bind(host, port, option)
        self._place = binding.place_of(self._socket)
        self._listener = Listener(self._socket, self._doorkeeper, self._answer)
        self._answering = ThreadPoolExecutor(_THREADS, "jobtelemetry-answer")
        self._waiting = 0
        self._stop = threading.Event()
        self._end: Callable[[], None] = lambda: None
        trends = self._app.site.background
        self._threads = [
            threading.Thread(target=self._serve, name="jobtelemetry-http", daemon=True),
            threading.Thread(target=trends, args=(self._stop,), name="jobtelemetry-trends", daemon=True),
        ]
        for name, work in (("reconciler", reconciler), ("background", background)):
            if work is not None:
                self._threads.append(
                    threading.Thread(target=work, args=(self._stop,), name=f"jobtelemetry-{name}", daemon=True)
                )
        self._started = False
        self._listening = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it is bound to; the real port where 0 was given; ``unix:/path`` and 0 for a unix socket."""
        return self._place

    @property
    def collector(self) -> Collector:
        """Where the numbers come from that are served."""
        return self._app.collector

    @property
    def url(self) -> str:
        """The address to open from this machine, without a path below the prefix."""
        host, port = self._place
        return self._url(WILDCARDS.get(host, host), port)

    def start(self) -> None:
        """Answer requests in the background; returns at once."""
        if self._started:
            return
        self._started = True
        self._threads[0].start()
        self._listening.wait(_JOIN)
        logger.info("Serving metrics on %s/metrics (open to %s)", self._url(*self._place), self.open_to)
        for thread in self._threads[1:]:
            thread.start()

    @property
    def open_to(self) -> str:
        """Who can read what is served, in words."""
        host, _ = self._place
        encrypted = "encrypted" if self._doorkeeper.encrypts else "not encrypted"
        demands = f"with {self._doorkeeper.demands}" if self._doorkeeper.demands else "without a password"
        if host.startswith(binding.UNIX):
            who = "who may write to the socket"
        elif host.startswith(_LOOPBACK):
            who = "this machine"
        else:
            who = "every machine that reaches this address"
        return f"{who}, {encrypted}, {demands}"

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
        self._end()
        if self._started:
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(_JOIN)
        binding.unbind(self._socket)
        self._answering.shutdown(wait=False, cancel_futures=True)
        self._doorkeeper.close()
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
        async def run() -> None:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()

            def end() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(stop.set)

            self._end = end
            self._listening.set()
            if self._stop.is_set():
                return
            await self._listener.serve(stop)

        asyncio.run(run())

    async def _answer(self, asked: Request, stream: Any) -> Response:
        response = await self._doorkeeper.refusal(asked, stream)
        if response is None and (request := self._below_prefix(asked)) is not None:
            response = (
                self._app.respond(request)
                if self._app.is_quick(request)
                else await self._in_thread(request, known=stream.client.known)
            )
        elif response is None:
            response = complete(text(HTTPStatus.NOT_FOUND, f"nothing here; look below {self._prefix}/"), asked)
        else:
            response = complete(response, asked)
        return self._doorkeeper.with_headers(response)

    def _below_prefix(self, request: Request) -> Request | None:
        if not self._prefix:
            return request
        path = request.path
        if path != self._prefix and not path.startswith(f"{self._prefix}/"):
            return None
        return replace(request, path=path[len(self._prefix) :], root=self._prefix)

    async def _in_thread(self, request: Request, *, known: bool) -> Response:
        """Answers wait for Redis and take memory, so there is a bound on both, which is for strangers first."""
        clients = self._listener.clients
        full = clients.unsent > _MOST_UNSENT and not clients.hang_up_on_one(Phase.TAKING)
        if full or self._waiting >= (2 if known else 1) * _MOST_WAITING:
            busy = text(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once", ("Retry-After", "1"))
            return complete(busy, request)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._answering, self._app.respond, request)
        finally:
            self._waiting -= 1

    def _url(self, host: str, port: int) -> str:
        if host.startswith(binding.UNIX):
            return f"{host}{self._prefix}"
        scheme = "https" if self._doorkeeper.encrypts else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{self._prefix}"
