"""A local receiver of spans and of errors, in a process of its own: one that answers, hangs or is not there."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Accepting(BaseHTTPRequestHandler):
    """Reads what is sent and says yes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One export or envelope."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close_connection = True
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing: stderr is for people."""


@contextlib.contextmanager
def receivers() -> Iterator[dict[str, str]]:
    """The addresses of the receivers by how they behave: ``answers``, ``hangs``, ``refuses``."""
    with contextlib.ExitStack() as stack:
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))  # never accepts
        with socket.create_server(("127.0.0.1", 0)) as free:
            refusing = free.getsockname()[1]
        context = multiprocessing.get_context("fork")
        ours, its = context.Pipe()
        process = context.Process(target=_serve, args=(its,), daemon=True)
        process.start()
        stack.callback(process.join)
        stack.callback(process.terminate)
        ports = {"answers": ours.recv(), "hangs": hanging.getsockname()[1], "refuses": refusing}
        yield {name: f"127.0.0.1:{port}" for name, port in ports.items()}


def _serve(pipe: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepting)
    pipe.send(server.server_address[1])
    server.serve_forever()
