"""Which Redis servers an exporter reads: ``--redis-url``, also several times, a file with their names, or the one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import redis

from jobtelemetry.cli import rq_settings
from jobtelemetry.cli.connecting import client
from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.connection import SOCKET_TIMEOUT, connect
from jobtelemetry.exporter.sources import check_names, check_prefixes
from jobtelemetry.redis_url import shown
from jobtelemetry.settings import otherwise

F = TypeVar("F", bound=Callable[..., Any])

#: A URL has ``://`` before any ``=``, so what stands before this one is a name.
_NAMED = re.compile(r"\s*([^=:/?@]*?)\s*=\s*(.*?)(?:\s+key_prefix=(.*?))?\s*", re.DOTALL)
_SETTINGS = "config:"
_PREFIXED = "eu=redis://eu.example:6379/0 key_prefix=shop"


class _Given(NamedTuple):
    """What somebody wrote of one server; the prefix is ``None`` where he wrote none."""

    name: str
    where: str
    key_prefix: str | None


class Server(NamedTuple):
    """One server.

    Args:
        name: Its name; empty where there is one without a name.
        place: Where it is, without a password.
        connection: A client that gives up soon.
        key_prefix: RQ's key prefix there; ``None`` where the settings say it.
    """

    name: str
    place: str
    connection: redis.Redis
    key_prefix: str | None = None

    def __str__(self) -> str:
        place = self.place if self.key_prefix is None else f"{self.place} under {self.key_prefix}"
        return f"{self.name}: {place}" if self.name else place


def options(function: F) -> F:
    """``--redis-url``, which may be given more than once, and ``--redis-servers-file``."""
    function = click.option(
        "--redis-servers-file",
        metavar="PATH",
        help="File with a line NAME=URL for each of several Redis servers, so that no password stands in the command; "
        "key_prefix=PREFIX may follow, and # begins a comment. "
        + otherwise(Config, "redis_servers_file").replace(" or .", " or none."),
    )(function)
    return click.option(
        "--redis-url",
        "-u",
        "redis_urls",
        metavar="[NAME=]URL[ key_prefix=PREFIX]",
        multiple=True,
        help="RQ's Redis: redis://, rediss:// or unix://. More than once with a name for each, such as "
        "eu=redis://eu.example:6379/0; a server that RQ's settings file says is NAME=config:MODULE. "
        f"One with a key prefix of its own: '{_PREFIXED}'. " + otherwise(Config, "redis_url"),
    )(function)


def chosen(config: Config, redis_urls: tuple[str, ...], file: str | None) -> tuple[Server, ...]:
    """The servers that the options say, else the settings. It connects to none of them.

    Args:
        config: The settings.
        redis_urls: ``--redis-url``, as often as it was given.
        file: ``--redis-servers-file``.

    Raises:
        ConfigError: They contradict each other, or one cannot be used. The message has no password in it.
    """
    if redis_urls and file:
        raise ConfigError("give either --redis-url or --redis-servers-file, and not both")
    if not redis_urls and (file := file or config.redis_servers_file):
        return _named(_lines(file), config)
    if len(redis_urls) > 1 or any(map(_name, redis_urls)):
        return _named(_options(redis_urls), config)
    return (_only(config, redis_urls[0] if redis_urls else None),)


def with_prefixes(config: Config, servers: Iterable[Server]) -> Config:
    """The settings with the key prefixes that stand with the servers, which go before those of the variable.

    Raises:
        ConfigError: The variable has one for a server that is not there.
    """
    named = {one.name: one.key_prefix for one in servers if one.name}
    if not named:
        return config
    check_prefixes(named, config)
    given = {name: prefix for name, prefix in named.items() if prefix is not None}
    return config.with_overrides(key_prefixes=tuple((dict(config.key_prefixes) | given).items()))


def _only(config: Config, redis_url: str | None) -> Server:
    if redis_url and " key_prefix=" in redis_url:
        raise ConfigError("a key prefix stands with a Redis server that has a name; for the only one set RQ_KEY_PREFIX")
    config = config.with_overrides(redis_url=redis_url)
    connection = client(config, redis_url, connect_timeout=SOCKET_TIMEOUT, reply_timeout=SOCKET_TIMEOUT)
    named = rq_settings.module(redis_url)
    return Server("", f"Redis of {named}" if named else f"Redis at {shown(config.redis_url)}", connection)


def _name(text: str) -> str | None:
    found = _NAMED.fullmatch(text)
    return None if found is None else found[1]


def _options(redis_urls: Iterable[str]) -> Iterator[_Given]:
    for text in redis_urls:
        found = _NAMED.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"where there are several Redis servers each --redis-url has a name, NAME=URL; got {shown(text)!r}"
            )
        yield _Given(found[1], found[2], found[3])


def _lines(path: str) -> Iterator[_Given]:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"the file of Redis servers {path!r} cannot be read: {said}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _NAMED.fullmatch(line)
        if found is None:  # and not what stands there: a URL has a password in it
            raise ConfigError(f"line {number} of {path!r} must be NAME=URL, such as eu=redis://eu.example:6379/0")
        yield _Given(found[1], found[2], found[3])


def _named(given: Iterable[_Given], config: Config) -> tuple[Server, ...]:
    servers: dict[str, Server] = {}
    names_of: dict[tuple[str, str], str] = {}
    for one in given:
        name, where, prefix = one
        check_names([name])
        if name in servers:
            raise ConfigError(f"two Redis servers have the name {name!r}; give each a name of its own")
        place = where, config.of_redis(name).key_prefix if prefix is None else prefix
        if place in names_of:
            # Whatever is summed over servers would count it twice.
            raise ConfigError(
                f"{names_of[place]!r} and {name!r} are the same Redis; name it once, or with different key_prefix"
            )
        names_of[place] = name
        servers[name] = _server(one)
    if not servers:
        raise ConfigError("there is no Redis server in the file; expected a line NAME=URL for each")
    return tuple(servers.values())


def _server(given: _Given) -> Server:
    name, where, prefix = given
    if re.search(r"\s", where):  # and not what stands there: it may be a part of a password
        raise ConfigError(
            f"Redis {name}: after the URL nothing can stand but key_prefix=PREFIX, such as {_PREFIXED!r}; a space in a "
            "URL is %20"
        )
    try:
        Config(key_prefixes=() if prefix is None else ((name, prefix),))
    except ConfigError:
        form = "letters, digits, '_', '.', ':', '-', '{' and '}'"
        raise ConfigError(f"Redis {name}: key_prefix must be {form}, got {prefix!r}") from None
    if where.startswith(_SETTINGS):
        module = where.removeprefix(_SETTINGS)
        connection = rq_settings.connection(module, connect_timeout=SOCKET_TIMEOUT, reply_timeout=SOCKET_TIMEOUT)
        return Server(name, f"Redis of {module}", connection, prefix)
    try:
        return Server(name, f"Redis at {shown(where)}", connect(where), prefix)
    except ConfigError as error:
        raise ConfigError(f"Redis {name}: {error}") from None
