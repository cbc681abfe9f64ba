"""The exporter inside a web application that is there already: WSGI or ASGI, at the top or below a mount point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from jobtelemetry.config import Config
from jobtelemetry.exporter.app import App, Request, Response
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.front import Front
from jobtelemetry.exporter.reading import TIME_LIMIT, TimeLimited
from jobtelemetry.exporter.reconciling import Reconciler
from jobtelemetry.exporter.site import Site
from jobtelemetry.exporter.sources import Given, sources

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

#: An ASGI 3 application.
ASGIApplication = Callable[[_Message, _Receive, _Send], Awaitable[None]]


def make_app(given: Given, config: Config, reconciler: Reconciler | Mapping[str, Reconciler] | None = None) -> App:
    """What answers, from a connection, a URL, the URL of the settings, or several; connects with the first request."""
    found = {source.name: source.connection for source in sources(given, config)}
    collector = Collector(found if isinstance(given, Mapping) else found[""], config, reconciler=reconciler)
    pings = {name: TimeLimited(connection.ping, TIME_LIMIT) for name, connection in found.items()}
    sites = {
        server.name: Site(found[server.name], config, server.reader, server.reconciler, server.name)
        for server in collector.servers
    }
    return App(collector, pings, Front(sites) if isinstance(given, Mapping) else sites[""])


def wsgi_app(connection: Given = None, config: Config | None = None) -> WSGIApplication:
    """The exporter as a WSGI application: ``/metrics``, the page at ``/``, ``/healthz`` and ``/readyz``.

    Mount it where only those who may see it come by: it asks for no password. It does no I/O before the first request
    and may be made before a server forks. The reconciler does not run in it; run ``jobtelemetry exporter`` once for
    that, or rely on the workers' own.

    Args:
        connection: RQ's Redis, or its URL, or several of either by name; the one of ``config`` by default.
        config: The settings; read from the environment by default.

    Raises:
        ConfigError: The URL cannot be used, or a variable has no usable value.
    """
    app = make_app(connection, config or Config.from_env())

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app.respond(_from_environ(environ))
        start_response(f"{response.status.value} {response.status.phrase}", response.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    return application


def asgi_app(connection: Given = None, config: Config | None = None) -> ASGIApplication:
    """The same as :func:`wsgi_app` for ASGI servers; Redis is read in a thread, so the event loop never waits.

    Args:
        connection: RQ's Redis, or its URL, or several of either by name; the one of ``config`` by default.
        config: The settings; read from the environment by default.

    Raises:
        ConfigError: The URL cannot be used, or a variable has no usable value.
    """
    app = make_app(connection, config or Config.from_env())

    async def application(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            request = _from_scope(scope)
            response = app.respond(request) if app.is_quick(request) else await asyncio.to_thread(app.respond, request)
            await _send_response(send, response, with_body=request.method != "HEAD")

    return application


def _from_environ(environ: WSGIEnvironment) -> Request:
    headers = {key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key[:5] == "HTTP_"}
    root = str(environ.get("SCRIPT_NAME", "")).rstrip("/")
    path = str(environ.get("PATH_INFO", ""))
    return Request(environ["REQUEST_METHOD"], path, str(environ.get("QUERY_STRING", "")), headers, root)


def _from_scope(scope: _Message) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
    root, path = str(scope.get("root_path", "")).rstrip("/"), str(scope["path"])
    if root and (path == root or path.startswith(f"{root}/")):  # ASGI has the mount point in the path; some do not
        path = path[len(root) :]
    return Request(scope["method"], path, scope.get("query_string", b"").decode("latin-1"), headers, root)


async def _send_response(send: _Send, response: Response, *, with_body: bool) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})


async def _live(receive: _Receive, send: _Send) -> None:
    """Nothing has to be started or ended; a server wants to hear it."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
