"""Find the film that a listing means, by the similarity of titles.

A title on a listing carries its format (``2D NAPISY``), a series (``Kino Seniora: ...``) or a typo; the film database
knows the original title and, for some films, the Polish one. The similarity is Levenshtein's, from 0 to 1, over
titles stripped of case, punctuation and format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from jobtelemetry.demo.titles import Titles

_FORMAT = re.compile(r"\b(?:2d|3d|4dx|imax|dubbing|napisy|lektor)\b")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Film:
    """A film of the database; ``polish_title`` is empty where the database has none."""

    film_id: str
    title: str
    polish_title: str = ""


@dataclass(frozen=True)
class Candidate:
    """The film whose title is most alike, and how alike, from 0 to 1."""

    film: Film
    similarity: float


def find(titles: Titles, polish: str, original: str) -> tuple[Film | None, Candidate]:
    """Look a listing's film up.

    Args:
        titles: Which titles count.
        polish: The Polish title as listed, with all its decoration.
        original: The original title as listed.

    Returns:
        The film, ``None`` if no title was alike enough, and the best candidate of the last title looked up.
    """
    for title in titles.of(polish, original):
        candidate = nearest(title)
        if candidate.similarity >= titles.threshold:
            return candidate.film, candidate
    return None, candidate


def nearest(title: str) -> Candidate:
    """The film of the database whose title is most like this one."""
    films, names = _index()
    _, similarity, position = process.extractOne(plain(title), names, scorer=Levenshtein.normalized_similarity)
    return Candidate(films[position], similarity)


def plain(title: str) -> str:
    """The title in lower case, without punctuation and without what only tells the format."""
    return " ".join(_WORD.findall(_FORMAT.sub(" ", title.casefold())))


@cache
def database() -> tuple[Film, ...]:
    """The film database that the demo ships."""
    text = (resources.files("jobtelemetry.demo") / "data" / "film_database.json").read_text(encoding="utf-8")
    return tuple(Film(row["id"], row["title"], row.get("polish_title", "")) for row in json.loads(text))


@cache
def _index() -> tuple[tuple[Film, ...], tuple[str, ...]]:
    films, names = zip(*_named_films(), strict=True)
    return films, names


def _named_films() -> Iterator[tuple[Film, str]]:
    for film in database():
        for title in filter(None, (film.title, film.polish_title)):
            yield film, plain(title)
