"""Which worker label a job has."""

from __future__ import annotations

import functools
import os

import pytest
from redis import Redis
from rq.decorators import job as rq_job
from rq.job import Job

from jobtelemetry import ConfigError, job
from jobtelemetry.options import options_of
from jobtelemetry.rq import labels


@job(name="ShowtimeProcessJob")
def renamed():
    """A function with a name of its own."""


class Scraper:
    """A class whose instances and methods are enqueued."""

    def __call__(self):
        """Run."""

    def fetch(self):
        """Run too."""

    def perform(self):
        """Stands for the class."""

    @classmethod
    def nightly(cls):
        """A method of the class."""

    @staticmethod
    def fixed():
        """A function that lives in the class."""

    @staticmethod
    def run():
        """Stands for the class."""


class Special(Scraper):
    """Another kind of work."""


@job(name="Invoice")
class Named:
    """A class with a name of its own."""

    def perform(self):
        """Stands for the class."""

    def send(self):
        """A kind of work."""

    @job(name="ArchiveJob")
    def archive(self):
        """Another, with a name of its own."""


@functools.cache
def remembered():
    """A function whose result is."""


HERE = __name__


@pytest.mark.parametrize(
    ("function", "label"),
    [
        ("cinema.jobs.sync", "cinema.jobs.sync"),
        (os.getpid, "posix.getpid"),
        (renamed, "ShowtimeProcessJob"),
        (Scraper(), f"{HERE}.Scraper"),
        (Scraper().fetch, f"{HERE}.Scraper.fetch"),
        (Scraper().perform, f"{HERE}.Scraper"),
        (Scraper().__call__, f"{HERE}.Scraper"),
        (Scraper.nightly, f"{HERE}.Scraper.nightly"),
        (f"{HERE}.Scraper.nightly", f"{HERE}.Scraper.nightly"),
        (Scraper.fixed, f"{HERE}.Scraper.fixed"),
        (Scraper.run, f"{HERE}.Scraper"),
        (f"{HERE}.Scraper.run", f"{HERE}.Scraper"),
        (Special().fetch, f"{HERE}.Special.fetch"),
        ("cinema.jobs.run", "cinema.jobs.run"),
        ("cinema.jobs._Sync.perform", "cinema.jobs._Sync"),
        (b"cinema.jobs.Sync.perform", "cinema.jobs.Sync"),
        (Named().send, "Invoice.send"),
        (f"{HERE}.Named.send", "Invoice.send"),
        (Named().perform, "Invoice"),
        (f"{HERE}.renamed", "ShowtimeProcessJob"),
        (Named().archive, "ArchiveJob"),
        (f"{HERE}.Named.archive", "ArchiveJob"),
        (remembered, f"{HERE}.remembered"),
        (functools.partial(os.getpid), "posix.getpid"),
        (functools.partial(functools.partial(renamed), 1), "ShowtimeProcessJob"),
        (functools.partial(Scraper()), f"{HERE}.Scraper"),
    ],
)
def test_a_producer_knows_the_function_or_class(function, label):
    """The dotted path of a function, of the class for methods and instances, or the name that was given."""
    assert labels.of_callable(function) == label


@pytest.mark.parametrize(
    ("description", "label"),
    [
        ("cinema.jobs.sync('a', b=1)", "cinema.jobs.sync"),
        ("cinema.jobs.Class.method()", "cinema.jobs.Class.method"),
        ("cinema.jobs.Class.perform()", "cinema.jobs.Class"),
        ("cinema.jobs.perform()", "cinema.jobs.perform"),
        ("fetch('a')", labels.UNKNOWN),
        ("__call__()", labels.UNKNOWN),
        ("Send the weekly mail (again)", labels.UNKNOWN),
        (None, labels.UNKNOWN),
    ],
)
def test_a_description_tells_where_no_producer_did(description, label):
    """RQ's own description names the function; a user's tells nothing."""
    waiting = Job(id="x", connection=Redis())
    waiting.description = description
    assert labels.of_waiting_job(waiting) == label


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, None])
def test_a_name_that_is_none_is_refused(name):
    """@job(name=...) wants a text that can be a label."""
    with pytest.raises(ConfigError, match="job"):
        job(name=name)


def test_a_label_is_never_long():
    """A description or a path of a megabyte is a label of 200 characters, the same one wherever it is made."""
    path = "W" * 1_000_000 + ".x"
    waiting = Job(id="x", connection=Redis())
    waiting.description = f"{path}()"
    label = labels.of_waiting_job(waiting)
    assert label == labels.of_callable(path)
    assert len(label) == 200


@rq_job("mail", connection=Redis())
@job(name="shop.mail", report="never")
def mailed():
    """Ours inside of RQ's."""


@job(name="shop.mail", report="never")
@rq_job("mail", connection=Redis())
def sent():
    """RQ's inside of ours."""


@pytest.mark.parametrize("function", [mailed, sent])
def test_our_decorator_goes_together_with_rqs(function):
    """In either order: the function still enqueues itself, and has its name and its report."""
    assert callable(function.enqueue)
    assert labels.of_callable(function) == "shop.mail"
    assert options_of(function).report == "never"
