"""Which execution this thread works for: what is measured in a job is written with its end.

Only :mod:`jobtelemetry.rq` knows executions, and only who imports :mod:`jobtelemetry.own_metrics` asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Measured(Protocol):
    """What an execution has measured."""

    def taken(self) -> Any:
        """What there is, from now on always the same: nothing is added any more."""


class Execution(Protocol):
    """An execution that this process performs."""

    measured: Measured | None

    def measure(self, measured: Measured) -> None:
        """It begins to measure."""


def nobody() -> None:
    """For :func:`find_with`: this process performs nothing."""


_find: Callable[[], Execution | None] = nobody
_connection: Callable[[], Any] = nobody
_config: Any = None
_instead: Execution | None = None

#: Writes what is measured outside of executions and not yet written; ``None`` as long as there is nothing of it.
leftover: Callable[[], object] | None = None


def find_with(find: Callable[[], Execution | None], connection: Callable[[], Any], config: Any) -> None:
    """From now on these say which execution this thread works for, what connection its job has, and the settings."""
    global _find, _connection, _config
    _find, _connection, _config = find, connection, config


def here() -> Execution | None:
    """The execution that this thread works for, if this process performs it."""
    return _instead or _find()


def connection_here() -> Any:
    """The connection of the job that this thread works for, also in a process that the job has forked."""
    return _connection()


def config_here() -> Any:
    """The settings that this process is instrumented with; ``None`` where it is not."""
    return _config


def taken_over() -> Execution | None:
    """What stands in for every execution of this process, in a test."""
    return _instead


@contextmanager
def instead(execution: Execution) -> Iterator[None]:
    """While this lasts, every thread of this process works for this one."""
    global _instead
    before, _instead = _instead, execution
    try:
        yield
    finally:
        _instead = before
