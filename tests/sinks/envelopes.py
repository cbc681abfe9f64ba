"""A server that speaks Sentry's envelope protocol, and keeps what it is sent."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SentryServer(ThreadingHTTPServer):
    """On a free port of this machine; ``dsn`` is what an SDK is given."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items: list[tuple[str, Any]] = []
        self.raw: list[bytes] = []
        self.answering = threading.Event()
        self.answering.set()
        self.slowness = 0.0

    @property
    def dsn(self) -> str:
        """Where events go."""
        return f"http://public@127.0.0.1:{self.server_address[1]}/1"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events so far."""
        return [payload for kind, payload in self.items if kind == "event"]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        """The transactions so far."""
        return [payload for kind, payload in self.items if kind == "transaction"]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone, unless it is our own fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def forget(self) -> None:
        """Start anew."""
        self.slowness = 0.0
        self.items.clear()
        self.raw.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        server = self.server
        assert isinstance(server, SentryServer)
        if server.answering.is_set():
            server.raw.append(body)
            server.items.extend(_items(body))
        server.answering.wait(60)
        time.sleep(server.slowness)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "gzip":
            return gzip.decompress(body)
        assert encoding in ("", "deflate"), encoding
        return zlib.decompress(body) if encoding else body

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _items(envelope: bytes) -> Iterator[tuple[str, Any]]:
    """The items of an envelope: after its header, pairs of a header line and a payload."""
    rest = envelope.partition(b"\n")[2]
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        header = json.loads(line)
        length = header.get("length")
        payload, rest = (rest[:length], rest[length + 1 :]) if length is not None else rest.split(b"\n", 1)
        yield header["type"], json.loads(payload)


@contextmanager
def sentry_server() -> Iterator[SentryServer]:
    """A server while this lasts."""
    server = SentryServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
