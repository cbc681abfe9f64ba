"""Counting function calls of a process and of everything that it forks: load-independent, unlike any time."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from typing import Any

_PARENT, _HORSE = 0, 1


class CallCounter:
    """Calls of Python and of built-in functions, in this process and in its forked children apart.

    The counts are in memory that is shared with children, which end without saying anything (``os._exit``).
    """

    def __init__(self) -> None:
        self._counts: Any = memoryview(mmap.mmap(-1, 8 * 2)).cast("Q")
        self._place = _PARENT
        os.register_at_fork(after_in_child=self._in_child)

    def start(self) -> None:
        """Count from now on, in this thread, threads to come, and children."""
        counts = self._counts

        def count(frame: Any, event: str, arg: Any) -> None:
            if event in {"call", "c_call"}:
                counts[self._place] += 1

        threading.setprofile(count)
        sys.setprofile(count)

    @staticmethod
    def stop() -> None:
        """Count no longer."""
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    @property
    def total(self) -> int:
        """All of them so far."""
        return int(self._counts[_PARENT] + self._counts[_HORSE])

    def read(self) -> dict[str, int]:
        """Calls so far, of the parent and of its children."""
        return {"calls_parent": self._counts[_PARENT], "calls_horse": self._counts[_HORSE]}

    def _in_child(self) -> None:
        self._place = _HORSE
