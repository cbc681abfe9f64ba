"""A TCP proxy between a worker and Redis that can lose a reply, or the whole connection."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType

_EXEC = b"\r\n$4\r\nEXEC\r\n"
_MULTI = b"\r\n$5\r\nMULTI\r\n"


class Proxy:
    """Passes everything on, until told otherwise.

    Args:
        port: The server's port on the loopback address.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._severed = False
        self._marker: bytes | None = None
        self.cuts = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the worker finds it."""
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}"

    def lose_reply_to(self, marker: bytes) -> None:
        """Let the next transaction that contains ``marker`` reach Redis and be applied, and cut before its reply."""
        with self._lock:
            self._marker = marker

    def sever(self) -> None:
        """Cut every connection and accept no new one."""
        with self._lock:
            self._severed = True
            links = list(self._links)
        for link in links:
            link.close()

    def mend(self) -> None:
        """Accept connections again."""
        with self._lock:
            self._severed = False

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sever()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listening.close()
        for link in list(self._links):
            link.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if self._severed:
                    client.close()
                    continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def is_to_be_cut(self, transaction: bytes) -> bool:
        """Whether the reply to this transaction is to be lost; says so once."""
        with self._lock:
            if self._marker is None or self._marker not in transaction:
                return False
            self._marker = None
            return True


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._cutting = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._requests, self._replies)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Cut it; both ends notice."""
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)
        self._client.close()
        self._server.close()

    def _requests(self) -> None:
        sent = b""
        with suppress(OSError):
            while data := self._client.recv(1 << 16):
                sent = (sent + data)[-(1 << 20) :]
                if _EXEC in sent:
                    transaction = sent[max(0, sent.rfind(_MULTI)) : sent.rfind(_EXEC)]
                    self._cutting = self._proxy.is_to_be_cut(transaction)
                    sent = b""
                self._server.sendall(data)
        self.close()

    def _replies(self) -> None:
        withheld = b""
        with suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._cutting:
                    withheld += data
                    # After +OK and +QUEUED for each command comes the reply to EXEC: it has been applied.
                    if b"\r\n*" in b"\r\n" + withheld:
                        self._proxy.cuts += 1
                        break
                    continue
                self._client.sendall(data)
        self.close()
