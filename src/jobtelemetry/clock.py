"""This process's clocks, whatever a job did to the ``time`` module: a test's mock, a library's patch.

Kept inside a tuple, where tools that replace functions in every module (freezegun) do not find them.
"""

from __future__ import annotations

import time

_CLOCKS = (time.monotonic, time.time)


def monotonic() -> float:
    """Seconds that only ever grow; the same clock in every process of a host."""
    return _CLOCKS[0]()


def wall() -> float:
    """Unix time in seconds, for where Redis's own is not known."""
    return _CLOCKS[1]()
