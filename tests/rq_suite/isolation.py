"""A place for one pass where nobody else is: namespaces of its own, or a mark by which its processes are found."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from contextlib import suppress

import psutil

#: Environment variable that every process of a pass inherits.
MARK = "JOBTELEMETRY_TESTS_RQ_SUITE_PASS"

_NAMESPACES = ["--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]


def own_namespaces() -> list[str]:
    """What to put before a command so that it has its own loopback and processes; empty if that is not permitted."""
    for privilege in ([], ["--user", "--map-root-user"]):
        prefix = ["unshare", *privilege, *_NAMESPACES]
        with suppress(OSError):
            if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
                return prefix
    return []


def loopback_up() -> None:
    """Switch on the loopback interface of this network namespace."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(probe, get_flags, request))
        fcntl.ioctl(probe, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def free_port() -> int:
    """A TCP port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_marked(mark: str) -> None:
    """Kill what a pass left running: RQ's tests do leave workers behind when they fail."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()
