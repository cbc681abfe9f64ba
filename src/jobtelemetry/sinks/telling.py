"""What a sink is, and the one loop that tells all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from jobtelemetry.events import ExecutionEvent

_Steps = tuple[tuple[str, Callable[..., object]], ...]


class Sink(Protocol):
    """Is told of every ending; the other protocols here say what one may do besides."""

    def __call__(self, event: ExecutionEvent) -> None:
        """Make of an ending what this sink makes of it."""


class NeedsParent(Protocol):
    """A sink that may have nowhere to send an event in a work-horse, where the parent process may have."""

    def needs_parent(self, event: ExecutionEvent) -> bool:
        """Whether this is an event to send, and not from this process."""


class EntersHorse(Protocol):
    """A sink that has to do something when it comes into a work-horse by a fork."""

    def enter_horse(self) -> None:
        """In a work-horse, before its job: leave to the parent what is the parent's."""


class Flushes(Protocol):
    """A sink that sends in the background."""

    def flush(self) -> None:
        """Where a process ends: wait for what is still being sent, for as long as the sink sees fit."""


class Sinks:
    """All sinks as one. An error in one of them harms neither the others nor whoever tells.

    Args:
        sinks: Who is told, in this order.
        on_error: Takes the hook's name and every exception of a sink. What it raises goes on to whoever tells: so an
            exception that was raised into a sink and is meant for somebody else passes.
    """

    def __init__(self, sinks: Iterable[Sink], on_error: Callable[[str, Exception], None]) -> None:
        named = [(f"sink_{type(sink).__name__.lower()}", sink) for sink in sinks]
        # Sorted once: telling is on the path of every job.
        self._every: _Steps = tuple(named)
        self._asked = _who_can(named, "needs_parent")
        self._stranded: _Steps = tuple((hook, sink) for hook, sink in named if hasattr(sink, "needs_parent"))
        self._entering = _who_can(named, "enter_horse")
        self._flushing = _who_can(named, "flush")
        self._on_error = on_error

    @property
    def hooks(self) -> tuple[str, ...]:
        """The name under which the errors of each sink are counted."""
        return tuple(hook for hook, _ in self._every)

    def tell(self, event: ExecutionEvent) -> None:
        """Hand an ending to every sink."""
        self._each(self._every, event)

    def needs_parent(self, event: ExecutionEvent) -> bool:
        """In a work-horse: whether a sink has nowhere to send the event that its parent may have."""
        return True in self._each(self._asked, event)

    def tell_for_horse(self, event: ExecutionEvent) -> None:
        """In the parent: hand an ending to the sinks that could not send it from the work-horse which told the rest."""
        self._each(self._stranded, event)

    def enter_horse(self) -> None:
        """In a work-horse, before its job: nothing that is the parent's to do is done here again."""
        self._each(self._entering)

    def flush(self) -> None:
        """Where a process ends: wait, as long as each sink sees fit, for what is still being sent."""
        self._each(self._flushing)

    def _each(self, steps: _Steps, *given: ExecutionEvent) -> list[object]:
        """The one loop; what the steps answered."""
        answers = []
        for hook, step in steps:
            try:
                answers.append(step(*given))
            except Exception as error:  # noqa: BLE001 - whoever tells decides what to do about it
                self._on_error(hook, error)
        return answers


def _who_can(named: Iterable[tuple[str, Sink]], method: str) -> _Steps:
    return tuple((hook, getattr(sink, method)) for hook, sink in named if hasattr(sink, method))
