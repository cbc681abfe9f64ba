"""RQ's settings file says where Redis is, Sentinel included, for commands that are not RQ's."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from jobtelemetry.cli import rq_settings
from jobtelemetry.demo.server import find_binary
from jobtelemetry.errors import ConfigError
from support.servers import TcpServer, tcp_server
from support.waiting import eventually

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[TcpServer]:
    with tcp_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``settings(text)`` makes a settings file in the working directory, and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("JOBTELEMETRY_REDIS_URL", "RQ_REDIS_URL", "REDIS_URL", "RQ_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def write(text: str) -> str:
        name = f"rq_settings_{next(_NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@click.command()
@click.option("--redis-url")
@rq_settings.settings_option
def asks(redis_url: str | None) -> None:
    """As a question does."""
    named = rq_settings.module(redis_url)
    if named is None:
        click.echo("no settings")
        return
    client = rq_settings.connection(named, connect_timeout=3, reply_timeout=3)
    client.set("asked", "yes")
    click.echo(f"asked {client.get('asked')!r}")
    client.close()


def ask(*arguments: str, **environment: str) -> str:
    said = CliRunner().invoke(asks, arguments, env=environment, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.output.strip()


def test_a_url_and_a_host_in_the_settings_are_used(server: TcpServer, settings) -> None:
    """As RQ reads them, from the option or RQ's own variable."""
    by_url = settings(f'REDIS_URL = "{server.tcp_url}"')
    by_host = settings(f'REDIS_HOST, REDIS_PORT = "127.0.0.1", {server.port}')
    assert ask("-c", by_url) == ask("--config", by_host) == ask(RQ_CONFIG=by_url) == "asked b'yes'"


def test_what_goes_before_the_settings(settings) -> None:
    """The option, and the two variables; REDIS_URL does not."""
    named = settings('REDIS_URL = "redis://127.0.0.1:1"')
    assert ask("-c", named, "--redis-url", "redis://elsewhere") == "no settings"
    assert ask("-c", named, JOBTELEMETRY_REDIS_URL="redis://elsewhere") == "no settings"
    assert ask("-c", named, RQ_REDIS_URL="redis://elsewhere") == "no settings"
    assert ask() == "no settings"
    with pytest.raises(RedisConnectionError):
        ask("-c", named, REDIS_URL="redis://elsewhere")


@pytest.fixture
def sentinel(server: TcpServer, tmp_path: Path) -> Iterator[int]:
    """A sentinel that knows the server as ``mymaster``; its port."""
    with tcp_server() as free:
        port = free.port  # of a server that is about to stop
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {server.port} 1\n"
    )
    process = subprocess.Popen([find_binary(), config, "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        asked = Sentinel([("127.0.0.1", port)], socket_timeout=1)

        def knows() -> bool:
            try:
                return asked.discover_master("mymaster") == ("127.0.0.1", server.port)
            except RedisError:
                return False

        eventually(knows, "a sentinel that knows its master")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def test_a_sentinel_in_the_settings_is_asked(sentinel: int, settings) -> None:
    """``SENTINEL`` as RQ documents it."""
    text = f'SENTINEL = {{"INSTANCES": [("127.0.0.1", {sentinel})], "MASTER_NAME": "mymaster", "SOCKET_TIMEOUT": 5}}'
    assert ask("-c", settings(text)) == "asked b'yes'"


def test_an_exporter_finds_its_redis_by_sentinel(sentinel: int, settings, tmp_path: Path) -> None:
    """``-c`` for one server, ``NAME=config:MODULE`` for one of several."""
    text = f'SENTINEL = {{"INSTANCES": [("127.0.0.1", {sentinel})], "MASTER_NAME": "mymaster", "SOCKET_TIMEOUT": 5}}'
    named = settings(text)
    for options, label in ((["-c", named], ""), (["-u", f"eu=config:{named}"], '{redis="eu"}')):
        command = [sys.executable, "-m", "jobtelemetry", "exporter", "--listen", "127.0.0.1:0", *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+/metrics", line)
            assert found, line
            with urllib.request.urlopen(found[0], timeout=20) as answer:
                assert f"\njobtelemetry_up{label} 1.0\n" in answer.read().decode()
        finally:
            process.terminate()
            process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("raise RuntimeError('not today')", "not today"),
        ('REDIS_URL = "redis://:s3cret@host:pass3/0"', "cannot be used"),
        ('REDIS_URL = "nonsense"', "cannot be used"),
        ("SENTINEL = 3", "cannot be used"),
    ],
)
def test_settings_that_cannot_be_used_are_said(settings, text: str, named: str) -> None:
    """With the file's name, and without a password."""
    name = settings(text)
    with pytest.raises(ConfigError, match=named) as caught:
        ask("-c", name)
    assert name in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "pass3" not in str(caught.value)


def test_a_module_that_is_not_there_is_said(settings) -> None:
    """As RQ imports it: ``settings``, not ``settings.py``."""
    with pytest.raises(ConfigError, match="Python module"):
        ask("-c", "no_such_settings")
