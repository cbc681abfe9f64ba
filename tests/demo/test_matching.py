"""What the titles really give, over the whole programme."""

from collections import Counter

import pytest

from jobtelemetry.demo import listing, matching
from jobtelemetry.demo.titles import Titles

SHOWTIMES = [showtime for day in listing.cinema_dates() for showtime in listing.showtimes(day)]
MARGIN = 0.02


def look_up(titles: Titles) -> dict[str, matching.Film]:
    """The film of every showtime that has one, by event id."""
    found = {s.event_id: matching.find(titles, s.title, s.original_title)[0] for s in SHOWTIMES}
    return {event: film for event, film in found.items() if film is not None}


def test_polish_titles_alone():
    """With the Polish title alone 738 showtimes find their film and 536 do not."""
    matched = len(look_up(Titles.POLISH))
    assert (matched, len(SHOWTIMES) - matched) == (738, 536)


def test_both_titles():
    """With the original title first at least 70 % find their film, and not all of them."""
    ratio = len(look_up(Titles.BOTH)) / len(SHOWTIMES)
    assert 0.70 <= ratio < 0.95


def test_the_second_title_adds_and_never_changes():
    """What the Polish title found is found with both titles too, and is the same film."""
    polish, both = look_up(Titles.POLISH), look_up(Titles.BOTH)
    assert polish.items() <= both.items()


def test_a_film_is_found_as_one_film():
    """All showtimes of a listed film that find anything find the same film, and no two listed films share one."""
    found = look_up(Titles.BOTH)
    pairs = {(s.film_id, found[s.event_id].film_id) for s in SHOWTIMES if s.event_id in found}
    assert max(Counter(listed for listed, _ in pairs).values()) == 1
    assert max(Counter(known for _, known in pairs).values()) == 1


@pytest.mark.parametrize("titles", Titles)
def test_no_decision_is_close(titles):
    """No similarity that decides is so near the threshold that another build of the library could tip it."""
    for showtime in SHOWTIMES:
        for title in titles.of(showtime.title, showtime.original_title):
            similarity = matching.nearest(title).similarity
            decided_before = similarity >= titles.threshold
            if titles is Titles.POLISH or decided_before or title == showtime.original_title:
                assert abs(similarity - titles.threshold) > MARGIN, title
            if decided_before:
                break


def test_plain():
    """Case, punctuation and format are not part of a title, a number is."""
    assert matching.plain("Wilcza przełęcz 2: Powrót IMAX 2D NAPISY") == "wilcza przełęcz 2 powrót"
    assert matching.plain("Ironclad Orchard (lektor)") == "ironclad orchard"


def test_nearest_names_the_film():
    """The nearest film to a decorated title is the film itself, with a similarity of 1."""
    nearest = matching.nearest("VELVET MERIDIAN 2D NAPISY")
    assert (nearest.film.title, nearest.similarity) == ("Velvet Meridian", 1.0)
