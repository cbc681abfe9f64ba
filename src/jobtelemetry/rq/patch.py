"""Wrapping methods of classes that are not ours, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import wrapt

from jobtelemetry.rq.arguments import parameters

#: As wrapt calls it: the wrapped callable, the instance, positional and keyword arguments.
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], Mapping[str, Any]], Any]


class Patches:
    """The wrappers that are in place."""

    def __init__(self) -> None:
        self._originals: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, wrapper: Wrapper) -> bool:
        """Wrap a callable that ``owner`` (a class or module) defines itself.

        Returns:
            Whether it exists there: RQ moves methods between versions.
        """
        original = vars(owner).get(name)
        if original is None:
            return False
        self._originals.append((owner, name, original))
        parameters(getattr(original, "__func__", original))
        wrapt.wrap_function_wrapper(owner, name, wrapper)
        return True

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute."""
        self._originals.append((owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Put everything back, last first."""
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)
