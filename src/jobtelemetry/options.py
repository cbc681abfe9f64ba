"""What a developer can say about a job's function, where it is defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jobtelemetry.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__jobtelemetry__"
_LONGEST_NAME = 200


@dataclass(frozen=True)
class JobOptions:
    """What :func:`job` noted on a function.

    Args:
        name: The worker label to use instead of the dotted path; empty for the path.
    """

    name: str = ""


def job(*, name: str) -> Callable[[F], F]:
    """Decorate a job's function (or class) with the label that it is counted under.

    Args:
        name: The worker label, for instance the name that the job had before it was moved.

    Raises:
        ConfigError: ``name`` is empty or longer than 200 characters.
    """
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise ConfigError(f"job(name=...) must be a text of 1 to {_LONGEST_NAME} characters, got {name!r}")

    def decorate(function: F) -> F:
        setattr(function, _ATTRIBUTE, JobOptions(name=name.strip()))
        return function

    return decorate


def options_of(function: object) -> JobOptions:
    """What was noted on a function, a class, a method or an instance; nothing noted gives the defaults."""
    options = getattr(function, _ATTRIBUTE, None)
    return options if isinstance(options, JobOptions) else JobOptions()
