"""What the cinema's site returns: the films on the programme, and the showtimes of one cinema on one date.

The programme is a small table of invented films and places; the showtimes are laid out from it by arithmetic alone,
so that every run sees the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_FIRST_EVENT = 210_001
_OPENING = 10 * 60
_EVENING = 12 * 60


@dataclass(frozen=True)
class ListedFilm:
    """A film as the site lists it.

    Args:
        film_id: The site's id.
        name: The Polish title.
        original_name: The original title, as the site spells it.
        formats: How a showtime's title is made of the name; showtimes take them in turn.
        screenings: How many showtimes it has in all.
    """

    film_id: str
    name: str
    original_name: str
    formats: tuple[str, ...]
    screenings: int


@dataclass(frozen=True)
class CinemaDate:
    """One cinema on one date (``YYYY-MM-DD``)."""

    cinema_id: str
    date: str


@dataclass(frozen=True)
class Showtime:
    """One screening, with the title that hangs above the till: ``Velvet Meridian IMAX 2D NAPISY``."""

    event_id: str
    cinema_id: str
    film_id: str
    title: str
    original_title: str
    starts_at: str


@cache
def films() -> Mapping[str, ListedFilm]:
    """All films on the programme, by the site's id."""
    return {
        row["id"]: ListedFilm(row["id"], row["name"], row["original_name"], tuple(row["formats"]), row["screenings"])
        for row in _programme()["films"]
    }


@cache
def cinema_dates() -> tuple[CinemaDate, ...]:
    """All cinemas on all dates of the programme."""
    programme = _programme()
    return tuple(CinemaDate(cinema["id"], date) for date in programme["dates"] for cinema in programme["cinemas"])


def showtimes(cinema_date: CinemaDate) -> tuple[Showtime, ...]:
    """The showtimes of one cinema on one date, as the site would return them.

    Raises:
        KeyError: The cinema is not on the programme on that date.
    """
    return _timetable()[cinema_date]


@cache
def _timetable() -> Mapping[CinemaDate, tuple[Showtime, ...]]:
    """Deal out every film's screenings over the cinema dates, each film from a place of its own."""
    dates = cinema_dates()
    table: dict[CinemaDate, list[Showtime]] = {cinema_date: [] for cinema_date in dates}
    event = _FIRST_EVENT
    for row, film in enumerate(films().values()):
        for screening in range(film.screenings):
            cinema_date = dates[(row * 5 + screening * 7) % len(dates)]
            table[cinema_date].append(_showtime(film, screening, cinema_date, event))
            event += 1
    return {cinema_date: tuple(shown) for cinema_date, shown in table.items()}


def _showtime(film: ListedFilm, screening: int, cinema_date: CinemaDate, event: int) -> Showtime:
    minute = _OPENING + (event * 35) % _EVENING
    return Showtime(
        event_id=str(event),
        cinema_id=cinema_date.cinema_id,
        film_id=film.film_id,
        title=film.formats[screening % len(film.formats)].format(title=film.name),
        original_title=film.original_name,
        starts_at=f"{cinema_date.date}T{minute // 60:02d}:{minute % 60:02d}",
    )


@cache
def _programme() -> dict[str, Any]:
    text = (resources.files("jobtelemetry.demo") / "data" / "programme.json").read_text(encoding="utf-8")
    programme: dict[str, Any] = json.loads(text)
    return programme
