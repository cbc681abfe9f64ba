"""How figures are written for people. Pure."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Iterable
from datetime import datetime, timezone

from jobtelemetry.contract import OTHER

#: Stands where there is nothing to show.
NOTHING = "–"  # noqa: RUF001 - an en dash is meant
#: Characters that are shown of a text of other people's making.
LONGEST = 200


def number(value: int) -> str:
    """``1274`` as ``1,274``."""
    return f"{value:,}"


def short_number(value: float) -> str:
    """At most three digits that matter: ``0.4``, ``12``, ``1,274``, ``3.2 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e5, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.{0 if unit == 'k' else 1}f} {unit}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def per_minute(rate: float | None) -> str:
    """Events per second as ``12 / min``."""
    return NOTHING if rate is None else f"{short_number(rate * 60)} / min" if rate else "0"


def cut(text: str, most: int = LONGEST) -> str:
    """The text as a page may show it: its end left out where it is too long, and nothing that turns the direction."""
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return short if short.isprintable() else "".join(c if c.isprintable() else _stand_in(c) for c in short)


def _stand_in(character: str) -> str:
    return " " if character.isspace() else "\ufffd"


def percent(ratio: float | None) -> str:
    """``0.579`` as ``57.9 %``; only what is exactly all or nothing reads 100 or 0."""
    if ratio is None:
        return NOTHING
    if ratio in (0, 1):
        return f"{ratio:.0%}".replace("%", " %")
    return f"{min(max(ratio * 100, 0.1), 99.9):.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``12 ms``, ``1.4 s``, ``2 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.00995 else 0}f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            more = whole % size // part
            return f"{whole // size} {unit} {more} {rest}" if more else f"{whole // size} {unit}"
    return f"{whole} s"


def size(value: float | None) -> str:
    """Bytes as people say them: ``980 B``, ``12 kB``, ``312 MB``, ``1.4 GB``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.{1 if value < 9.95 * unit else 0}f} {name}"
    return f"{value:.0f} B"


def quantity(value: float | None, unit: str = "") -> str:
    """A number of somebody else's: ``1,274``, ``9.99``, ``0.0004``; of seconds and bytes as people say them."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None or math.isnan(value) else "∞" if value > 0 else "-∞"
    if unit == "seconds" and value >= 0:
        return duration(value) if value else "0 s"
    if unit == "bytes" and value >= 0:
        return size(value)
    if abs(value) >= 1e15 or 0 < abs(value) < 0.001:
        return f"{value:.3g}"
    digits = 3 if abs(value) < 1000 else 2 if abs(value) < 1e6 else 1
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".")


def ago(seconds: float) -> str:
    """Time since a moment: ``just now``, ``3 s ago``, ``2 h ago``; only the largest unit matters."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def iso(moment: float) -> str:
    """Unix time as ``2026-01-31T12:00:00Z``; a dash where no calendar has such a moment."""
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return NOTHING


def short_names(workers: Iterable[str]) -> dict[str, str]:
    """For each dotted path the shortest ending that no other has: ``process_showtime``, or ``cinema.run``."""
    endings = {worker: _endings(worker) for worker in workers}
    owners = Tally(ending for found in endings.values() for ending in found)
    short = {
        worker: next((ending for ending in found if owners[ending] == 1), worker) for worker, found in endings.items()
    }
    return short | {OTHER: "all others"} if OTHER in short else short


def _endings(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
