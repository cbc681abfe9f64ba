"""An exporter in a process of its own beside a worker or a pool: the one-machine default.

Of its own because RQ forks work-horses, and a process with an HTTP server's threads must not be forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.exporter.server import ExporterServer

_END = 5.0  # seconds that it may take to end
_START = 15.0  # seconds that it may take to start


@contextmanager
def serving_beside(connect: Callable[[], Any], host: str, port: int) -> Iterator[str]:
    """While this lasts, a child process serves ``/metrics``. It ends with this process, however that ends.

    Args:
        connect: Makes the connection, in the child.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.

    Yields:
        The address to open from this machine, without a path.

    Raises:
        ConfigError: Nobody can listen there.
    """
    context, here = multiprocessing.get_context("fork"), os.getpid()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(theirs, connect, host, port, here), name="jobtelemetry exporter", daemon=True
    )
    process.start()
    theirs.close()
    try:
        problem, url = ours.recv() if ours.poll(_START) else ("the exporter did not start", "")
        if problem:
            raise ConfigError(problem)
        yield url
    except EOFError:
        raise ConfigError("the exporter ended while it started; see the messages above") from None
    finally:
        if os.getpid() == here:  # not in a forked work-horse
            process.terminate()
            process.join(_END)
            if process.is_alive():
                process.kill()


def _serve(said: Connection, connect: Callable[[], Any], host: str, port: int, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pool, which then ends us
    try:
        config, connection = Config.from_env(), connect()
        server = ExporterServer(
            connection, config, host, port, background=_both(reconciler(connection, config), parent)
        )
    except ConfigError as error:
        said.send((str(error), ""))
        return
    signal.signal(signal.SIGTERM, lambda signum, frame: server.stop())
    server.start()
    said.send(("", server.url))
    said.close()
    server.serve_forever()


def _both(reconciling: Callable[[threading.Event], None] | None, parent: int) -> Callable[[threading.Event], None]:
    """The background of this exporter: reconciling, and watching whether the parent still lives."""

    def end_with_parent() -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    def run(stop: threading.Event) -> None:
        if reconciling is not None:
            threading.Thread(target=reconciling, args=(stop,), daemon=True).start()
        every(1.0, end_with_parent, name="parent")(stop)

    return run
