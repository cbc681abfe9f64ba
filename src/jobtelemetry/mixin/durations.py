"""Durations as Prometheus writes them: ``5m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re

from jobtelemetry.errors import ConfigError

_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def seconds(text: str) -> int:
    """How many seconds a duration has.

    Raises:
        ConfigError: It is not a duration, or has no length.
    """
    found = _DURATION.fullmatch(text)
    total = (
        sum(int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS.values(), strict=True)) if found else 0
    )
    if not total:
        raise ConfigError(f"expected a duration such as 30s, 5m, 1h30m or 7d, got {text!r}")
    return total


def normalised(text: str, *, what: str) -> str:
    """The duration itself, without spaces, if it is one.

    Raises:
        ConfigError: It is not; the message names ``what``.
    """
    try:
        seconds(text.strip())
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
    return text.strip()


def plus(first: str, second: str) -> str:
    """The sum of two durations."""
    return f"{seconds(first) + seconds(second)}s"


def step(window: str, points: int = 24) -> str:
    """A subquery's step that looks at a window about ``points`` times, in whole seconds."""
    return f"{max(1, seconds(window) // points)}s"


def spoken(text: str) -> str:
    """The duration in words, for descriptions: ``90m`` becomes ``90 minutes``."""
    words = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second"}
    parts = [(int(count), words[unit]) for count, unit in re.findall(r"(\d+)([wdhms])", text)]
    return " ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts)
