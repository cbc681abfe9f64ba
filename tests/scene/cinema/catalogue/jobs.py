"""What keeps the catalogue."""

from __future__ import annotations

import os
import signal
import time

from cinema.behaviour import spoilt, work
from cinema.errors import SourceLayoutChanged

from jobtelemetry.attributes import set_attribute


def refresh_movie_detail(number: int) -> int:
    """Reads the page of a film; it is not tried again."""
    work(0.1, 0.4)
    set_attribute("film_id", f"film-{number % 40}")
    if spoilt(0.33):
        raise SourceLayoutChanged(f"no element .cast on the page of film-{number % 40}")
    return number


def rebuild_search_index(number: int) -> int:
    """Holds what it indexes; more of it than there is, and the kernel ends it."""
    index = bytearray(os.urandom(1_000_000) * 30)
    work(0.4, 1.2)
    if spoilt(0.5):
        index += bytearray(os.urandom(1_000_000) * 170)
        os.kill(os.getpid(), signal.SIGKILL)
    return len(index) + number


def encode_trailer(number: int) -> int:
    """Takes minutes."""
    end = time.monotonic() + 75 + 25 * (number % 4)
    while time.monotonic() < end:
        sum(range(100_000))
        time.sleep(0.2)
    return number


def publish_film(number: int) -> int:
    """Runs when what it depends on is done."""
    work(0.05, 0.2)
    return number


def send_digest(number: int) -> int:
    """Writes to the readers, at a time that was set."""
    work(0.2, 0.6)
    return number
