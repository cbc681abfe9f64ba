"""One request to an application that is mounted, as its server would make it."""

from __future__ import annotations

import asyncio
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


def ask_wsgi(application: Any, path: str, root: str = "", method: str = "GET", **headers: str) -> tuple[str, dict, str]:
    """One request under the rules that wsgiref's validator enforces."""
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": root, "PATH_INFO": path, "QUERY_STRING": ""}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    setup_testing_defaults(environ)
    said: list[Any] = []
    parts = validator(application)(environ, lambda status, headers, *_: said.extend((status, dict(headers))))
    body = b"".join(parts).decode()
    parts.close()
    return said[0], said[1], body


def ask_asgi(application: Any, path: str, root: str = "", method: str = "GET") -> tuple[int, dict, str]:
    """One request as an ASGI server would send it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": root + path, "root_path": root, "query_string": b""}
    asyncio.run(application({**scope, "headers": [(b"Accept", b"*/*")]}, None, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"].decode()
