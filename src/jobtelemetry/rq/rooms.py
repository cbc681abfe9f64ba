"""The rooms that the hooks' handlers live in: loaded with the first hook that is called, and not before.

What only puts hooks in place, an application that never enqueues, or not yet, pays for nothing else. An RQ worker calls
the first hook as it starts, so everything is there before its first fork, and no work-horse imports it again. Beside
Sentry's SDK everything is loaded at once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from jobtelemetry.config import Config
from jobtelemetry.rq.attach import Hook
from jobtelemetry.text import is_meant_for_rq

log = logging.getLogger("jobtelemetry")

#: Held while the rooms are loaded. A fork waits for that: in its child nobody would go on with it.
_loading = threading.RLock()
os.register_at_fork(before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release)


class Rooms:
    """One per process (and per :func:`jobtelemetry.instrument`).

    Args:
        config: The settings.
        off: Why nothing is counted in this process, if so.
        remarks: What the mark of an RQ worker says of its RQ.
    """

    def __init__(self, config: Config, off: str, remarks: Mapping[str, str]) -> None:
        self._config, self._off, self._remarks = config, off, remarks
        self._rooms: dict[str, Any] | None = None
        self._left = False

    @property
    def off(self) -> str:
        """Why nothing is counted in this process, if so."""
        return self._off

    def handler(self, hook: Hook) -> Callable[..., Any]:
        """The handler of a hook that is called."""
        if self._rooms is None:
            with _loading:
                if self._rooms is None:
                    self._rooms = self._load()
        room = self._rooms.get(hook.room)
        return pass_through if room is None else getattr(room, hook.handler)

    def enter(self) -> None:
        """The hooks are in place. Where Sentry's SDK is, it hears nothing more of what tells of an ending."""
        if "sentry_sdk" in sys.modules:
            with _loading:
                self._rooms = self._load()

    def leave(self) -> None:
        """The hooks are taken off."""
        with _loading:
            self._left = True
            if self._rooms:
                from jobtelemetry.sinks import sentry

                sentry.decide(False)

    def _load(self) -> dict[str, Any]:
        try:
            from jobtelemetry.rq import working

            return {} if self._left else working.rooms(self._config, self._off, self._remarks)
        except Exception as error:  # files that were replaced while this process ran, for one
            if is_meant_for_rq(error):
                raise
            log.exception("jobtelemetry cannot be loaded and is off in this process; jobs run as without it")
            return {}


def pass_through(call: Callable[[], Any], *_values: Any) -> Any:
    """RQ does its part, and nothing else happens."""
    return call()
