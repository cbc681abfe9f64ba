"""What a forked process must not take over: locks that another thread held, and what that thread was changing."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What can begin anew."""

    def begin_anew(self) -> None:
        """Forget everything, locks too."""


_known: WeakSet[Renewable] = WeakSet()


def begin_anew_in_children(one: Renewable) -> None:
    """Let it begin anew in every process that is forked from now on, for as long as it lives."""
    _known.add(one)


def _in_child() -> None:
    for one in list(_known):
        one.begin_anew()


os.register_at_fork(after_in_child=_in_child)
