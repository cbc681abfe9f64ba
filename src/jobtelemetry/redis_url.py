"""URLs in messages, Redis' above all: where Redis is, and never who we are.

A URL may hold a password in more places than one thinks: before the ``@``, in ``?password=``, or, where a ``/``, ``?``,
``#`` or ``@`` in it was not percent-encoded, in what a parser takes for host, port or path. redis-py then has a piece
of it in its own error. So a URL is taken apart here, only what is known to be harmless is shown, and a URL that can
be read in two ways is refused before redis-py sees it. Pure, but for what :func:`remember` remembers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from jobtelemetry.errors import ConfigError

HIDDEN = "***"
SCHEMES = ("redis", "rediss", "unix")

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,20}", re.IGNORECASE)
_PLACE = re.compile(r"([A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%]+\])(:[0-9]{1,5})?")
_BARE_PLACE = re.compile(r"[A-Za-z0-9_.-]+:[0-9]{1,5}")
_DATABASE = re.compile(r"/*[0-9]*/*")
_FILE = re.compile(r"[\w./+-]*")
_HARMLESS = re.compile(r"(db|protocol)=[0-9]|ssl_cert_reqs=(none|optional|required)")
_IN_TEXT = re.compile(r"\b(?:rediss?|unix)://[^\s'\"<>]+", re.IGNORECASE)
_LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]*@[^\s'\"<>]*", re.IGNORECASE)
_SHORTEST = 4  # letters; what is shorter would make holes into every message, and is no password
_MOST = 32

_remembered: list[str] = []


def shown(url: str) -> str:
    """The URL for messages: without user name, password and whatever might be a piece of one.

    Scheme, host, port, database and path stay, where it is certain that they are that. Other URLs may be shown as well.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url if _BARE_PLACE.fullmatch(url) else HIDDEN
    if not _SCHEME.fullmatch(scheme):
        return HIDDEN
    parts = _parts(scheme.lower(), rest)
    return f"{scheme}://{HIDDEN if parts is None else ''.join(parts)}"


def scrub(text: str) -> str:
    """Any text without passwords: those of URLs in it, and those of the URLs that this process connects to."""
    text = _IN_TEXT.sub(lambda found: shown(found[0]), text)
    text = _LOGIN.sub(lambda found: shown(found[0]), text)
    for secret in sorted(_remembered, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def check(url: str) -> None:
    """Refuse a URL that redis-py would refuse with a piece of it in its message, or would read as another one.

    Raises:
        ConfigError: It cannot be used; the message says what to do and has no secret in it.
    """
    if problem := _problem(url):
        raise unusable(url, problem)


def unusable(url: str, problem: str) -> ConfigError:
    """The error to raise about a URL; neither it nor the problem has words of a parser in it."""
    return ConfigError(f"the Redis URL {shown(url)!r} cannot be used: {problem}")


def remember(url: str) -> None:
    """Keep what is secret in a URL, so that :func:`scrub` finds it also where no URL is around it."""
    for secret in _secrets(url):
        if len(secret) >= _SHORTEST and secret not in _remembered:
            _remembered.append(secret)
    del _remembered[:-_MOST]


def _problem(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        return "it must begin with redis://, rediss:// or unix://"
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    encode = "percent-encode / ? # @ and % in its user name and password (urllib.parse.quote(password, safe=''))"
    if "#" in rest or ("@" in path and (scheme.lower() != "unix" or authority)):
        return encode
    if query and not all("=" in word and "@" not in word.partition("=")[0] for word in query.split("&")):
        return f"after '?' come NAME=VALUE pairs with '&' between them; {encode}"
    if scheme.lower() == "unix":
        return "" if path and not authority.rpartition("@")[2] else "it must be unix:///path/of/the/socket"
    place = _PLACE.fullmatch(authority.rpartition("@")[2])
    if place is None or int((place[2] or ":0")[1:]) > 65535:
        return f"after the host comes :PORT, a number up to 65535; or else {encode}"
    return "" if _DATABASE.fullmatch(path) else "after the host comes /NUMBER, the database"


def _parts(scheme: str, rest: str) -> tuple[str, ...] | None:
    """What may be shown of what follows the scheme; ``None`` where it can be read in two ways."""
    head, mark, query = rest.partition("?")
    authority, slash, path = head.partition("/")
    _, at, place = authority.rpartition("@")
    if "#" in rest or "@" in path or "@" in query:
        return None
    form = _DATABASE if scheme in ("redis", "rediss") else _FILE
    if not _PLACE.fullmatch(place) or not form.fullmatch(path):
        return None
    shown_query = "&".join(word if _HARMLESS.fullmatch(word) else _hidden(word) for word in query.split("&"))
    return (f"{HIDDEN}@" if at else "", place, slash, path, mark, shown_query if mark else "")


def _hidden(word: str) -> str:
    name, equals, _ = word.partition("=")
    return f"{name}={HIDDEN}" if equals and name in ("username", "password") else HIDDEN


def _secrets(url: str) -> Iterator[str]:
    rest = url.partition("://")[2]
    login, at, _ = rest.partition("?")[0].rpartition("@")
    if at:
        password = login.partition(":")[2]
        yield from (password, unquote(password))
    for name, value in parse_qsl(rest.partition("?")[2]):
        if name == "password":
            yield value
