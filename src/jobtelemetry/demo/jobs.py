"""The Cinema City pipeline: what runs on the demo's workers.

One :class:`SyncJob` enqueues a :class:`CinemaDateJob` per cinema and date; these enqueue one :class:`MovieDetailJob`
per film, whichever of them meets the film first, and a :class:`ShowtimeProcessJob` per showtime. How many there are
of each, and how they end, is in the data alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis
from rq import Queue, get_current_job

from jobtelemetry import Cancel
from jobtelemetry.attributes import set_attribute
from jobtelemetry.demo import listing, matching
from jobtelemetry.demo.titles import Titles

SCRAPING = "scraping"
SHOWTIMES = "showtimes"
QUEUES = (SCRAPING, SHOWTIMES)
SOURCE = "cinema_city"

_FILMS_SEEN = "demo:films:seen"


@dataclass(frozen=True)
class CinemaJob(ABC):
    """A job of the pipeline: a callable whose fields are its arguments."""

    @property
    @abstractmethod
    def job_id(self) -> str:
        """RQ's id for it; the same work has the same id."""

    @abstractmethod
    def __call__(self) -> object:
        """Do the work, on an RQ worker."""


@dataclass(frozen=True)
class SyncJob(CinemaJob):
    """Asks the site which cinemas play on which dates; ``titles`` is handed down to the showtimes."""

    titles: Titles

    @property
    def job_id(self) -> str:
        """There is one."""
        return "cinema_city_sync"

    def __call__(self) -> int:
        """Enqueue a :class:`CinemaDateJob` for each; returns how many."""
        jobs = [CinemaDateJob(day.cinema_id, day.date, self.titles) for day in listing.cinema_dates()]
        enqueue(_connection(), SCRAPING, jobs)
        return len(jobs)


@dataclass(frozen=True)
class CinemaDateJob(CinemaJob):
    """Asks the site for the showtimes of one cinema on one date."""

    cinema_id: str
    date: str
    titles: Titles

    @property
    def job_id(self) -> str:
        """One per cinema and date."""
        return f"cinema_city_date_{self.cinema_id}_{self.date}"

    def __call__(self) -> int:
        """Enqueue the films that no other job has met yet, and all showtimes; returns how many showtimes."""
        connection = _connection()
        shown = listing.showtimes(listing.CinemaDate(self.cinema_id, self.date))
        unseen = _claim(connection, sorted({showtime.film_id for showtime in shown}))
        enqueue(connection, SCRAPING, [MovieDetailJob(film_id) for film_id in unseen])
        enqueue(connection, SHOWTIMES, [ShowtimeProcessJob(showtime, self.titles) for showtime in shown])
        return len(shown)


@dataclass(frozen=True)
class MovieDetailJob(CinemaJob):
    """Asks the site about one film."""

    film_id: str

    @property
    def job_id(self) -> str:
        """One per film."""
        return f"cinema_city_film_{self.film_id}"

    def __call__(self) -> None:
        """Store the film's titles."""
        film = listing.films()[self.film_id]
        _store(f"demo:film:{self.film_id}", {"name": film.name, "original_name": film.original_name})


@dataclass(frozen=True)
class ShowtimeProcessJob(CinemaJob):
    """Turns one showtime into an event of a film that the database knows."""

    showtime: listing.Showtime
    titles: Titles

    @property
    def job_id(self) -> str:
        """One per showtime."""
        showtime = self.showtime
        return f"cinema_city_showtime_{showtime.cinema_id}_{showtime.film_id}_{showtime.event_id}"

    def __call__(self) -> str:
        """Store the event and return the id of its film.

        Raises:
            Cancel: The database has no film with such a title. Nothing went wrong, and trying again will not help.
        """
        set_attribute("film_id", self.showtime.film_id)
        set_attribute("title", self.showtime.title)
        film, best = matching.find(self.titles, self.showtime.title, self.showtime.original_title)
        if film is None:
            raise Cancel(
                "movie_not_matched",
                detail=f"{self.showtime.title!r} is most like {best.film.title!r}: {best.similarity:.2f}, "
                f"and {self.titles.threshold:.2f} is asked for",
            )
        matched = {"film": film.film_id, "similarity": round(best.similarity, 3)}
        _store(f"demo:event:{self.showtime.event_id}", asdict(self.showtime) | matched)
        return film.film_id


def enqueue(connection: Redis, queue: str, jobs: Iterable[CinemaJob]) -> None:
    """Put the jobs on a queue in one round trip."""
    batch = [
        Queue.prepare_data(
            job, job_id=job.job_id, description=f"{type(job).__module__}.{job!r}", meta={"source": SOURCE}
        )
        for job in jobs
    ]
    if batch:
        Queue(queue, connection=connection).enqueue_many(batch)


def _claim(connection: Redis, film_ids: list[str]) -> list[str]:
    """Those of the films that nobody has claimed before: Redis says so to exactly one of all who ask.

    A job that dies between claim and enqueue takes its films with it; a demo can live with that.
    """
    with connection.pipeline() as pipeline:
        for film_id in film_ids:
            pipeline.sadd(_FILMS_SEEN, film_id)
        return [film_id for film_id, is_new in zip(film_ids, pipeline.execute(), strict=True) if is_new]


def _store(key: str, facts: dict[Any, Any]) -> None:
    _connection().hset(key, mapping=facts)


def _connection() -> Redis:
    job = get_current_job()
    if job is None:
        raise RuntimeError("a job of the demo was called outside an RQ worker; enqueue it instead")
    return job.connection
