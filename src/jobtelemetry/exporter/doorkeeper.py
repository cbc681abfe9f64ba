"""Who may come in and how: the web configuration as it is now, read again when its files change."""

from __future__ import annotations

import logging
import ssl
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jobtelemetry.errors import JobTelemetryError
from jobtelemetry.exporter.app import Request, Response, text
from jobtelemetry.exporter.passwords import BusyError, Passwords
from jobtelemetry.exporter.tls import names_in, server_context
from jobtelemetry.exporter.web_config import WebConfig, load

_LOOK_EVERY = 1.0  # seconds between two looks at the files

logger = logging.getLogger(__name__)


class Doorkeeper:
    """Encrypts connections and asks for passwords, as the file says; without a file neither.

    A file that cannot be used any more is logged once and the last good one stays in force: an exporter must not
    begin to answer without a password because somebody made a mistake in it.

    Args:
        path: The file; ``None`` for none.

    Raises:
        ConfigError: It cannot be used.
        MissingExtraError: What it needs is not installed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._looked = time.monotonic()
        self._passwords = Passwords()
        self._tokens, self._filled = 0.0, time.monotonic()
        self._signature: object = None
        self._config, self._tls = WebConfig(), None
        if path is not None:
            self._config, self._tls = _load(path)
            self._signature = self._look()
            self._tokens = float(self._config.burst)

    @property
    def encrypts(self) -> bool:
        """Whether connections are encrypted."""
        return self._tls is not None

    @property
    def demands(self) -> str:
        """What a client must have, in words: a password, a certificate, both; empty for nothing."""
        tls = self._config.tls
        certificate = "a client certificate" if tls and tls.client_auth_type == "RequireAndVerifyClientCert" else ""
        return " and ".join(filter(None, ("a password" if self._config.users else "", certificate)))

    def tls(self) -> ssl.SSLContext | None:
        """For the next connection."""
        self._keep_up()
        return self._tls

    async def refusal(self, request: Request, stream: Any) -> Response | None:
        """Why a request is not answered; ``None`` where nothing speaks against it."""
        self._keep_up()
        config = self._config
        if not self._has_time(config):
            return text(HTTPStatus.TOO_MANY_REQUESTS, "too many requests", ("Retry-After", "1"))
        if config.tls and (allowed := config.tls.client_allowed_sans):
            certificate = getattr(stream.socket, "getpeercert", lambda: None)()
            if names_in(certificate).isdisjoint(allowed):
                return text(HTTPStatus.FORBIDDEN, "the client's certificate has none of the names that may come in")
        if not config.users:
            return None
        try:
            if await self._passwords.right(config.users, request.headers.get("authorization", "")):
                return None
        except BusyError:
            busy = "too many passwords are being looked at"
            return text(HTTPStatus.SERVICE_UNAVAILABLE, busy, ("Retry-After", "1"))
        challenge = ("WWW-Authenticate", 'Basic realm="jobtelemetry", charset="UTF-8"')
        return text(HTTPStatus.UNAUTHORIZED, "user name and password are needed", challenge)

    def with_headers(self, response: Response) -> Response:
        """The answer with the headers of the configuration, which go before our own."""
        if not self._config.headers:
            return response
        theirs = {name.lower() for name, _ in self._config.headers}
        ours = [(name, value) for name, value in response.headers if name.lower() not in theirs]
        return response._replace(headers=[*ours, *self._config.headers])

    def close(self) -> None:
        """Nobody comes any more."""
        self._passwords.close()

    def _has_time(self, config: WebConfig) -> bool:
        """Takes a token of the bucket, where the requests are limited."""
        if not config.interval:
            return True
        now = time.monotonic()
        self._tokens = min(float(config.burst), self._tokens + (now - self._filled) / config.interval)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _keep_up(self) -> None:
        if self._path is None or time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        signature = self._look()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._config, self._tls = _load(self._path)
        except JobTelemetryError as error:
            logger.error(  # noqa: TRY400 - the message says it all
                "The web configuration changed and cannot be used; the last good one stays: %s", error
            )
        else:
            self._signature = self._look()  # it may name other files now
            logger.info("The web configuration changed and is in force")

    def _look(self) -> object:
        """What changes when one of the files does, also where a link is turned to another file."""
        assert self._path is not None  # noqa: S101 - for the type checker
        return tuple((path, _stamp(path)) for path in (self._path, *self._config.files))


def _load(path: Path) -> tuple[WebConfig, ssl.SSLContext | None]:
    config = load(path)
    return config, server_context(config.tls) if config.tls else None


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
