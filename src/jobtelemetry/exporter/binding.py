"""The socket that the exporter listens on: an address and a port, or a file; and why nobody can listen there."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import weakref
from pathlib import Path
from typing import Any

from jobtelemetry.errors import ConfigError

#: What stands before the path of a unix socket, where else a host stands.
UNIX = "unix:"

_BACKLOG = 128
_MODE = 0o660  # of a unix socket: its owner, and the group that a proxy may be in


class InUseError(ConfigError):
    """Somebody else listens there."""


def bind(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens.

    Args:
        host: Name or address, IPv4 or IPv6; or ``unix:/path``.
        port: 0 takes a free one; of no meaning for a unix socket.
        option: What the user would change, for messages: ``--listen``.

    Raises:
        InUseError: Somebody else listens there.
        ConfigError: Nobody can listen there; the message says why and what to do.
    """
    listening = _bind_file(host[len(UNIX) :], option) if host.startswith(UNIX) else _bind_port(host, port, option)
    listening.setblocking(False)
    _close_in_forks(listening)
    return listening


def unbind(listening: socket.socket) -> None:
    """Close it, and remove the file of a unix socket if it is still this one's."""
    with contextlib.suppress(OSError):
        if listening.family == socket.AF_UNIX:
            path = listening.getsockname()
            listening.close()
            if not _answers(path):  # else another process has put its own there
                Path(path).unlink()
    listening.close()


def place_of(listening: socket.socket) -> tuple[str, int]:
    """Host and port that it is bound to; ``unix:/path`` and 0 for a unix socket."""
    name: Any = listening.getsockname()
    return (f"{UNIX}{name}", 0) if listening.family == socket.AF_UNIX else (str(name[0]), int(name[1]))


def _bind_port(host: str, port: int, option: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listening = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(_reason(error, host, port, option)) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        kind = InUseError if error.errno == errno.EADDRINUSE else ConfigError
        raise kind(_reason(error, host, port, option)) from None
    return listening


def _bind_file(path: str, option: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path, option)
        listening.bind(path)
        Path(path).chmod(_MODE)
        listening.listen(_BACKLOG)
    except ConfigError:
        listening.close()
        raise
    except (OSError, ValueError) as error:
        listening.close()
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {UNIX}{path}: {said}; choose another path with {option}") from None
    return listening


def _remove_left_over(path: str, option: str) -> None:
    """The file of a process that was killed is nobody's any more; any other file is not ours to remove."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there already and is no socket; choose another path with {option}")
    if _answers(path):
        raise InUseError(f"somebody listens on {UNIX}{path} already; choose another path with {option}")
    Path(path).unlink()


def _answers(path: str) -> bool:
    """Whether a process listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _reason(error: Exception, host: str, port: int, option: str) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use; choose another with {option}"
    if isinstance(error, (socket.gaierror, UnicodeError)) or number == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another with {option}"
    if number == errno.EACCES:
        return f"port {port} on {host} needs more rights; choose one above 1023 with {option}"
    return f"cannot listen on port {port} of {host}: {getattr(error, 'strerror', None) or error}; use another {option}"


def _close_in_forks(listening: socket.socket) -> None:
    """A forked process must not keep the port of the one that serves the metrics."""
    reference = weakref.ref(listening)

    def close() -> None:
        if (inherited := reference()) is not None:
            inherited.close()

    os.register_at_fork(after_in_child=close)
