"""Did a ratio change? The interval for the difference of two independent proportions. Pure.

Newcombe's hybrid score interval, method 10 of R. G. Newcombe, *Interval estimation for the difference between
independent proportions: comparison of eleven methods*, Statistics in Medicine 17 (1998), 873-890. Each proportion
``k / n`` gets its Wilson score interval, the two solutions ``l``, ``u`` of ``|p - k/n| = z * sqrt(p * (1 - p) / n)``,
and the difference ``d = p1 - p2`` reaches from ``d - sqrt((p1 - l1)² + (u2 - p2)²)`` to
``d + sqrt((u1 - p1)² + (p2 - l2)²)``. Unlike the textbook's ``p ± z * sqrt(p * (1 - p) / n)`` it stays within -1 to 1
and is of use for small numbers and for ratios of 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class Proportion:
    """``hits`` of ``n``."""

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"a proportion needs 0 <= hits <= n, got {self.hits} of {self.n}")

    @property
    def ratio(self) -> float | None:
        """From 0 to 1; ``None`` of nothing."""
        return self.hits / self.n if self.n else None


@dataclass(frozen=True)
class Difference:
    """``after`` minus ``before``, and the interval that holds the true one with the confidence asked for."""

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether no difference at all lies outside of the interval."""
        return not self.low <= 0 <= self.high


def wilson(proportion: Proportion, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval.

    Args:
        proportion: Of at least one.
        confidence: Above 0 and below 1.

    Returns:
        The lower and the upper end, from 0 to 1.
    """
    hits, n = proportion.hits, proportion.n
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (hits + z * z / 2) / (n + z * z)
    spread = z * sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z)
    low = 0.0 if hits == 0 else max(0.0, centre - spread)
    high = 1.0 if hits == n else min(1.0, centre + spread)
    return low, high


def difference(before: Proportion, after: Proportion, confidence: float = 0.95) -> Difference | None:
    """Newcombe's interval for ``after - before``; ``None`` where one of them is of nothing."""
    p1, p2 = after.ratio, before.ratio
    if p1 is None or p2 is None:
        return None
    (l1, u1), (l2, u2) = wilson(after, confidence), wilson(before, confidence)
    value = p1 - p2
    return Difference(
        value,
        max(-1.0, value - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)),
        min(1.0, value + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)),
    )
