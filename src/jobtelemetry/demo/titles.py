"""Which titles of a listing are looked up, and how alike they must be."""

from __future__ import annotations

from enum import Enum


class Titles(str, Enum):
    """The two ways to look a film up that the demo can show."""

    POLISH = "polish"
    BOTH = "both"

    def __str__(self) -> str:
        return self.value

    @property
    def threshold(self) -> float:
        """The least similarity that counts as found; with two titles to go by, each may be less alike."""
        return 0.60 if self is Titles.POLISH else 0.50

    def of(self, polish: str, original: str) -> tuple[str, ...]:
        """The titles to look up, in order."""
        return (polish,) if self is Titles.POLISH else (original, polish)
