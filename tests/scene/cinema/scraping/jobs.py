"""What reads the cinema's pages."""

from __future__ import annotations

import random

from cinema.behaviour import spoilt, work
from cinema.errors import TooManyRequests, UpstreamTimeout

from jobtelemetry import Cancel
from jobtelemetry.attributes import set_attribute


def sync_repertoire(number: int) -> int:
    """Asks which films are on."""
    work(0.1, 0.4)
    if spoilt(0.3):
        raise TooManyRequests("429 Too Many Requests: rate limit exceeded, retry after 20 seconds")
    return number


def process_showtime(number: int) -> int:
    """Finds the film that a showtime is of, or gives up on purpose."""
    work(0.05, 0.3)
    set_attribute("film_id", f"film-{number % 40}")
    if spoilt(0.4):
        raise Cancel("hall_unknown", detail=f"no hall {number % 7 + 1} in this cinema")
    if random.random() < 0.3:
        raise Cancel("movie_not_matched", detail=f"nothing is like film {number % 40}")
    return number


def download_poster(number: int) -> int:
    """Fetches a picture; it is tried again."""
    work(0.1, 0.5)
    set_attribute("film_id", f"film-{number % 40}")
    if spoilt(0.25):
        raise UpstreamTimeout("posters.example.org did not answer within 5 s")
    if spoilt(0.2):
        raise ConnectionError("connection reset by posters.example.org")
    return number
