"""Connections to Redis that fail fast: a scrape must end within two seconds whatever Redis does."""

from __future__ import annotations

import re
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from jobtelemetry.errors import ConfigError

#: Seconds for connecting, and for each reply.
SOCKET_TIMEOUT = 0.9

_PASSWORD = re.compile(r"//[^/@]*@")
_PLAIN_CONNECTIONS = (Connection, SSLConnection, UnixDomainSocketConnection)
#: What says where Redis is and who we are; the rest of a pool's settings is its owner's business.
_IDENTITY = re.compile(r"host|port|path|db|username|password|credential_provider|protocol|ssl_.*")


def connect(url: str) -> redis.Redis:
    """A client for reading; it connects with its first command, so Redis may be away for now.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as RQ and redis-py take it.

    Raises:
        ConfigError: It is not such a URL.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(url, **_fail_fast())
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the Redis URL {redact(url)!r} cannot be used: {error}") from None
    return client


def with_time_limits(connection: redis.Redis) -> redis.Redis:
    """The same server and credentials with this module's time limits, on a pool of its own.

    A connection that an application made may wait forever. One that is as fast already, or whose pool is not a plain
    one (Sentinel, a fake), is returned as it is.
    """
    pool = connection.connection_pool
    timeout = pool.connection_kwargs.get("socket_timeout")
    if pool.connection_class not in _PLAIN_CONNECTIONS or (timeout is not None and timeout <= SOCKET_TIMEOUT):
        return connection
    identity = {name: value for name, value in pool.connection_kwargs.items() if _IDENTITY.fullmatch(name)}
    return redis.Redis(
        connection_pool=ConnectionPool(connection_class=pool.connection_class, **identity, **_fail_fast())
    )


def redact(url: str) -> str:
    """The URL without user name and password, for messages."""
    return _PASSWORD.sub("//***@", url)


def _fail_fast() -> dict[str, Any]:
    return {
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "socket_timeout": SOCKET_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }
