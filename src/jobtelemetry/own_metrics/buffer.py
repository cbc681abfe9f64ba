"""What was measured and not yet written, by series."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobtelemetry.contract import Kind
from jobtelemetry.store.own import Change, Definition, Measurements

#: Series that one execution may measure, and that a process may have waiting outside of jobs.
MOST_IN_EXECUTION = 1_000
MOST_OUTSIDE = 10_000


class Series:
    """One series as this process knows it.

    Args:
        definition: What it is.
        values: Its label values.
        bounds: The upper bounds of a histogram, with infinity.
    """

    __slots__ = ("bounds", "definition", "key", "values")

    def __init__(self, definition: Definition, values: tuple[str, ...], bounds: tuple[float, ...] = ()) -> None:
        self.definition, self.values, self.bounds = definition, values, bounds
        self.key = definition.series(values)


Labels = Mapping[str, str]


@dataclass
class Pending:
    """What was measured in one series.

    Args:
        observations: How many calls.
        amount: What they add up to; since the value was set, if it was.
        value: What a gauge was set to.
        counts: Observations per bucket.
        exemplars: The newest one of a counter, under -1, or of each bucket.
    """

    observations: int = 0
    amount: float = 0
    value: float | None = None
    counts: dict[int, int] = field(default_factory=dict)
    exemplars: dict[int, tuple[float, Labels | None]] = field(default_factory=dict)


class Buffer:
    """What was measured since it was made, until it is taken.

    Any thread may add to it. Each method says whether it did: what was taken takes no more.

    Args:
        most: Series that it has room for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.RLock()  # a signal handler may measure something, too
        self._pending: dict[Series, Pending] = {}
        self._left_out = 0
        self._taken: Measurements | None = None

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return bool(self._pending or self._left_out)

    def add(self, series: Series, amount: float, exemplar: Labels | None = None) -> bool:
        """A counter or a gauge changed."""
        with self._lock:
            if self._taken is not None:
                return False
            pending = self._pending.get(series) or self._begin(series)
            if pending is not None:
                pending.observations += 1
                pending.amount += amount
                if series.definition.kind is Kind.COUNTER:
                    pending.exemplars[-1] = (amount, exemplar)
            return True

    def observe(self, series: Series, amount: float, exemplar: Labels | None = None) -> bool:
        """A histogram has one more observation."""
        with self._lock:
            if self._taken is not None:
                return False
            pending = self._pending.get(series) or self._begin(series)
            if pending is not None:
                bucket = bisect_left(series.bounds, amount)
                pending.observations += 1
                pending.amount += amount
                pending.counts[bucket] = pending.counts.get(bucket, 0) + 1
                pending.exemplars[bucket] = (amount, exemplar)
            return True

    def set(self, series: Series, value: float) -> bool:
        """A gauge was set."""
        with self._lock:
            if self._taken is not None:
                return False
            pending = self._pending.get(series) or self._begin(series)
            if pending is not None:
                pending.observations += 1
                pending.value, pending.amount = value, 0
            return True

    def leave_out(self, number: int = 1) -> bool:
        """Observations that are not kept, so that it is known how many."""
        with self._lock:
            if self._taken is not None:
                return False
            self._left_out += number
            return True

    def _begin(self, series: Series) -> Pending | None:
        if len(self._pending) >= self._most:
            self._left_out += 1
            return None
        pending = self._pending[series] = Pending()
        return pending

    def taken(self) -> Measurements:
        """What there is; from now on it takes no more, and this is always the same."""
        with self._lock:
            if self._taken is None:
                changes = tuple(_change(series, pending) for series, pending in self._pending.items())
                self._taken = Measurements(changes, self._left_out)
            return self._taken

    def values(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What was measured, by sample name and labels, as prometheus_client would show it."""
        found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        with self._lock:
            for series, pending in self._pending.items():
                one = series.definition
                labels = tuple(sorted(zip(one.labels, series.values, strict=True)))
                if one.kind is not Kind.HISTOGRAM:
                    found[one.name, labels] = (pending.value or 0.0) + pending.amount
                    continue
                below = 0
                for bucket, bound in enumerate(one.buckets):
                    below += pending.counts.get(bucket, 0)
                    found[f"{one.name}_bucket", tuple(sorted((*labels, ("le", bound))))] = float(below)
                found[f"{one.name}_count", labels] = float(pending.observations)
                found[f"{one.name}_sum", labels] = float(pending.amount)
        return found


def _change(series: Series, pending: Pending) -> Change:
    one = series.definition
    change = Change(one, series.key, pending.observations)
    if one.kind is Kind.HISTOGRAM:
        change.add = {"sum": repr(pending.amount)}
        change.count = {f"bucket|{one.buckets[bucket]}": number for bucket, number in pending.counts.items()}
        change.exemplars = {f"bucket|{one.buckets[bucket]}": found for bucket, found in pending.exemplars.items()}
    elif pending.value is not None:
        change.set = {"value": repr(pending.value + pending.amount)}
    else:
        change.add = {"value": repr(pending.amount)}
        if -1 in pending.exemplars:
            change.exemplars = {"value|": pending.exemplars[-1]}
    return change
