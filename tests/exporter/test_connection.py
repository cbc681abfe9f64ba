"""Connections that fail fast."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.sentinel import Sentinel

from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.connection import MOST_BYTES, SOCKET_TIMEOUT, connect, with_time_limits
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


@pytest.mark.parametrize("ssl", [False, True])
def test_behind_sentinel_it_gets_time_limits_too(ssl: bool) -> None:
    """The copy asks the same Sentinels for the same service, with their passwords, and waits for none of them long."""
    theirs = Sentinel([("s1", 1), ("s2", 2)], sentinel_kwargs={"password": "of-sentinel"}, password="secret", db=3)
    ours = with_time_limits(theirs.master_for("mymaster", ssl=ssl))
    pool: Any = ours.connection_pool
    connection: Any = pool.make_connection()
    assert isinstance(connection, redis.SSLConnection) is ssl
    assert (connection.socket_timeout, connection.db, pool.service_name, pool.is_master) == (0.9, 3, "mymaster", True)
    assert connection.credential_provider or connection.password == "secret"
    for sentinel in pool.sentinel_manager.sentinels:
        found = sentinel.connection_pool.connection_kwargs
        assert (found["password"], found["socket_timeout"], found["retry"].get_retries()) == ("of-sentinel", 0.9, 0)
    assert [one.connection_pool.connection_kwargs.get("socket_timeout") for one in theirs.sentinels] != [0.9, 0.9]
    assert with_time_limits(ours) is ours


def test_a_sentinel_that_never_answers_is_given_up(hanging: str) -> None:
    """An application's own connection may have no limits at all; then a scrape would never be answered again."""
    port = int(hanging.rpartition(":")[2])
    master = with_time_limits(Sentinel([("127.0.0.1", port)], socket_timeout=None).master_for("mymaster"))
    begin = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        master.ping()
    assert time.monotonic() - begin < 5


def test_a_connection_of_another_kind_is_left_alone() -> None:
    """A pool that is not redis-py's plain one cannot be copied and is used as it is."""

    class Special(redis.Connection):
        pass

    theirs = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Special))
    assert with_time_limits(theirs) is theirs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("redis://localhost", "got a URL; make a connection of it"),
        (redis.asyncio.Redis(), "got the asynchronous redis.asyncio.client.Redis"),
        (None, "got builtins.NoneType"),
        (redis.ConnectionPool(), "got redis.connection.ConnectionPool"),
    ],
    ids=["url", "asynchronous", "nothing", "pool"],
)
def test_what_is_no_connection_is_said_at_once(given: object, said: str) -> None:
    """A collector that could never read is not made."""
    with pytest.raises(ConfigError, match=r"^expected a connection") as caught:
        Collector(given, Config())  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_an_answer_of_gigabytes_is_not_taken() -> None:
    """What stands in Redis' place may send what it likes: reading stops at a bound, and the memory is free again."""
    announced = 2 * 1024**3
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sent = 0

        def flood() -> None:
            nonlocal sent
            peer, _ = listening.accept()
            piece = b"x" * 1024 * 1024
            with peer, suppress(OSError):
                while True:
                    peer.recv(65536)
                    peer.sendall(b"$%d\r\n" % announced)
                    while sent < announced:
                        peer.sendall(piece)
                        sent += len(piece)

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        client = connect(f"redis://127.0.0.1:{listening.getsockname()[1]}?protocol=2", reply_timeout=20)
        with client, pytest.raises(redis.RedisError, match="more than 128 MiB in one answer"):
            client.get("x")
        thread.join(20)
    assert sent < 2 * MOST_BYTES
