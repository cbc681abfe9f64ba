"""Wishes in headers: those that make sense, and any others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtelemetry.exporter.negotiation import OPENMETRICS, TEXT, choose_format, gzip_is_welcome, scrape_time

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=0.0.4;q=0.25,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
WORDS = [
    "application/openmetrics-text",
    "text/plain",
    "*/*",
    "gzip",
    "version=",
    "version=abc",
    "q=",
    "q=0",
    "escaping=",
]
PIECES = st.sampled_from([*WORDS, *';,=\x00ü"', " ", "1.0.0", "0.5", "nan", "inf", "-1", "1e400"])
HEADERS = st.lists(PIECES, max_size=12).map("".join) | st.text()


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.8", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("text/plain;version=abc", TEXT),
        ("application/openmetrics-text;version=x", TEXT),
        ("text/plain;version=", TEXT),
    ],
)
def test_the_format(accept: str, chosen: object) -> None:
    """What is preferred and can be written, else plain text."""
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    ("header", "welcome"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("gzip;q=nonsense", False),
    ],
)
def test_packed_only_where_it_is_welcome(header: str, welcome: bool) -> None:
    """``q=0`` says no."""
    assert gzip_is_welcome(header) is welcome


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 9.5),
        ("1", 0.75),
        *((text, None) for text in ("", "nan", "-3", "1e999", "0", "inf", "1e-400", "10, 20", "0x10")),
    ],
)
def test_the_time_of_a_scrape(header: str, seconds: float | None) -> None:
    """Something is left for the way back; nonsense is no limit."""
    assert scrape_time(header) == seconds


@given(HEADERS)
def test_no_header_is_an_error(header: str) -> None:
    """Whatever it says, there is a format."""
    assert choose_format(header) in (TEXT, OPENMETRICS)
    assert gzip_is_welcome(header) in (True, False)
    assert (scrape_time(header) or 1) > 0
