"""The process that all worker processes are forked from: ``python -m support.nursery_process``.

RQ and jobtelemetry are imported here once, so that a worker process costs a fork and not an interpreter start, and
without any thread, so that forking is safe. It adopts orphans (a work-horse whose worker was SIGKILLed), so that
whatever the tests start can be found and ended. One JSON request a line on stdin, one JSON reply a line on stdout.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_PRELOADED = (
    "jobtelemetry.rq.job",
    "jobtelemetry.rq.lifecycle",
    "jobtelemetry.rq.parent",
    "jobtelemetry.rq.queue",
    "jobtelemetry.rq.ending",
    "jobtelemetry.rq.recording",
    "jobtelemetry.rq.start",
    "jobtelemetry.sinks.logs",
    "jobtelemetry.store.read",
    "rq.cli",
    "support.jobs",
    "support.workers",
)

_statuses: dict[int, int | None] = {}


def start(target: str, kwargs: dict[str, Any], log: str) -> int:
    """Fork a process that calls ``module:function`` and return its id."""
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    pid = os.fork()
    if pid == 0:
        _become(function, kwargs, log)
    _statuses[pid] = None
    return pid


def _become(function: Any, kwargs: dict[str, Any], log: str) -> None:
    code = 1
    try:
        os.setpgid(0, 0)  # a Ctrl-C in the terminal is for pytest
        for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
            path = os.devnull if descriptor == 0 else log
            opened = os.open(path, flags | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        function(**kwargs)
        code = 0
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(request.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def poll(pid: int) -> int | None:
    """How a process ended: its exit code, or minus the signal; ``None`` while it runs."""
    if _statuses.get(pid, 0) is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            _statuses[pid] = os.waitstatus_to_exitcode(status)
    return _statuses[pid]


def clear() -> int:
    """SIGKILL every process that is left, orphans included, and return how many there were."""
    killed = 0
    while children := _children():
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                _, status = os.waitpid(pid, 0)
                if _statuses.get(pid, 0) is None:
                    _statuses[pid] = os.waitstatus_to_exitcode(status)
            killed += 1
    return killed


def _children() -> list[int]:
    """This process's children; an orphan becomes one as soon as its parent is gone."""
    if sys.platform != "linux":
        return [pid for pid, status in _statuses.items() if status is None]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid():
                    found.append(int(entry.name))
    return found


def main() -> None:
    """Serve requests until stdin ends (also because pytest was killed), then leave nothing behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for module in _PRELOADED:
        import_module(module)
    does = {"start": start, "poll": poll, "clear": clear}
    print(json.dumps(os.getpid()), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(does[request.pop("do")](**request)), flush=True)
    clear()


if __name__ == "__main__":
    main()
