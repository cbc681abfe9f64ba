"""Redis at one address, whoever answers there: it restarts, comes back as it was, or a replica takes its place."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from jobtelemetry.demo.errors import ServerError
from jobtelemetry.demo.server import EmbeddedServer

_PATIENCE = 20.0  # seconds for a replica to have everything


class Primary:
    """A server that keeps what it has acknowledged. Use it in one thread: Redis ends with the thread that starts it.

    Args:
        folder: Where its data lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = 0
        self._backup: tuple[float, Path] | None = None
        self._clients: list[Redis] = []
        self._server = self._started()
        self.port = int(self._server._settings["port"])

    @property
    def url(self) -> str:
        """Where everybody finds it, always."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def tcp_url(self) -> str:
        """The same, as a stage of the tests asks for it."""
        return self.url

    @property
    def running(self) -> bool:
        """Whether somebody answers there."""
        return self._server.running

    def client(self, **options: Any) -> Redis:
        """A client, closed by :meth:`stop`."""
        client: Redis = Redis.from_url(self.url, **options)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        """End it."""
        for client in self._clients:
            with suppress(RedisError, OSError):
                client.close()
        self._server.stop()

    # the same server

    def restart(self) -> None:
        """In good order."""
        self._server.restart()

    def kill(self) -> None:
        """SIGKILL; :meth:`start` brings it back."""
        self._server.kill()

    def start(self) -> None:
        """It comes back from its append-only file."""
        self._server.start()

    # an older state

    def back_up(self) -> None:
        """Somebody copies its files."""
        folder = self._new_folder()
        moment = time.time()
        shutil.copytree(self._data, folder, dirs_exist_ok=True)
        self._backup = moment, folder

    @property
    def backed_up_at(self) -> float | None:
        """When; ``None`` without a copy."""
        return self._backup and self._backup[0]

    def restore(self) -> None:
        """It starts again from the copy."""
        assert self._backup is not None
        self._server.kill()
        shutil.rmtree(self._data)
        shutil.copytree(self._backup[1], self._data)
        self._server.start()

    # another server

    def fail_over(self, while_behind: Callable[[], None] | None = None) -> None:
        """A replica takes its place, and its address.

        Args:
            while_behind: What happens after the replica has heard the last of it; without, the replica has everything.
        """
        replica = self._started()
        client, here = replica.connection(), self._server.connection()
        client.replicaof("127.0.0.1", self.port)
        self._wait(lambda: client.info("replication")["master_link_status"] == "up")
        if while_behind is None:
            here.client_pause(int(_PATIENCE * 1000), all=False)
            self._wait(
                lambda: (
                    client.info("replication")["master_repl_offset"] == here.info("replication")["master_repl_offset"]
                )
            )
        client.replicaof("NO", "ONE")
        if while_behind is not None:
            while_behind()
        self._server.kill()
        client.config_set("port", self.port)
        replica._settings["port"] = str(self.port)
        self._server.stop()
        self._server = replica

    @staticmethod
    def _wait(until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not until():
            if time.monotonic() > deadline:
                raise ServerError("the replica never had everything")
            time.sleep(0.01)

    @property
    def _data(self) -> Path:
        return Path(self._server._settings["dir"])

    def _new_folder(self) -> Path:
        self._numbers += 1
        folder = self._folder / f"data-{self._numbers}"
        folder.mkdir(parents=True)
        return folder

    def _started(self) -> EmbeddedServer:
        """A server on a free port; another one where somebody took it in between."""
        for last in (False, False, False, True):
            settings = {"port": str(_free_port()), "bind": "127.0.0.1", "dir": str(self._new_folder())}
            server = EmbeddedServer(appendonly="yes", appendfsync="always", **settings)
            try:
                server.start()
            except ServerError:
                if last:
                    raise
            else:
                return server
        raise AssertionError("not reached")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
