"""What a metric may be: a clear error where it is defined, before anything of it is lost."""

from __future__ import annotations

import threading

from jobtelemetry.errors import MetricError
from jobtelemetry.store import own
from jobtelemetry.store.own import Definition

#: What our families begin with, and names that Prometheus gives to series of its own.
_OURS = "jobtelemetry_"
_PROMETHEUS = ("up", "ALERTS", "ALERTS_FOR_STATE")
_SCRAPE = "scrape_"
_defined: dict[str, Definition] = {}
_lock = threading.Lock()


def check(one: Definition) -> None:
    """Whether it can be a metric at all.

    Raises:
        MetricError: It cannot; the message says why and what to do.
    """
    if own.NAME.fullmatch(one.name) is None or len(one.name) > own.LONGEST_NAME:
        raise MetricError(
            f"a metric's name has letters, digits, '_' and ':', begins with none of the digits and has at most "
            f"{own.LONGEST_NAME} characters; got {one.name!r}"
        )
    if one.name.startswith(_OURS):
        raise MetricError(f"{one.name}: names that begin with {_OURS} are jobtelemetry's own; choose another")
    if one.name in _PROMETHEUS or one.name.startswith(_SCRAPE):
        raise MetricError(f"{one.name}: Prometheus gives this name to series that it makes itself; choose another")
    for label in one.labels:
        if own.LABEL.fullmatch(label) is None or label.startswith("__"):
            raise MetricError(
                f"{one.name}: a label's name has letters, digits and '_' and begins with neither a digit nor '__'; "
                f"got {label!r}"
            )
    if len(set(one.labels)) < len(one.labels) or len(one.labels) > own.MOST_LABELS:
        raise MetricError(f"{one.name}: at most {own.MOST_LABELS} different labels; got {', '.join(one.labels)}")
    if len(one.buckets) > own.MOST_BUCKETS or len(set(one.buckets)) < len(one.buckets):
        raise MetricError(f"{one.name}: at most {own.MOST_BUCKETS} different buckets; got {', '.join(one.buckets)}")
    if not own.sensible(one):
        raise MetricError(f"{one.name}: this cannot be a metric: {one}, unit {one.unit!r}")


def enter(one: Definition) -> None:
    """It is defined in this process; the same may be defined again, as by a module that is loaded twice.

    Raises:
        MetricError: Its name has another meaning here.
    """
    check(one)
    with _lock:
        for name in one.names:
            other = _defined.get(name)
            if other is not None and (other.name, other.kind, other.labels, other.buckets) != (
                one.name,
                one.kind,
                one.labels,
                one.buckets,
            ):
                raise MetricError(
                    f"{one.name} is defined twice in this process: as {other.name}, a {other}, and as {one.name}, a "
                    f"{one}; give one of them another name"
                )
        for name in one.names:
            _defined.setdefault(name, one)


def forget() -> None:
    """Forget what was defined here, for tests."""
    with _lock:
        _defined.clear()
