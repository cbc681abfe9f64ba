"""The listening socket: one quiet thread per request, and a time limit on whoever does not speak."""

from __future__ import annotations

import errno
import io
import logging
import os
import socket
import socketserver
import sys
import weakref
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from jobtelemetry.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Seconds that a client may be silent while its request is read or its answer is written.
CLIENT_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


class Listener(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server that is bound and listens as soon as it is made.

    Args:
        host: Name or address, IPv4 or IPv6.
        port: 0 takes a free one.
        app: What answers.

    Raises:
        ConfigError: Nobody can listen there; the message says why and what to do.
    """

    daemon_threads = True
    allow_reuse_address = True
    allow_reuse_port = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        try:
            self.address_family, address = _resolve(host, port)
            super().__init__(address, _Handler)
        except OSError as error:
            raise ConfigError(_reason(error, host, port)) from None
        self.set_app(app)
        _close_in_forks(self.socket)

    def server_bind(self) -> None:
        """Bind, without the reverse look-up of the host's name that http.server does: it can take seconds."""
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or was too slow is no news."""
        logger.debug("Connection failed", extra={"client": str(client_address)}, exc_info=sys.exc_info())


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        """No access log: scrapes would fill it."""

    def get_stderr(self) -> io.StringIO:
        """Where wsgiref writes tracebacks of broken connections; the application logs its own errors."""
        return io.StringIO()


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use; choose another with --listen"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another with --listen"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights; choose one above 1023 with --listen"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}; choose another with --listen"


def _close_in_forks(listening: socket.socket) -> None:
    """A forked RQ worker must not keep the port of the parent that serves the metrics."""
    reference = weakref.ref(listening)

    def close() -> None:
        if (inherited := reference()) is not None:
            inherited.close()

    os.register_at_fork(after_in_child=close)
