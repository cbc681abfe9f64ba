"""Receivers on free ports of the loopback address: of HTTP, and of OTLP over gRPC."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Receiver:
    """Takes every POST until :meth:`close`, and has nothing for a GET.

    Args:
        answer: Called with path and body; its answer is the status. It may wait.
    """

    def __init__(self, answer: Callable[[str, bytes], int]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._say(answer(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._say(200)

            def _say(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a sender that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def grpc_receiver(folder: Path) -> Iterator[str]:
    """The endpoint of a :mod:`support.grpc_receiver` that writes into this folder.

    It is a process of its own: gRPC's threads would be in every process that the tests fork.
    """
    command = [sys.executable, "-m", "support.grpc_receiver", folder]
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=60)
    assert process.returncode == 0
