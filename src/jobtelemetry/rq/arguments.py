"""Arguments of RQ's methods by name, whatever their order in this version of RQ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import wrapt


@lru_cache(maxsize=128)
def parameters(function: Any) -> tuple[str, ...]:
    """The names of a function's parameters in order. Asked once before RQ forks, every work-horse knows."""
    return tuple(inspect.signature(function).parameters)


def argument(
    wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str, default: Any = None
) -> Any:
    """The value that a call passes for one parameter.

    Args:
        wrapped: The method that is being called, bound; by wrapt where the caller named the class
            (``Worker.execute_job(self, job, queue)``).
        args: Its positional arguments, without ``self``.
        kwargs: Its keyword arguments.
        name: The parameter's name.
        default: What to answer if it was not passed, or this version has no such parameter.
    """
    if name in kwargs:
        return kwargs[name]
    if isinstance(wrapped, wrapt.PartialCallableObjectProxy):
        function = wrapped.__wrapped__
    else:
        function = getattr(wrapped, "__func__", wrapped)
    names = parameters(function)
    if function is not wrapped:
        names = names[1:]
    try:
        return args[names.index(name)]
    except (ValueError, IndexError):
        return default
