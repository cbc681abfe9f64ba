"""Where no network namespace is permitted: connections to ``localhost:6379`` go to the pass's own server instead.

On ``PYTHONPATH``, so that every Python that RQ's tests start does it as well.
"""

from __future__ import annotations

import os
import socket
from typing import Any

_PORT = int(os.environ["JOBTELEMETRY_TESTS_REDIS_PORT"])
_connect = socket.socket.connect


def _redirecting(self: socket.socket, address: Any) -> None:
    if isinstance(address, tuple) and address[1] == 6379 and address[0] in ("localhost", "127.0.0.1", "::1"):
        address = (address[0], _PORT, *address[2:])
    _connect(self, address)


socket.socket.connect = _redirecting  # type: ignore[method-assign]
