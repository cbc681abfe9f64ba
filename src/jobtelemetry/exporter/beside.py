"""An exporter in a process of its own beside a worker or a pool: the one-machine default.

Of its own because RQ forks work-horses, and a process with an HTTP server's threads must not be forked. It is a new
interpreter and not a fork, so that a thread of ours may start it again while RQ does whatever it does; that thread
waits and holds no lock, which is all that a fork can meet.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError, JobTelemetryError
from jobtelemetry.exporter import binding
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.exporter.server import WILDCARDS, ExporterServer

OPTION = "--metrics"

_END = 5.0  # seconds that it may take to end
_START = 30.0  # seconds that it may take to start
_ORPHAN = 3.0  # seconds that the one of a worker that was killed may take to notice it
_LOOK = 2.0  # seconds between two looks at a port that somebody else has
_PARENT = 0.25  # seconds between two looks at the worker
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds before it is started again
_STABLE = 60.0  # seconds after which an end is no sign of something lasting

logger = logging.getLogger(__name__)


@contextmanager
def serving_beside(program: Sequence[str], request: Mapping[str, Any], host: str, port: int) -> Iterator[None]:
    """While this lasts, a child process serves ``/metrics``. It ends with this process, however that ends.

    If it ends before, it is started again. If another process of jobtelemetry serves there already, its numbers are
    the same, so this one only waits for its turn. Who serves, and where, is logged.

    Args:
        program: What calls :func:`serve_for_parent`, as a command.
        request: What that needs, written as JSON to its standard input; host, port and our process go along.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.

    Raises:
        ConfigError: Nobody can listen there, or somebody else does.
    """
    here = os.getpid()
    child = _Child(program, {**request, "host": host, "port": port, "parent": here})
    try:
        child.start(host, port)
        yield
    finally:
        if os.getpid() == here:  # not in a forked work-horse
            child.end()


class _Child:
    """The process, and the thread that starts it again."""

    def __init__(self, program: Sequence[str], request: Mapping[str, Any]) -> None:
        self._program = program
        self._request = json.dumps(request).encode()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="jobtelemetry-metrics", daemon=True)
        self._place = ("", 0)

    def start(self, host: str, port: int) -> None:
        self._place = (host, port)
        until = time.monotonic() + _ORPHAN
        while not (free := self._port_is_free()) and time.monotonic() < until:
            if until - time.monotonic() < _ORPHAN / 2 and _is_ours(host, port):
                break
            time.sleep(_PARENT)
        if free:
            if problem := self._attempt():
                raise ConfigError(problem)
        elif _is_ours(host, port):
            where = host if host.startswith(binding.UNIX) else f"port {port} of {host}"
            logger.warning(
                "Metrics are served by another jobtelemetry on %s; this one takes over when that ends", where
            )
        else:
            binding.bind(host, port, OPTION).close()  # says what is wrong
            raise ConfigError(f"nobody can listen on port {port} of {host}; choose another with {OPTION}")
        self._watching.start()

    def end(self) -> None:
        self._ended.set()
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.terminate()
        if self._watching.is_alive():
            self._watching.join(_END)
        if process is not None and process.poll() is None:
            with suppress(OSError):
                process.kill()
            process.wait()

    def _watch(self) -> None:
        pause, told_of = _FIRST_PAUSE, ""
        while not self._ended.is_set():
            if self._process is None:
                if not self._port_is_free():
                    self._ended.wait(_LOOK)
                    continue
                if problem := self._attempt():
                    if problem != told_of:
                        logger.warning("Nobody serves %s for now, trying again: %s", OPTION, problem)
                    told_of, pause = problem, min(2 * pause, _LONGEST_PAUSE)
                    self._ended.wait(pause)
                    continue
                told_of = ""
            began = time.monotonic()
            code = self._process.wait() if self._process is not None else 0
            self._process = None
            if self._ended.is_set():
                return
            pause = _FIRST_PAUSE if time.monotonic() - began > _STABLE else pause
            logger.warning(
                "The process that serves %s ended (%s); it is started again in %g s", OPTION, _how(code), pause
            )
            self._ended.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _port_is_free(self) -> bool:
        """Whether one can listen there; a problem other than that is left to the process to tell."""
        try:
            binding.unbind(binding.bind(*self._place, OPTION))
        except binding.InUseError:
            return False
        except ConfigError:
            return True
        return True

    def _attempt(self) -> str:
        """Start the process; what is wrong if it could not, else nothing."""
        process = subprocess.Popen(self._program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        with process.stdin, process.stdout:
            with suppress(OSError):
                process.stdin.write(self._request)
                process.stdin.close()
            readable, _, _ = select.select([process.stdout], [], [], _START)
            line = process.stdout.readline() if readable else b""
        try:
            problem = str(json.loads(line)["problem"])
        except (ValueError, TypeError, KeyError):
            problem = "the exporter ended while it started; see the messages above"
        if problem or self._ended.is_set():
            with suppress(OSError):
                process.kill()
            process.wait()
        else:
            self._process = process
        return problem


def serve_for_parent(
    request: Mapping[str, Any], connect: Callable[[], Any], tell: Callable[[str], object] = sys.stdout.write
) -> None:
    """Serve until the worker ends; the process that :func:`serving_beside` starts does this.

    Args:
        request: What was written to its standard input.
        connect: Makes the connection.
        tell: Where to say how the start went.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which then ends us
    parent = int(request["parent"])
    try:
        config, connection = Config.from_env(), connect()
        place = (request["host"], request["port"])
        watching = every(_PARENT, lambda: _end_with(parent), name="parent")
        server = ExporterServer(
            connection, config, *place, reconciler=reconciler(connection, config), background=watching, option=OPTION
        )
    except JobTelemetryError as error:
        _say(tell, str(error))
        return
    signal.signal(signal.SIGTERM, lambda signum, frame: server.stop())
    server.start()
    _say(tell, "")
    server.serve_forever()


def _say(tell: Callable[[str], object], problem: str) -> None:
    with suppress(OSError):  # the worker may have gone meanwhile
        tell(json.dumps({"problem": problem}) + "\n")
        sys.stdout.flush()


def _end_with(parent: int) -> None:
    """End this process, by the way it is told to, where its parent has gone."""
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _is_ours(host: str, port: int) -> bool:
    """Whether jobtelemetry answers there, encrypted or not; it says so in every answer, also in a refusal."""
    if host.startswith(binding.UNIX):
        return True  # nobody else would take that path
    name = WILDCARDS.get(host, host)
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    unverified.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 a refusal may come too late to be read
    for connection in (
        http.client.HTTPConnection(name, port, timeout=1.0),
        http.client.HTTPSConnection(name, port, timeout=1.0, context=unverified),
    ):
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().headers.get("Server") == "jobtelemetry":
                return True
        except ssl.SSLError as error:  # an alert: it wants a certificate, as our own may
            if "ALERT" in (error.reason or "") and Config.from_env().web_config_file:
                return True
        except (OSError, http.client.HTTPException, ValueError):
            continue
        finally:
            connection.close()
    return False


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
