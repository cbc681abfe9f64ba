"""How figures are written for people."""

from __future__ import annotations

import pytest

from jobtelemetry.exporter import formats


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, formats.NOTHING),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.57927, "57.9 %"),
        (0.99999, "99.9 %"),
        (0.00001, "0.1 %"),
    ],
)
def test_a_percentage_never_rounds_to_all_or_nothing(ratio: float | None, text: str) -> None:
    """Only what is exactly 0 or 1 reads 0 % or 100 %: one lost job in a million must show."""
    assert formats.percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, formats.NOTHING),
        (0.0025, "2.5 ms"),
        (0.0333, "33 ms"),
        (0.9999, "1.0 s"),
        (4.62, "4.6 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_read_naturally(seconds: float | None, text: str) -> None:
    """A duration has the unit in which people say it."""
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "just now"), (0.4, "just now"), (3.2, "3 s ago"), (119, "1 min ago"), (7200, "2 h ago"), (90_000, "1 d ago")],
)
def test_moments_are_told_by_their_largest_unit(seconds: float, text: str) -> None:
    """How long ago it was is told roughly, and a clock that is behind gives no negative time."""
    assert formats.ago(seconds) == text


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    """A worker is shown by the last part of its path, and by more where another ends alike."""
    assert formats.short_names(["cinema.jobs.sync", "cinema.jobs.Import", "theatre.jobs.Import", "__other__"]) == {
        "cinema.jobs.sync": "sync",
        "cinema.jobs.Import": "cinema.jobs.Import",
        "theatre.jobs.Import": "theatre.jobs.Import",
        "__other__": "all others",
    }
    assert formats.short_names(["sync", "cinema.sync"]) == {"sync": "sync", "cinema.sync": "cinema.sync"}
    assert formats.short_names(["a.b.sync", "a.c.sync"]) == {"a.b.sync": "b.sync", "a.c.sync": "c.sync"}


def test_numbers_and_moments() -> None:
    """Thousands are separated, and a moment is written in UTC."""
    assert formats.number(1274) == "1,274"
    assert formats.iso(1_770_000_000) == "2026-02-02T02:40:00Z"


@pytest.mark.parametrize("odd", [1e18, -1e18, float("inf"), float("-inf"), float("nan")])
def test_what_no_calendar_has_is_no_error(odd: float) -> None:
    """A clock that is wrong, or a field that is not ours, never takes a page down."""
    assert formats.iso(odd) == formats.NOTHING
    assert formats.ago(odd)
    assert formats.duration(odd)


def test_texts_and_numbers_are_short() -> None:
    """Texts are cut with a mark, and rates have at most three digits that matter."""
    assert (formats.cut("abc", 3), formats.cut("abcd", 3)) == ("abc", "ab…")
    assert formats.cut("a\u202eb\x1bc\td") == "a\ufffdb\ufffdc d"
    shown = [formats.short_number(value) for value in (0, 0.44, 9.5, 1274, 123_456, 3_200_000)]
    assert shown == ["0", "0.4", "9.5", "1,274", "123 k", "3.2 M"]
    assert [formats.per_minute(rate) for rate in (0.2, 0, None)] == ["12 / min", "0", formats.NOTHING]
