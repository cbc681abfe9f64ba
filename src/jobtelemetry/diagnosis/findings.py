"""What a check found, and how bad it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad a finding is; the worst one is the doctor's exit code, where what was not checked counts as good."""

    NOT_CHECKED = -1
    OK = 0
    WARNING = 1
    PROBLEM = 2

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
        check: What was looked at: ``redis``, ``permissions``, ...
        level: How bad it is.
        summary: What was found.
        advice: What to do about it; empty where nothing is to be done.
    """

    check: str
    level: Level
    summary: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self) | {"level": str(self.level)}


def exit_code(findings: Iterable[Finding]) -> int:
    """0 if all is well, 1 after a warning, 2 after a problem."""
    return max([Level.OK, *(finding.level for finding in findings)]).value


def size(number: float) -> str:
    """Bytes for people: ``4.5 MB``."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def many(number: int, noun: str) -> str:
    """``1 worker``, ``1,274 workers``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
