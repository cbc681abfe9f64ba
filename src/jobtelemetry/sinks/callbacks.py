"""What a user's own code makes of an ending."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from jobtelemetry.errors import ConfigError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.text import is_meant_for_rq

C = TypeVar("C", bound=Callable[[ExecutionEvent], object])

_callbacks: list[Callable[[ExecutionEvent], object]] = []


def on_execution(callback: C) -> C:
    """Have a function called with every ending that is counted, in the process that counts it; also a decorator.

    That is the work-horse as a rule, its parent where the horse was killed, and whoever finds an abandoned execution:
    a worker's maintenance, or the exporter. So register it where ``instrument()`` is called, and for the exporter in
    the module of its ``-c``. It is called after RQ's
    own transaction, once per counted ending. What it raises is logged and counted, and harms neither job nor worker;
    how long it takes is added to the job's work-horse.

    Args:
        callback: Gets the frozen :class:`ExecutionEvent`. Registered twice, it is called once.

    Raises:
        ConfigError: It is no function, or an asynchronous one, which nobody would await.
    """
    if not callable(callback) or inspect.iscoroutinefunction(callback):
        raise ConfigError(f"on_execution(callback) needs a function that is not asynchronous, got {callback!r}")
    if callback not in _callbacks:
        _callbacks.append(callback)
    return callback


def forget_callback(callback: Callable[[ExecutionEvent], object]) -> None:
    """Take a callback out again; one that is not registered is ignored."""
    with suppress(ValueError):
        _callbacks.remove(callback)


class CallbackSink:
    """Calls every callback; one that raises harms no other."""

    def __call__(self, event: ExecutionEvent) -> None:
        """Hand the event on. The first error is raised when all have been called."""
        first: Exception | None = None
        for callback in tuple(_callbacks):
            try:
                callback(event)
            except SystemExit as error:
                first = first or RuntimeError(f"a callback of on_execution called sys.exit({error.code!r})")
            except Exception as error:
                if is_meant_for_rq(error):
                    raise
                first = first or error
        if first is not None:
            raise first
