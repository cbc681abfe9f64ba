"""Figures as people read them in a terminal: ASCII only, with a dash where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from jobtelemetry.cli.terminal import NOTHING
from jobtelemetry.contract import OTHER
from jobtelemetry.exporter import formats
from jobtelemetry.questions.selection import written


def seconds(value: float | None, longest: float = math.inf) -> str:
    """``12 ms``, ``1.4 s``; what lies beyond the last bucket is ``> 4 h``."""
    if value is None:
        return NOTHING
    return f"> {formats.duration(longest)}" if math.isinf(value) else formats.duration(value)


def plain_seconds(value: float | None) -> str:
    """``0.012000``, or nothing; for a pipe."""
    return "" if value is None else f"{value:.6f}"


def size(value: float | None) -> str:
    """``312 MB``."""
    return NOTHING if value is None else formats.size(value)


def quantity(value: float | None, unit: str = "") -> str:
    """``1,274``, ``9.99``, of seconds and bytes as people say them."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else str(value)
    return formats.quantity(value, unit)


def percent(ratio: float | None) -> str:
    """``57.9 %``."""
    return NOTHING if ratio is None else formats.percent(ratio)


def plain_ratio(ratio: float | None) -> str:
    """``0.5793``, or nothing; for a pipe."""
    return "" if ratio is None else f"{ratio:.4f}"


def plain_moment(when: float | None) -> str:
    """``2026-01-31T12:00:00Z``, or nothing; for a pipe."""
    return "" if when is None else formats.iso(when)


def short(worker: str) -> str:
    """The last name of a dotted path."""
    return "(all others)" if worker == OTHER else worker.rpartition(".")[2]


def short_names(workers: Iterable[str]) -> Mapping[str, str]:
    """For each dotted path the shortest ending that no other has."""
    return formats.short_names(workers)


def attributes(values: Mapping[str, object]) -> str:
    """``film_id=4124 title=Velvet Meridian``."""
    return " ".join(f"{key}={written(value)}" for key, value in values.items())
