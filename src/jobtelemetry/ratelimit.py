"""Whether a failure means "come back later": by type first, then by HTTP status, by the user's word, and last by text.

Pure: nothing here does I/O, and no HTTP library is imported; their exceptions are known by their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError

from jobtelemetry.text import attribute

TOO_MANY_REQUESTS = 429
_TEXT = re.compile(r"\brate[ _-]?limit", re.IGNORECASE)
_NAME = re.compile(r"RateLimit|TooManyRequests")
_DEEPEST = 50

#: What a user's own check answers: ``True``, seconds to wait (0 or more), or ``False`` or ``None`` for "not one".
Answer = bool | float | timedelta | None
Check = Callable[[BaseException], Answer]

_checks: list[Check] = []


class RateLimited(Exception):
    """Raise this in a job that met a rate limit: it fails as any other, and Sentry gets a warning, not an error.

    When the job runs again is RQ's to say (``Retry(interval=...)``); ``retry_after`` is for the log and the span.

    Args:
        retry_after: Seconds that the other side asked to wait, or a ``timedelta``; ``None`` if it did not say.
        detail: Free text.
    """

    def __init__(self, retry_after: float | timedelta | None = None, detail: str = "") -> None:
        super().__init__(retry_after, detail)
        self.retry_after = _seconds(retry_after)
        self.detail = str(detail)

    def __str__(self) -> str:
        wait = "" if self.retry_after is None else f", retry after {self.retry_after:g} s"
        return f"rate limited{wait}{': ' if self.detail else ''}{self.detail}"


@dataclass(frozen=True)
class RateLimit:
    """A rate limit that was found.

    Args:
        retry_after: Seconds that the other side asked to wait; ``None`` if it did not say.
    """

    retry_after: float | None = None


def register_rate_limit(check: Check) -> Check:
    """Add a check of your own, for exceptions that neither type nor HTTP status gives away; also a decorator.

    Args:
        check: Gets each exception of the chain; answers whether it is a rate limit, or after how many seconds to
            come back. One that raises counts as "no".
    """
    if check not in _checks:
        _checks.append(check)
    return check


def unregister_rate_limit(check: Check) -> None:
    """Take a check out again; one that is not registered is ignored."""
    with suppress(ValueError):
        _checks.remove(check)


def detect(error: BaseException | None) -> RateLimit | None:
    """Find a rate limit in an exception, what it was raised from, and what it was raised during.

    Args:
        error: The exception that ended an execution.

    Returns:
        The rate limit, or ``None``. Never raises an ``Exception`` or ``SystemExit``.
    """
    if error is None:
        return None
    errors: list[BaseException] = []
    with suppress(Exception):
        errors.extend(_chain(error))
    for find in (_by_type, _by_status, _by_check, _by_text):
        for each in errors:
            with suppress(Exception, SystemExit):  # what is looked at runs code of the error's own
                if found := find(each):
                    return found
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything behind it, nearest first, each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _DEEPEST:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = attribute(each, "exceptions")
        behind = (each.__cause__, each.__context__, *(inside if isinstance(inside, (list, tuple)) else ()))
        waiting.extend(other for other in behind if isinstance(other, BaseException))


def _by_type(error: BaseException) -> RateLimit | None:
    return RateLimit(_seconds(error.retry_after)) if isinstance(error, RateLimited) else None


def _by_status(error: BaseException) -> RateLimit | None:
    """HTTP 429 as requests and httpx (on the response), aiohttp (``status``) and urllib (``code``) have it."""
    response = getattr(error, "response", None)
    if _is_429(response, "status_code") or _is_429(response, "status"):
        return RateLimit(_retry_after(getattr(response, "headers", None)))
    if (
        _is_429(error, "status_code")
        or _is_429(error, "status")
        or (isinstance(error, HTTPError) and error.code == TOO_MANY_REQUESTS)
    ):
        headers = getattr(error, "headers", None)
        return RateLimit(_retry_after(headers))
    return None


def _by_check(error: BaseException) -> RateLimit | None:
    for check in _checks:
        with suppress(Exception):
            answer = check(error)
            if answer is not None and answer is not False:
                return RateLimit(None if answer is True else _seconds(answer))
    return None


def _by_text(error: BaseException) -> RateLimit | None:
    return RateLimit() if _NAME.search(type(error).__name__) or _TEXT.search(str(error)) else None


def _is_429(owner: object, attribute: str) -> bool:
    with suppress(Exception):
        return bool(getattr(owner, attribute, None) == TOO_MANY_REQUESTS)
    return False


def _retry_after(headers: Any) -> float | None:
    """The header ``Retry-After``, in seconds or as a date (RFC 9110, 10.2.3), as seconds from now."""
    with suppress(Exception):
        text = str(headers.get("Retry-After") or headers.get("retry-after") or "").strip()
        if text.isascii() and text.isdigit():
            return _seconds(float(text))  # of enough digits it is infinite
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    return None


def _seconds(wait: float | timedelta | None) -> float | None:
    if wait is None or isinstance(wait, bool):
        return None
    with suppress(TypeError, ValueError):
        seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
        return seconds if 0 <= seconds < float("inf") else None
    return None
