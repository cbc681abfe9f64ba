"""The programme: how many of everything there is, and that every run sees the same."""

from jobtelemetry.demo import listing


def test_size():
    """The programme has 22 cinema dates, 40 films and 1,274 showtimes."""
    assert len(listing.cinema_dates()) == 22
    assert len(listing.films()) == 40
    assert sum(len(listing.showtimes(day)) for day in listing.cinema_dates()) == 1274


def test_event_ids_are_unique():
    """No two showtimes share an event id, so no two jobs share an id."""
    events = [showtime.event_id for day in listing.cinema_dates() for showtime in listing.showtimes(day)]
    assert len(set(events)) == len(events)


def test_every_film_is_shown_in_more_than_one_place():
    """Every film is met by several cinema dates, so that enqueuing it once takes a decision."""
    for film_id in listing.films():
        places = [day for day in listing.cinema_dates() if film_id in {s.film_id for s in listing.showtimes(day)}]
        assert len(places) > 1, film_id


def test_showtimes_belong_to_their_cinema_date():
    """What a cinema returns for a date is of that cinema and that date, and no cinema is empty or flooded."""
    for day in listing.cinema_dates():
        shown = listing.showtimes(day)
        assert 50 <= len(shown) <= 65
        assert {showtime.cinema_id for showtime in shown} == {day.cinema_id}
        assert all(showtime.starts_at.startswith(f"{day.date}T") for showtime in shown)


def test_titles_carry_their_format():
    """A showtime's title contains the film's name and, for most films, what a listing adds to it."""
    shown = [showtime for day in listing.cinema_dates() for showtime in listing.showtimes(day)]
    assert all(listing.films()[showtime.film_id].name in showtime.title for showtime in shown)
    assert sum(listing.films()[showtime.film_id].name != showtime.title for showtime in shown) > len(shown) / 2
