"""What a developer can say about a job's function, where it is defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from jobtelemetry.errors import ConfigError
from jobtelemetry.text import attribute

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__jobtelemetry__"
_LONGEST_NAME = 200

#: When Sentry hears of a job's failures: not at all, only of the last one, of each.
Report = Literal["never", "discard", "always"]
REPORTS: tuple[str, ...] = get_args(Report)


@dataclass(frozen=True)
class JobOptions:
    """What :func:`job` noted on a function.

    Args:
        name: The worker label to use instead of the dotted path; empty for the path.
        report: One of :data:`REPORTS`; empty for the default policy.
        max_attempts: How often it is run in all, whoever starts the attempts; 0 for as often as RQ knows.
    """

    name: str = ""
    report: str = ""
    max_attempts: int = 0


_NOTHING = JobOptions()


def job(*, name: str | None = None, report: Report | None = None, max_attempts: int | None = None) -> Callable[[F], F]:
    """Decorate a job's function (or class) with what jobtelemetry shall know about it.

    Args:
        name: The worker label that it is counted under, for instance the name that it had before it was moved.
        report: When Sentry hears of its failures, instead of the default policy: ``"never"``; ``"discard"``, only
            when the job will not run again; ``"always"``, each failed attempt. The log and the metrics stay.
        max_attempts: How many attempts a job has in all where something outside of RQ starts the next one, such as a
            script that requeues failed jobs. An attempt that fails before the last is then a ``failure``, and only the
            last one a ``discard``.

    Raises:
        ConfigError: ``name`` is empty or longer than 200 characters, ``report`` is another word, ``max_attempts`` is no
            number above 1, or all are missing.
    """
    if name is None and report is None and max_attempts is None:
        raise ConfigError("job(...) needs name=..., report=... or max_attempts=...")
    if name is not None and (not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME):
        raise ConfigError(f"job(name=...) must be a text of 1 to {_LONGEST_NAME} characters, got {name!r}")
    if report is not None and report not in REPORTS:
        raise ConfigError(f"job(report=...) must be one of {', '.join(REPORTS)}, got {report!r}")

    if max_attempts is not None and (type(max_attempts) is not int or max_attempts < 2):
        raise ConfigError(f"job(max_attempts=...) must be a whole number from 2 on, got {max_attempts!r}")
    options = JobOptions(name=(name or "").strip(), report=report or "", max_attempts=max_attempts or 0)

    def decorate(function: F) -> F:
        setattr(function, _ATTRIBUTE, options)
        return function

    return decorate


def options_of(function: object) -> JobOptions:
    """What was noted on a function, a class, a method or an instance; nothing noted gives the defaults."""
    options = attribute(function, _ATTRIBUTE)
    return options if isinstance(options, JobOptions) else _NOTHING
