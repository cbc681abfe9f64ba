"""What the names that a user types mean: a worker's short name stands for its dotted path."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from jobtelemetry.errors import JobTelemetryError
from jobtelemetry.store.decode import series_of
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import text

_MOST_NAMED = 5


class UnknownNameError(JobTelemetryError):
    """Nothing has the name that was asked for."""


def known_series(connection: Any, keys: Keys) -> tuple[frozenset[str], frozenset[str]]:
    """The workers and the queues that were ever seen."""
    workers, queues = set(), set()
    for labels, _ in connection.zscan_iter(keys.sets, count=2000):
        series = series_of(text(labels))
        if series is not None:
            workers.add(series.worker)
            queues.add(series.queue)
    return frozenset(workers), frozenset(queues)


def matching(name: str, known: Iterable[str]) -> frozenset[str]:
    """The known names that a user can mean: the name itself, or else every dotted path that ends in it."""
    names = frozenset(known)
    return names & {name} or frozenset(one for one in names if one.endswith(f".{name}"))


def workers_called(name: str, known: Iterable[str]) -> frozenset[str]:
    """The workers that a user means.

    Args:
        name: A label, or the end of one from a dot on: ``ShowtimeProcessJob``.
        known: All labels.

    Raises:
        UnknownNameError: There is none; the message names what is near.
    """
    names = sorted(known)
    return matching(name, names) or _unknown("worker", name, names)


def queue_called(name: str, known: Iterable[str]) -> str:
    """The queue of this name.

    Raises:
        UnknownNameError: There is none; the message names what is near.
    """
    names = sorted(known)
    return name if name in names else next(iter(_unknown("queue", name, names)))


def metric_called(name: str, known: Iterable[str]) -> str:
    """The metric of this name; a counter's may be without ``_total``.

    Raises:
        UnknownNameError: There is none; the message names what is near.
    """
    names = sorted(known)
    found = next((one for one in (name, f"{name}_total") if one in names), None)
    return found or next(iter(_unknown("metric of your own", name, names)))


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like it, the best first; a short name is compared with short names."""
    short: dict[str, str] = {}
    for one in sorted(known):
        for end in {one, one.rpartition(".")[2]}:
            short.setdefault(end.lower(), one)
    word = name.lower()
    found = [short[end] for end in get_close_matches(word, short, n=2 * _MOST_NAMED, cutoff=0.6)]
    found += [one for end, one in sorted(short.items()) if word in end]
    return list(dict.fromkeys(found))[:_MOST_NAMED]


def near_ids(name: str, known: Iterable[str]) -> list[str]:
    """The known ids that begin with it, then those that hold it, in their order: there are too many to compare."""
    ids = list(dict.fromkeys(known))
    found = [*(one for one in ids if one.startswith(name)), *(one for one in ids if name in one)]
    return list(dict.fromkeys(found))[:_MOST_NAMED]


def _unknown(what: str, name: str, known: list[str]) -> frozenset[str]:
    if not known:
        raise UnknownNameError(f"no {what} is called {name!r}: nothing has been recorded in this Redis yet")
    if close := near(name, known):
        raise UnknownNameError(f"no {what} is called {name!r}; did you mean {', '.join(close)}?")
    named = ", ".join(known[:_MOST_NAMED])
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    raise UnknownNameError(f"no {what} is called {name!r}; there are {named}{more}")
