"""The exporter inside another web application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

import jobtelemetry
from jobtelemetry.demo.server import EmbeddedServer


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


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
@pytest.mark.parametrize("root", ["", "/admin/jobs"])
def test_it_serves_the_same_below_a_mount_point(redis_server: EmbeddedServer, ask: Callable, root: str) -> None:
    """Metrics, page and health are there, at the top and below."""
    make = jobtelemetry.wsgi_app if ask is ask_wsgi else jobtelemetry.asgi_app
    application = make(redis_server.connection(), jobtelemetry.Config())
    answers = [ask(application, path, root) for path in ("/metrics", "/", "/healthz", "/readyz", "/nothing")]
    assert [str(status)[:3] for status, _, _ in answers] == ["200", "200", "200", "200", "404"]
    assert "\njobtelemetry_up 1.0\n" in answers[0][2]
    assert "<title>" in answers[1][2]
    assert str(ask(application, "/metrics", root, "POST")[0])[:3] == "405"
    assert ask(application, "/metrics", root, "HEAD")[2] == ""


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
def test_the_mount_point_without_a_slash_leads_to_the_page(nobody: str, ask: Callable) -> None:
    """Links on the page are relative, so a browser is sent to where they are right, behind any proxy."""
    make = jobtelemetry.wsgi_app if ask is ask_wsgi else jobtelemetry.asgi_app
    status, headers, _ = ask(make(nobody, jobtelemetry.Config()), "", "/admin/jobs")
    assert str(status)[:3] == "308"
    assert {name.lower(): value for name, value in headers.items()}["location"] == "jobs/"


def test_an_asgi_server_may_start_and_end_it(nobody: str) -> None:
    """The lifespan protocol is answered."""
    sent: list[Any] = []

    async def live() -> None:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await jobtelemetry.asgi_app(nobody, jobtelemetry.Config())({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
