"""From a user's words to a selection: names are looked up, so that a wrong one is an error and not an empty answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobtelemetry.cli.connecting import Target
from jobtelemetry.questions.log import newest_first
from jobtelemetry.questions.names import known_series, matching, near, near_ids, queue_called, workers_called
from jobtelemetry.questions.selection import Selection


def selection(
    where: Target,
    *,
    worker: str | None = None,
    queue: str | None = None,
    state: Any = None,
    reason: str | None = None,
    error_type: str | None = None,
    source: str | None = None,
    attributes: Iterable[tuple[str, str]] = (),
    job: str | None = None,
    **others: Any,
) -> Selection:
    """What the filter options ask for; those without a word here are called as in :class:`Selection`.

    Raises:
        UnknownNameError: No worker or queue has such a name.
    """
    workers = None
    if worker or queue:
        labels, queues = known_series(where.connection, where.keys)
        if worker:
            workers = _workers(where, worker, labels)
        if queue:
            queue_called(queue, queues)
    return Selection(
        workers=workers,
        queue=queue or "",
        states=state or frozenset(),
        reason=reason or "",
        error_type=error_type or "",
        source=source or "",
        job=job or "",
        attributes=dict(attributes),
        **{name: value for name, value in others.items() if value},
    )


def misspelt(where: Target, wanted: Selection) -> str:
    """What may be meant where nothing was found: a sentence that begins with a space, or nothing.

    Names of workers and queues were looked up before; of other facts only the log knows which there are.
    """
    asked = {
        "error type": (wanted.error_type, "error_type"),
        "reason": (wanted.reason, "reason"),
        "RQ worker": (wanted.rq_worker, "rq_worker"),
        "source": (wanted.source, "source"),
        "job": (wanted.job, "job"),
    }
    asked = {what: one for what, one in asked.items() if one[0]}
    if not asked and not wanted.attributes:
        return ""
    entries = list(newest_first(where.connection, where.keys))
    said = []
    for what, (value, fact) in asked.items():
        known = {getattr(entry, fact) for entry in entries} - {""}
        if known and value not in known:
            close = near_ids(value, known) if what == "job" else near(value, known)
            said.append(f" No entry has the {what} {value!r}{_or(close)}")
    keys = {key for entry in entries for key in entry.attributes}
    said += [f" No entry has an attribute {key!r}{_or(near(key, keys))}" for key in set(wanted.attributes) - keys]
    return "".join(said)


def _or(close: list[str]) -> str:
    return f"; did you mean {', '.join(close)}?" if close else "."


def _workers(where: Target, name: str, labels: frozenset[str]) -> frozenset[str]:
    if found := matching(name, labels):
        return found
    # A label that its family had no room for, or that was reset, is in the log alone.
    return workers_called(name, labels | {entry.worker for entry in newest_first(where.connection, where.keys)})
