"""What the exporter answers to HTTP requests, as a WSGI application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, make_wsgi_app

from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.pages.frame import CONTENT_SECURITY_POLICY
from jobtelemetry.exporter.reading import explain
from jobtelemetry.exporter.site import HTML, Answer, Site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)


class Response(NamedTuple):
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class App:
    """Routes ``/metrics``, ``/healthz``, ``/readyz`` and what the site has; else 404, for other methods 405.

    Args:
        collector: Where the numbers come from.
        ping: Returns if Redis answers, raises if not; must be bounded in time.
        site: The pages for people and the JSON beside them.
    """

    def __init__(self, collector: Collector, ping: Callable[[], object], site: Site) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self._prometheus = make_wsgi_app(registry)
        self._ping, self._site = ping, site
        self._routes: dict[str, Callable[[WSGIEnvironment], Response]] = {
            "/metrics": self._metrics,
            "/healthz": lambda environ: _text("200 OK", "ok"),
            "/readyz": self._ready,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """One request, as WSGI defines it."""
        response = self._respond(environ)
        common = [("Content-Length", str(len(response.body))), ("Cache-Control", "no-store")]
        start_response(response.status, [*response.headers, *common, ("X-Content-Type-Options", "nosniff")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: WSGIEnvironment) -> Response:
        path = environ.get("PATH_INFO", "")
        route = self._routes.get(path.rstrip("/"))
        if route is None and (shown := self._site.route(path, environ.get("QUERY_STRING", ""))) is not None:
            route = lambda environ: _shown(shown())  # noqa: E731 - a route like the others
        if route is None:
            return _text("404 Not Found", f"nothing here; there is {', '.join((*self._site.places, *self._routes))}")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _text("405 Method Not Allowed", "only GET and HEAD", ("Allow", "GET, HEAD"))
        try:
            return route(environ)
        except Exception:
            logger.exception("Request failed", extra={"path": environ.get("PATH_INFO")})
            return _text("500 Internal Server Error", "an error inside jobtelemetry; its log says more")

    def _metrics(self, environ: WSGIEnvironment) -> Response:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        body = b"".join(self._prometheus({**environ, "REQUEST_METHOD": "GET"}, start_response))
        status, headers = started[0]
        return Response(status, [*headers, ("Vary", "Accept, Accept-Encoding")], body)

    def _ready(self, environ: WSGIEnvironment) -> Response:
        try:
            self._ping()
        except Exception as error:  # noqa: BLE001 - whatever keeps Redis from answering
            return _text("503 Service Unavailable", f"Redis does not answer: {explain(error)}")
        return _text("200 OK", "ok")


def _text(status: str, body: str, *headers: tuple[str, str]) -> Response:
    return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{body}\n".encode())


def _shown(answer: Answer) -> Response:
    headers = [("Content-Type", answer.kind), ("Referrer-Policy", "no-referrer")]
    if answer.kind == HTML:
        headers.append(("Content-Security-Policy", CONTENT_SECURITY_POLICY))
    return Response(answer.status, headers, answer.text.encode("utf-8", "replace"))
