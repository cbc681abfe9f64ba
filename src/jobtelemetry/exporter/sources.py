"""The Redis servers that one exporter reads: mostly the one that needs no name, or several, each with its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import redis

from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.connection import connection_of

T = TypeVar("T")

#: What a caller may give: a connection, a URL, nothing but the settings, or several by name.
Given = redis.Redis | str | Mapping[str, redis.Redis] | Mapping[str, str] | None

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Source(NamedTuple):
    """One Redis server.

    Args:
        name: The value of the label ``redis``; empty where there is one server without a name.
        connection: A client with time limits.
        ours: Whether its connections were made here.
    """

    name: str
    connection: redis.Redis
    ours: bool


def sources(given: Given, config: Config) -> tuple[Source, ...]:
    """The servers that a caller gives, in his order.

    Raises:
        ConfigError: A name or a URL cannot be used, there is no server, one that has a key prefix is not there, or
            something is not a connection.
    """
    named = given if isinstance(given, Mapping) else {"": given}
    if not named:
        raise ConfigError("expected at least one Redis server by its name, got none")
    if isinstance(given, Mapping):
        check_names(named)
        check_prefixes(named, config)
    found = []
    for name, one in named.items():
        connection = connection_of(one, config)
        found.append(Source(name, connection, connection is not one))
    return tuple(found)


def check_names(names: Iterable[object]) -> None:
    """Whether these can name servers: in a label, and in an address of a page.

    Raises:
        ConfigError: One cannot.
    """
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            expected = "up to 63 letters, digits, '_', '.' and '-', the first a letter or digit"
            raise ConfigError(f"the name of a Redis server must be {expected}, got {str(name)[:100]!r}")


def check_prefixes(names: Iterable[object], config: Config) -> None:
    """Whether the key prefixes of single servers are those of these.

    Raises:
        ConfigError: One is of a server that is not there.
    """
    there = [str(name) for name in names]
    if unknown := sorted({name for name, _ in config.key_prefixes} - set(there)):
        raise ConfigError(
            f"JOBTELEMETRY_KEY_PREFIXES has a prefix for the Redis server {unknown[0]!r}; there is {', '.join(there)}"
        )


def by_name(given: T | Mapping[str, T] | None, found: Iterable[Source], what: str) -> dict[str, T]:
    """What there is of each server: given by the servers' names, or for the one without a name.

    Args:
        given: By name, or what belongs to the only server.
        found: The servers.
        what: What it is, for the message.

    Raises:
        ConfigError: It is given for a server that is not there.
    """
    if given is None:
        return {}
    named: dict[str, T] = dict(given) if isinstance(given, Mapping) else {"": given}
    names = [source.name for source in found]
    if unknown := sorted(set(named) - set(names)):
        there = ", ".join(filter(None, names)) or "only one, without a name"
        raise ConfigError(f"a {what} is given for the Redis server {unknown[0]!r}; there is {there}")
    return named
