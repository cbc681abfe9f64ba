"""The jobs: what the worker imports."""

from jobtelemetry import Cancel

FILMS = {1: "Kot, który liczył latarnie", 2: "Velvet Meridian"}


def match_film(film_id: int) -> str:
    """Find a film; one that is unknown is no error."""
    if film_id not in FILMS:
        raise Cancel("film_unknown", detail=f"film {film_id}")
    return FILMS[film_id]


def parse_price(text: str) -> float:
    """Read a price; text that is none is an error."""
    return float(text)
