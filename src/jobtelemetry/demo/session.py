"""End every process of a session.

A work-horse leaves its worker's process group, so killing groups would miss it; nothing that RQ starts leaves the
session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_TIMEOUT = 10.0


def end(session: int) -> bool:
    """SIGKILL all processes of the session but this one, and wait until they are gone.

    Args:
        session: The session's id, which is the process id of the one that made it.

    Returns:
        Whether they are.
    """
    deadline = time.monotonic() + _TIMEOUT
    while left := members(session):
        if time.monotonic() > deadline:
            return False
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.005)
    return True


def members(session: int) -> list[int]:
    """The living processes of the session, without this one."""
    return [pid for pid in _living() if pid != os.getpid() and _session_of(pid) == session]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _living() -> Iterator[int]:
    if (_PROC / "self" / "stat").exists():
        return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and not _is_zombie(entry))
    return _listed_by_ps()


def _is_zombie(entry: Path) -> bool:
    try:
        stat = (entry / "stat").read_text(errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def _listed_by_ps() -> Iterator[int]:
    with subprocess.Popen(["ps", "-A", "-o", "pid=,stat="], stdout=subprocess.PIPE, text=True) as ps:  # noqa: S607
        listed, _ = ps.communicate()
    for pid, stat in (line.split() for line in listed.splitlines()):
        if int(pid) != ps.pid and not stat.startswith("Z"):
            yield int(pid)


def _reap() -> None:
    """Collect children that have ended, so that they do not stay as zombies."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
