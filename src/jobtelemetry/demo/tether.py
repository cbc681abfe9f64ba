"""Run a command that dies with the process that started it: ``python -I -S tether.py PARENT_PID COMMAND ARG...``.

Python's own ``preexec_fn`` is not safe in a process with threads; a program that arranges its own death and then
becomes the command is. The command also gets a process group of its own, so that a Ctrl-C in the terminal reaches
only who is meant to handle it. Only the standard library is imported: this runs without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tethered(command: list[str]) -> list[str]:
    """The command line that runs ``command`` tied to this process; ``command[0]`` must be a path."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def tie() -> None:
    """Have the kernel kill this process when the thread that started it ends; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(argv: list[str]) -> None:
    """Become ``argv[1:]``, tied to the process ``argv[0]``."""
    tie()
    if os.getppid() != int(argv[0]):
        sys.exit(f"process {argv[0]} ended before its command could start")
    os.setpgid(0, 0)
    os.execv(argv[1], argv[1:])  # noqa: S606 - the command comes from tethered()


if __name__ == "__main__":
    main(sys.argv[1:])
