"""Connections to Redis that fail fast and take no more than they can hold.

A scrape must end within seconds whatever Redis does, and what answers in Redis' place may send gigabytes.
"""

from __future__ import annotations

import re
from copy import copy
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import InvalidResponse
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from jobtelemetry import redis_url
from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError

#: Seconds for connecting, and for each reply.
SOCKET_TIMEOUT = 0.9

#: Bytes that Redis may answer to what is sent to it at once; a thousand label sets take five million.
MOST_BYTES = 128 * 1024 * 1024

#: What says where Redis is and who we are; the rest of a pool's settings is its owner's business.
_IDENTITY = re.compile(r"host|port|path|db|username|password|credential_provider|protocol|ssl_.*")


class _Metered:
    """A socket that stops reading where an answer is larger than any that is right."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._left = MOST_BYTES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: Any) -> None:
        self._left = MOST_BYTES
        self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        data: bytes = self._sock.recv(size)
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, *arguments: Any) -> int:
        size: int = self._sock.recv_into(buffer, *arguments)
        self._count(size)
        return size

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidResponse(f"Redis sent more than {MOST_BYTES // 1024 // 1024} MiB in one answer")


class _MeteredConnection(Connection):
    def _connect(self) -> Any:
        return _Metered(super()._connect())  # type: ignore[no-untyped-call]


class _MeteredSSLConnection(SSLConnection):
    def _connect(self) -> Any:
        return _Metered(super()._connect())  # type: ignore[no-untyped-call]


class _MeteredUnixConnection(UnixDomainSocketConnection):
    def _connect(self) -> Any:
        return _Metered(super()._connect())  # type: ignore[no-untyped-call]


class _MeteredSentinelConnection(SentinelManagedConnection):
    def _connect(self) -> Any:
        return _Metered(super()._connect())  # type: ignore[no-untyped-call]


class _MeteredSentinelSSLConnection(SentinelManagedSSLConnection):
    def _connect(self) -> Any:
        return _Metered(super()._connect())  # type: ignore[no-untyped-call]


_METERED: dict[type[Any], type[Any]] = {
    Connection: _MeteredConnection,
    SSLConnection: _MeteredSSLConnection,
    UnixDomainSocketConnection: _MeteredUnixConnection,
    SentinelManagedConnection: _MeteredSentinelConnection,
    SentinelManagedSSLConnection: _MeteredSentinelSSLConnection,
}
_OF_SCHEME = {"redis": _MeteredConnection, "rediss": _MeteredSSLConnection, "unix": _MeteredUnixConnection}


def connect(url: str, *, connect_timeout: float = SOCKET_TIMEOUT, reply_timeout: float = SOCKET_TIMEOUT) -> redis.Redis:
    """A client for reading; it connects with its first command, so Redis may be away for now.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as RQ and redis-py take it.
        connect_timeout: Seconds for connecting.
        reply_timeout: Seconds for each reply.

    Raises:
        ConfigError: It is not such a URL; the message has no password in it.
    """
    redis_url.check(url)
    redis_url.remember(url)
    kind = _OF_SCHEME[url.partition("://")[0].lower()]
    try:
        client: redis.Redis = redis.Redis.from_url(
            url, connection_class=kind, **_fail_fast(connect_timeout, reply_timeout)
        )
        client.connection_pool.make_connection()  # connects to nobody, and finds parameters that do not exist
    except (ValueError, TypeError, redis.RedisError):
        problem = "a parameter after '?' is unknown to redis-py, or has no usable value"
        raise redis_url.unusable(url, problem) from None
    return client


def connection_of(given: redis.Redis | str | None, config: Config) -> redis.Redis:
    """A client with time limits from what a caller has: a connection, a URL, or nothing but the settings.

    Raises:
        ConfigError: The URL cannot be used, or it is not a connection.
    """
    target = config.redis_url if given is None else given
    return connect(target) if isinstance(target, str) else with_time_limits(target)


def with_time_limits(connection: redis.Redis) -> redis.Redis:
    """The same server and credentials with this module's limits, on a pool of its own.

    A connection that an application made may wait forever, for Redis or for a Sentinel. One that is of this module
    already, or whose pool is not one of redis-py's plain ones (a fake), is returned as it is.

    Raises:
        ConfigError: It is not a connection that can be read from.
    """
    pool = _pool_of(connection)
    kind = _METERED.get(pool.connection_class)
    if kind is None:
        return connection
    identity = {name: value for name, value in pool.connection_kwargs.items() if _IDENTITY.fullmatch(name)}
    if isinstance(pool, SentinelConnectionPool):
        return redis.Redis(connection_pool=_by_sentinel(pool, kind, identity))
    return redis.Redis(connection_pool=ConnectionPool(connection_class=kind, **identity, **_fail_fast()))


def _by_sentinel(pool: Any, kind: type[Any], identity: dict[str, Any]) -> Any:
    """The same for a pool that asks Sentinels where the server is: they are waited for no longer than it is."""
    manager = copy(pool.sentinel_manager)
    manager.sentinels = [with_time_limits(sentinel) for sentinel in manager.sentinels]
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        pool.service_name,
        manager,
        connection_class=kind,
        is_master=pool.is_master,
        check_connection=pool.check_connection,
        **{name: value for name, value in identity.items() if name not in ("host", "port")},
        **_fail_fast(),
    )


def _pool_of(connection: Any) -> Any:
    expected = "expected a connection, such as redis.Redis.from_url('redis://localhost:6379/0')"
    if isinstance(connection, str):
        raise ConfigError(f"{expected}, got a URL; make a connection of it")
    name = f"{type(connection).__module__}.{type(connection).__name__}"
    if name.startswith("redis.asyncio.") or ".aioredis" in name:
        raise ConfigError(f"{expected}, got the asynchronous {name}; Prometheus' registry collects synchronously")
    pool = getattr(connection, "connection_pool", None)
    if not hasattr(pool, "connection_class") or not callable(getattr(connection, "execute_command", None)):
        raise ConfigError(f"{expected}, got {name}")
    return pool


def _fail_fast(connect_timeout: float = SOCKET_TIMEOUT, reply_timeout: float = SOCKET_TIMEOUT) -> dict[str, Any]:
    return {
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": reply_timeout,
        "retry": Retry(NoBackoff(), 0),
    }
