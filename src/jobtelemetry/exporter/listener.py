"""Tornado's HTTP/1.1 behind a door of our own: who may come in, for how long, and what happens when it is full.

Tornado parses, frames and encrypts. What it has no answer for is here: accepting where the process may open no more
files, a bound on connections that keeps slow clients from shutting others out, and one time for a whole request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado import httputil
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from jobtelemetry.exporter.app import Request, Response
from jobtelemetry.exporter.clients import LIMITS, Client, Clients, Phase, affordable
from jobtelemetry.exporter.doorkeeper import Doorkeeper

_MOST_HEADERS = 16 * 1024
_MOST_BODY = 16 * 1024  # bytes; no request needs one
_MOST_READ = 64 * 1024
_AT_ONCE = 32  # connections accepted before others get a turn
_FEW = 8  # connections that nobody would call a crowd
_PAUSE = 0.2  # seconds without accepting where there is no room
_QUIET = 60.0  # seconds between two log lines about the same
_DRAIN = 100  # hundredths of a second that answers under way are given at the end

logger = logging.getLogger(__name__)

#: Answers a request; is told who asks, for the names in a client's certificate.
Answer = Callable[[Request, Any], Awaitable[Response]]


class Listener(httputil.HTTPServerConnectionDelegate):
    """Accepts connections, and answers every request on each.

    Args:
        listening: The socket, bound and not blocking.
        doorkeeper: Says whether and how connections are encrypted.
        answer: Makes the answers.
    """

    def __init__(self, listening: socket.socket, doorkeeper: Doorkeeper, answer: Answer) -> None:
        self._listening = listening
        self._doorkeeper = doorkeeper
        self._answer = answer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=_MOST_HEADERS,
            max_body_size=_MOST_BODY,
            header_timeout=2 * max(LIMITS.values()),  # ours are shorter
            body_timeout=LIMITS[Phase.SPEAKING],
        )
        self._said = dict.fromkeys(("full", "exhausted", "inside"), float("-inf"))
        self.clients = Clients(0)

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until told to stop; then let answers under way be taken, for a moment."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._note_fault)
        self.clients = Clients(affordable())
        quiet = _Quiet()
        for name in ("tornado.general", "tornado.application"):
            logging.getLogger(name).addFilter(quiet)
        self._resume()
        try:
            await stop.wait()
        finally:
            self._ended = True
            self._pause()
            for _ in range(_DRAIN):
                if not self.clients.waiting:
                    break
                await asyncio.sleep(0.01)
            self.clients.hang_up_on_all()
            await asyncio.sleep(0)
            for name in ("tornado.general", "tornado.application"):
                logging.getLogger(name).removeFilter(quiet)

    # -- accepting

    def _resume(self) -> None:
        if self._loop is not None and not self._accepting and not self._ended:
            self._accepting = True
            self._loop.add_reader(self._listening, self._accept)

    def _pause(self, seconds: float | None = None) -> None:
        """Leave newcomers to the kernel's queue; without a time, for ever."""
        assert self._loop is not None  # noqa: S101 - for the type checker
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listening)
        if seconds is not None:
            self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if len(self.clients) >= self.clients.most and not self._make_room():
                self._pause(_PAUSE)
                return
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files, or no memory: trying again at once would only burn a processor
                self._say("exhausted", "Cannot accept connections for now: %s", error.strerror or error)
                if len(self.clients) > _FEW:  # else it is not they who have them
                    self.clients.hang_up_on_one()
                self._pause(_PAUSE)
                return
            try:
                self._take(connection, address)
            except OSError:  # it went away in the same moment
                connection.close()

    def _make_room(self) -> bool:
        self._say("full", "All %d connections are taken; the slowest and the idle are hung up on", self.clients.most)
        return self.clients.hang_up_on_one()

    def _take(self, connection: socket.socket, address: Any) -> None:
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (tls := self._doorkeeper.tls()) is None:
            stream: IOStream = _Stream(connection, max_buffer_size=_MOST_READ)
        else:
            wrapped = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            stream = _TLSStream(wrapped, ssl_options=tls, max_buffer_size=_MOST_READ)
        client = Client(stream.close, str(address[0]) if isinstance(address, tuple) else "")
        stream.client = client  # type: ignore[attr-defined]
        self.clients.add(client)
        HTTP1ServerConnection(stream, self._parameters, str(address)).start_serving(self)

    # -- Tornado tells

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """A connection is ready for a request, its first or the next."""
        client: Client = server_conn.stream.client  # type: ignore[attr-defined]
        if client.phase is not Phase.NEW:
            client.enter(Phase.IDLE)
        return _Message(self, client, request_conn)

    def on_close(self, server_conn: object) -> None:
        """A connection is closed."""
        self.clients.remove(server_conn.stream.client)  # type: ignore[attr-defined]
        self._resume()

    def begin(self, exchange: Any) -> None:
        """Answer one request; called when the whole of it is there."""
        task = asyncio.get_running_loop().create_task(exchange)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def exchange(self, message: _Message) -> None:
        """Make the answer and hand it to Tornado."""
        client, connection = message.client, message.connection
        client.enter(Phase.ANSWERED)
        response = await self._answer(message.request(), connection.stream)
        if connection.stream.closed():
            return
        headers = httputil.HTTPHeaders()
        for name, value in [*response.headers, ("Date", formatdate(usegmt=True)), ("Server", "jobtelemetry")]:
            headers.add(name, value)
        body = b"" if message.method == "HEAD" else response.body
        client.answered += 1
        client.enter(Phase.TAKING, len(body))
        start = httputil.ResponseStartLine("HTTP/1.1", response.status.value, response.status.phrase)
        try:
            written = connection.write_headers(start, headers, body or None)
            connection.finish()
            await written
        except StreamClosedError:
            return

    # -- what is said about all this

    def _say(self, kind: str, message: str, *arguments: object) -> None:
        """One line, and then none about the same for a while: strangers must not be able to fill the log."""
        if time.monotonic() - self._said[kind] > _QUIET:
            self._said[kind] = time.monotonic()
            logger.warning(message, *arguments, extra={"connections": len(self.clients)})

    def _note_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if time.monotonic() - self._said["inside"] > _QUIET:
            self._said["inside"] = time.monotonic()
            logger.error("A connection failed: %s", context.get("message"), exc_info=context.get("exception"))


class _Message(httputil.HTTPMessageDelegate):
    """One request as it comes in; what is in its body is nobody's business."""

    def __init__(self, listener: Listener, client: Client, connection: Any) -> None:
        self._listener = listener
        self.client = client
        self.connection: HTTP1Connection = connection
        self.method = ""
        self._target = ""
        self._headers: dict[str, str] = {}

    def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        self.method, self._target = start_line.method, start_line.path
        self._headers = {name.lower(): value for name, value in headers.items()}

    def finish(self) -> None:
        self._listener.begin(self._listener.exchange(self))

    def request(self) -> Request:
        target = self._target
        if not target.startswith("/"):  # the absolute form, as a proxy is asked
            try:
                parts = urlsplit(target)
            except ValueError:
                return Request(self.method, target, "", self._headers)
            target = f"{parts.path or '/'}?{parts.query}" if parts.scheme in ("http", "https") else target
        path, _, query = target.partition("#")[0].partition("?")
        return Request(self.method, unquote(path), query, self._headers)


class _Stream(IOStream):
    client: Client

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        try:
            size = super().read_from_fd(buf)
        finally:
            del buf  # Tornado reuses it, and a second reference would keep it from being resized
        if size:
            self.client.heard()
        return size


class _TLSStream(SSLIOStream):
    client: Client

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        try:
            size = super().read_from_fd(buf)
        finally:
            del buf
        if size:
            self.client.heard()
        return size


class _Quiet(logging.Filter):
    """Tornado has a line for every client that speaks no HTTP or no TLS; here only its own errors are news."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or time.monotonic() - self._last < _QUIET:
            return False
        self._last = time.monotonic()
        return True
