"""Real servers: an embedded Valkey on a unix socket, or on a free TCP port where RQ needs one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis

from jobtelemetry.demo.errors import ServerError
from jobtelemetry.demo.server import EmbeddedServer


class TcpServer(EmbeddedServer):
    """On a free port of the loopback address too: RQ 2's ``SpawnWorker`` cannot reconnect to a unix socket."""

    def __init__(self, **settings: str) -> None:
        self.port = _free_port()
        super().__init__(port=str(self.port), bind="127.0.0.1", **settings)

    @property
    def tcp_url(self) -> str:
        """Where workers find it."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Redis:
        """A client over TCP; :meth:`stop` closes it."""
        client: Redis = Redis.from_url(self.tcp_url, **options)
        self._connections.append(client)
        return client


@contextmanager
def tcp_server(**settings: str) -> Iterator[TcpServer]:
    """A running :class:`TcpServer`; another port where somebody took the free one in between."""
    for _ in range(5):
        server = TcpServer(**settings)
        with suppress(ServerError):
            server.start()
            break
    else:
        server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
