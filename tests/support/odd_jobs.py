"""Jobs that do what no job should, and say what nobody can read."""

from __future__ import annotations

import functools
import os
import signal
from typing import Any

from rq import get_current_job

from jobtelemetry import Cancel, Discard, set_attribute
from support.jobs import _meet, books, note

#: What Python makes of a byte of a file name that is not UTF-8.
HALF = "x\udcffy"
_opened: list[Any] = []


class Speechless(Exception):
    """Raises when it is asked what happened."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Wordless(Exception):
    """Has a text that is none."""

    __str__ = staticmethod(lambda: None)


class Childless(Exception):
    """Looks like a group and holds nothing."""

    exceptions = None


class Secretive(Exception):
    """Raises when it is asked what it holds."""

    @property
    def exceptions(self) -> Any:
        raise RuntimeError("none of your business")


class _Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__jobtelemetry__", "exceptions"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Masked(Exception, metaclass=_Nameless):
    """Has a class that does not say its name."""


#: Classes of errors by their names.
ERRORS = {
    "Speechless": Speechless,
    "Wordless": Wordless,
    "Childless": Childless,
    "Secretive": Secretive,
    "Masked": Masked,
}


class FilmGone(Cancel):
    """A cancellation whose constructor does not call the one that it inherits."""

    def __init__(self, film: int) -> None:
        self.film = film


class BadPayload(Discard):
    """A discard whose constructor does not either."""

    def __init__(self, payload: str) -> None:
        self.payload = payload


def fail(error: str, until: int = 1_000_000) -> int:
    """Raise one of :data:`ERRORS` before the given attempt, and return in it."""
    if (now := note()) < until:
        raise ERRORS[error]("as told")
    return now


def fail_in_euros() -> None:
    """Raise in the first attempt, with a text that Latin-1 does not have."""
    if note() < 2:
        raise ValueError("12 €")


def cancel_with_half_a_character() -> None:
    """End as cancelled, with a detail that UTF-8 does not have."""
    note()
    raise Cancel("movie_not_matched", detail=HALF)


def cancel_without_a_reason() -> None:
    """End as cancelled by an exception that does not say why."""
    note()
    raise FilmGone(7)


def discard_with_half_a_character() -> None:
    """Fail without a retry, with a detail that UTF-8 does not have."""
    note()
    raise Discard("bad_payload", detail=HALF)


def discard_without_a_reason() -> None:
    """Fail without a retry by an exception that does not say why."""
    note()
    raise BadPayload("{}")


#: Attributes that no store has room or words for, and what is kept of them.
ATTRIBUTES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "half a character in the value": ("film", HALF, {"film": "x\\udcffy"}),
    "half a character in the key": (HALF, 1, {"x\\udcffy": 1}),
    "a number without end": ("n", 10**5000, {"n": hex(10**5000)[:500]}),
    "a value that has no text": ("film", Speechless(), {"film": ""}),
    "a key that has no text": (Speechless(), 1, {"": 1}),
    "a key without end": ("k" * 100_000, 1, {"k" * 128: 1}),
    "a text without end": ("film", "é" * 100_000, {"film": "é" * 500}),
}


def attribute(name: str) -> None:
    """Set one of :data:`ATTRIBUTES`."""
    note()
    key, value, _ = ATTRIBUTES[name]
    set_attribute(key, value)


def take_all_descriptors(then_set_attribute: bool = False) -> None:
    """Close every descriptor that is open, and open files under the same numbers."""
    note()
    os.closerange(3, 200)
    folder = books() / "files"
    folder.mkdir()
    _opened.extend((folder / str(number)).open("wb", buffering=0) for number in range(40))
    if then_set_attribute:
        set_attribute("film", "Rejs")


def close_all_descriptors() -> None:
    """Close every descriptor that is open."""
    note()
    os.closerange(3, 200)


def speak_into_a_broken_pipe() -> None:
    """Ask to be killed where nobody listens, wait for that, and speak."""
    note()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _meet("job", "return")
    set_attribute("film", "Rejs")


def forget_itself_and_die(how: str) -> None:
    """Delete its own job and end its process: by SIGKILL or with an exit code."""
    note()
    job = get_current_job()
    assert job is not None
    job.delete()
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(int(how))


@functools.lru_cache
def cached() -> None:
    """A job whose result is remembered."""
    note()
