"""What a scraper would like: a format, packed or not, and until when. Pure.

A header is a wish: one that makes no sense is passed over, and whatever it says there is an answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as _text
from prometheus_client.openmetrics.exposition import generate_latest as _openmetrics

_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")
_MOST_PARTS = 100  # of a header; what a scraper sends has five

#: Seconds that are left of a scrape's time for rendering and for the way back, or a quarter of it where it is short.
SCRAPE_MARGIN = 0.5


class Format(NamedTuple):
    """How metrics are written."""

    content_type: str
    render: Callable[[CollectorRegistry], bytes]


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", _text)
OPENMETRICS = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", _openmetrics)


def choose_format(accept: str) -> Format:
    """OpenMetrics where ``Accept`` prefers it to plain text, in a version that we write; else the text format."""
    best, chosen = 0.0, TEXT
    for name, parameters, quality in _wishes(accept):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            wished = OPENMETRICS
        elif name in ("text/plain", "text/*", "*/*"):
            wished = TEXT
        else:
            continue
        if quality > best:
            best, chosen = quality, wished
    return chosen


def gzip_is_welcome(accept_encoding: str) -> bool:
    """Whether ``Accept-Encoding`` names gzip, and not with ``q=0``."""
    return any(name == "gzip" and quality > 0 for name, _, quality in _wishes(accept_encoding))


def scrape_time(header: str) -> float | None:
    """Seconds that reading may take, from ``X-Prometheus-Scrape-Timeout-Seconds``; ``None`` where it says nothing."""
    try:
        seconds = float(header)
    except ValueError:
        return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return seconds - min(SCRAPE_MARGIN, seconds / 4)


def _wishes(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name in lower case, parameters and quality of every part of a header in the form of ``Accept``."""
    for part in header.split(",", _MOST_PARTS)[:_MOST_PARTS]:
        name, *rest = part.split(";")
        pairs = (word.partition("=") for word in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        quality = parameters.get("q", "1")
        yield name.strip().lower(), parameters, float(quality) if _QUALITY.fullmatch(quality) else 0.0
