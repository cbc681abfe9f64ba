"""What stands before the sites where one exporter reads several Redis servers: which there are, and how each is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from jobtelemetry.exporter import api
from jobtelemetry.exporter.pages import servers
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.site import HTML, JSON, Answer, Site, page
from jobtelemetry.exporter.verdict import audit


class Front:
    """Every site is below ``/redis/NAME/``, and what is above leads there.

    Args:
        sites: By the name of the Redis server.
    """

    def __init__(self, sites: Mapping[str, Site]) -> None:
        self._sites = sites

    @property
    def places(self) -> tuple[str, ...]:
        """Where there is something to see."""
        return ("/", *(f"/redis/{name}/" for name in self._sites), "/api/v1")

    @property
    def backgrounds(self) -> tuple[Callable[[threading.Event], None], ...]:
        """What runs beside the serving, each in a thread of its own."""
        return tuple(site.background for site in self._sites.values())

    def route(self, path: str, query: str = "") -> Callable[[], Answer] | None:
        """What answers for a path; ``None`` if nothing is there.

        Args:
            path: Unquoted, as WSGI has it or as text.
            query: What stands behind the question mark.
        """
        if not path.strip("/"):
            return lambda: page(servers.render(time.time(), self._looks()))
        if path.rstrip("/") == "/api/v1":
            return self._api
        if path.startswith("/api/v1/"):
            return lambda: _answer(HTTPStatus.NOT_FOUND, {"error": f"ask below one of {', '.join(self._apis())}"})
        _, _, below = path.partition("/redis/")
        name, slash, rest = below.partition("/")
        if not path.startswith("/redis/") or name not in self._sites:
            return None
        if not slash:  # links on its pages are relative, so the slash matters
            return lambda: Answer(HTTPStatus.PERMANENT_REDIRECT, HTML, "the page has a slash at its end", f"{name}/")
        return self._sites[name].route(f"/{rest}", query)

    def _looks(self) -> dict[str, Look]:
        """A look at every server; all are asked at once."""
        asked = [(name, site.ask()) for name, site in self._sites.items()]
        return {name: look() for name, look in asked}

    def _apis(self) -> list[str]:
        return [f"/redis/{name}/api/v1" for name in self._sites]

    def _api(self) -> Answer:
        looks = self._looks()
        told = {name: {"api": f"/redis/{name}/api/v1", **_told(look)} for name, look in looks.items()}
        return _answer(HTTPStatus.OK, {"version": 1, "servers": told})


def _told(look: Look) -> dict[str, Any]:
    known = look.snapshot is not None and not look.error
    return {
        "up": not look.error,
        "error": look.error or None,
        "taken_at": look.snapshot.taken_at if look.snapshot else None,
        "jobs": look.trouble().level.value if known else None,
        "telemetry": audit(look.snapshot).level.value if known and look.snapshot else None,
    }


def _answer(status: HTTPStatus, body: api.Body) -> Answer:
    return Answer(status, JSON, api.dumps(body))
