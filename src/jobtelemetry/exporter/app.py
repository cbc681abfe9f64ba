"""What is answered to an HTTP request, whoever received it. No sockets here, and no framework."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, Metric

from jobtelemetry.exporter import negotiation
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.exposition import Exposition
from jobtelemetry.exporter.packing import LEVEL
from jobtelemetry.exporter.pages.frame import CONTENT_SECURITY_POLICY
from jobtelemetry.exporter.reading import explain
from jobtelemetry.exporter.site import HTML, Answer, Site

_LEAST_PACKED = 512  # bytes; packing what is smaller saves nothing
_PACKED = ("Content-Encoding", "gzip")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What matters of a request.

    Args:
        method: In capitals.
        path: Decoded, below the mount point; empty if it is the mount point itself, without a slash.
        query: As it came, without ``?``.
        headers: Names in lower case.
        root: The mount point, without a slash at its end; empty at the top.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    root: str = ""


class Response(NamedTuple):
    """Status, headers and body; the body is there for ``HEAD`` as well, whose answer has its length."""

    status: HTTPStatus
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
        self._collector = collector
        self._exposition = Exposition(collector.cardinality)
        self._ping = ping
        self.site = site
        self._routes: dict[str, Callable[[Request], Response]] = {
            "/metrics": self._metrics,
            "/healthz": lambda request: text(HTTPStatus.OK, "ok"),
            "/readyz": self._ready,
        }

    @property
    def collector(self) -> Collector:
        """Where the numbers come from."""
        return self._collector

    def respond(self, request: Request) -> Response:
        """The answer; takes as long as Redis takes, within the time limits, and never raises."""
        return complete(self._answer(request), request)

    @staticmethod
    def is_quick(request: Request) -> bool:
        """Whether the answer waits for nobody, so that it needs no thread."""
        return request.method not in ("GET", "HEAD") or request.path.rstrip("/") == "/healthz"

    def _answer(self, request: Request) -> Response:
        route = self._routes.get(request.path.rstrip("/")) or self._of_site(request)
        if route is None:
            places = ", ".join((*self.site.places, *self._routes))
            return text(HTTPStatus.NOT_FOUND, f"nothing here; there is {places}")
        if request.method not in ("GET", "HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow", "GET, HEAD"))
        if not request.path and request.root:  # links on the page are relative, so the slash matters
            here = ("Location", f"{request.root.rpartition('/')[2]}/")
            return text(HTTPStatus.PERMANENT_REDIRECT, "the page has a slash at its end", here)
        try:
            return route(request)
        except Exception:
            logger.exception("Request failed", extra={"path": request.path})
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, "an error inside jobtelemetry; its log says more")

    def _metrics(self, request: Request) -> Response:
        within = negotiation.scrape_time(request.headers.get("x-prometheus-scrape-timeout-seconds", ""))
        chosen = negotiation.choose_format(request.headers.get("accept", ""))
        headers = [("Content-Type", chosen.content_type), ("Vary", "Accept, Accept-Encoding")]
        if names := parse_qs(request.query).get("name[]"):
            registry = CollectorRegistry()
            registry.register(_OneScrape(self._collector, within))
            # A restricted registry is one in all but name.
            body = chosen.render(registry.restricted_registry(names))  # type: ignore[arg-type]
        else:
            render = self._exposition.render
            if _wants_gzip(request):
                render = self._exposition.render_packed
                headers.append(_PACKED)
            body = render(*self._collector.look(within), openmetrics=chosen is negotiation.OPENMETRICS)
        return Response(HTTPStatus.OK, headers, body)

    def _of_site(self, request: Request) -> Callable[[Request], Response] | None:
        shown = self.site.route(request.path, request.query)
        return None if shown is None else lambda request: _shown(shown())

    def _ready(self, request: Request) -> Response:
        try:
            self._ping()
        except Exception as error:  # noqa: BLE001 - whatever keeps Redis from answering
            return text(HTTPStatus.SERVICE_UNAVAILABLE, f"Redis does not answer: {explain(error)}")
        reconciler = self._collector.reconciler
        if reconciler is not None and reconciler.problem:  # what is read is right, so who asks may send requests
            return text(HTTPStatus.OK, f"ok to read; {reconciler.problem}")
        return text(HTTPStatus.OK, "ok")


class _OneScrape:
    """A collector for one scrape, which knows how long that can wait."""

    def __init__(self, collector: Collector, within: float | None) -> None:
        self._collector = collector
        self._within = within

    def describe(self) -> Iterator[Metric]:
        return self._collector.describe()

    def collect(self) -> Iterator[Metric]:
        return self._collector.collect_within(self._within)


def _shown(answer: Answer) -> Response:
    headers = [("Content-Type", answer.kind), ("Referrer-Policy", "no-referrer"), ("Vary", "Accept-Encoding")]
    if answer.kind == HTML:
        headers.append(("Content-Security-Policy", CONTENT_SECURITY_POLICY))
    return Response(answer.status, headers, answer.text.encode("utf-8", "replace"))


def text(status: HTTPStatus, body: str, *headers: tuple[str, str]) -> Response:
    """One line for people, as an answer."""
    return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{body}\n".encode())


def _wants_gzip(request: Request) -> bool:
    return negotiation.gzip_is_welcome(request.headers.get("accept-encoding", ""))


def complete(response: Response, request: Request) -> Response:
    """The answer as it goes out: packed where that is welcome and worth it, with the headers that all have."""
    status, headers, body = response
    if len(body) >= _LEAST_PACKED and _PACKED not in headers and _wants_gzip(request):
        body, headers = gzip.compress(body, LEVEL, mtime=0), [*headers, _PACKED]
    common = [("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    return Response(status, [*headers, *common, ("X-Content-Type-Options", "nosniff")], body)
