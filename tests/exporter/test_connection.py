"""Connections that fail fast."""

from __future__ import annotations

import pytest
import redis

from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.connection import SOCKET_TIMEOUT, connect, with_time_limits
from jobtelemetry.redis_url import shown


@pytest.mark.parametrize("url", ["redis://localhost:6379/0", "rediss://u:p@example.com:6380/1", "unix:///tmp/a.sock"])
def test_known_urls_get_time_limits(url: str) -> None:
    """Every kind of URL gives a client that waits less than a second and does not retry."""
    client = connect(url)
    connection = client.connection_pool.make_connection()
    assert connection.socket_timeout == SOCKET_TIMEOUT < 1
    assert connection.retry._retries == 0
    assert with_time_limits(client) is client


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "", "redis://localhost:port"])
def test_other_urls_are_refused(url: str) -> None:
    """A URL that is none of Redis is named in the message."""
    with pytest.raises(ConfigError, match=r"the Redis URL .* cannot be used"):
        connect(url)


def test_a_password_is_never_told() -> None:
    """Messages show the URL without its credentials."""
    with pytest.raises(ConfigError) as caught:
        connect("http://user:secret@localhost")
    assert "secret" not in str(caught.value)
    assert shown("redis://:secret@h:1/2") == "redis://***@h:1/2"


def test_an_applications_connection_is_copied_with_limits() -> None:
    """Same server, database and credentials; but time limits, raw bytes and a pool of its own."""
    theirs = redis.Redis(host="h", port=7, db=3, username="u", password="p", decode_responses=True, socket_timeout=None)
    ours = with_time_limits(theirs)
    assert ours.connection_pool is not theirs.connection_pool
    settings = ours.connection_pool.connection_kwargs
    assert {key: settings[key] for key in ("host", "port", "db", "username", "password")} == {
        "host": "h",
        "port": 7,
        "db": 3,
        "username": "u",
        "password": "p",
    }
    assert not settings.get("decode_responses")
    assert settings["socket_timeout"] == SOCKET_TIMEOUT


def test_tls_and_unix_sockets_stay_what_they_are() -> None:
    """The copy speaks TLS with the same settings, and finds the same socket."""
    tls = with_time_limits(redis.Redis(host="h", ssl=True, ssl_ca_certs="/ca.pem", ssl_check_hostname=False))
    connection = tls.connection_pool.make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert connection.ca_certs == "/ca.pem"
    unix = with_time_limits(redis.Redis(unix_socket_path="/tmp/a.sock")).connection_pool
    assert issubclass(unix.connection_class, redis.UnixDomainSocketConnection)
    assert unix.connection_kwargs["path"] == "/tmp/a.sock"


def test_a_connection_of_another_kind_is_left_alone() -> None:
    """A pool that is not redis-py's plain one cannot be copied and is used as it is."""

    class Special(redis.Connection):
        pass

    theirs = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Special))
    assert with_time_limits(theirs) is theirs
