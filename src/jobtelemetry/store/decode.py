"""What our hashes hold, turned back into values. Pure. Nothing that Redis can hold makes it raise.

Values from Redis are a stranger's: each is typed and bounded here, what makes no sense is passed over and counted, and
nothing behind this edge has to look again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from jobtelemetry.contract import DURATION_BUCKETS, WAIT_BUCKETS, le
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import FIELDS, META_FIELDS, decode
from jobtelemetry.store.snapshot import Counter, Exemplar, Histogram, LabelSet, RunningExecution, Series
from jobtelemetry.text import label_text

#: Larger numbers are nobody's count: 2**53, to which JSON, Lua and Prometheus are exact.
_LARGEST = 9_007_199_254_740_992
#: The last moment that is one: the end of the year 9999, Unix time.
_LATEST = 253_402_300_799.0
_STATES = {state.value: state for state in State}
_BOUNDS = {
    "duration": {le(bound, DURATION_BUCKETS) for bound in DURATION_BUCKETS} | {"+Inf", "sum"},
    "wait": {le(bound, WAIT_BUCKETS) for bound in WAIT_BUCKETS} | {"+Inf", "sum"},
}
_MOST_NAMED = 20


class Rejected:
    """Values that were passed over: how many, and the names of some."""

    def __init__(self) -> None:
        self.number = 0
        self.names: list[str] = []

    def note(self, key: str, field: str) -> None:
        """One more."""
        self.number += 1
        if len(self.names) < _MOST_NAMED:
            self.names.append(f"{label_text(key)} {label_text(field)}")


def count_of(value: str) -> int | None:
    """A count, or ``None`` for what is none."""
    if not value.isascii() or not value.isdigit():
        return None
    number = int(value[:20])
    return number if len(value) <= 16 and number <= _LARGEST else None


def moment_of(value: str) -> float | None:
    """A moment in Unix time, or ``None`` for what is none."""
    try:
        moment = float(value)
    except ValueError:
        return None
    return moment if math.isfinite(moment) and 0 <= moment <= _LATEST else None


def difference_of(value: str) -> float | None:
    """A difference of two moments in seconds, or ``None`` for what is none."""
    try:
        difference = float(value)
    except ValueError:
        return None
    return difference if math.isfinite(difference) and abs(difference) <= _LATEST else None


def label_set(
    labels: str, rows: Mapping[str, str], traces: Mapping[str, str], since: float, rejected: Rejected
) -> LabelSet | None:
    """The label set that a hash holds; ``None`` if its name is none.

    Args:
        labels: Its encoded labels.
        rows: The hash.
        traces: Its exemplars.
        since: When the present generation of numbers began: nothing is older.
        rejected: Is told what was passed over.
    """
    series = series_of(labels)
    if series is None:
        rejected.note("sets", labels)
        return None
    plain: dict[str, int] = {}
    moments: dict[str, float] = {}
    created: dict[tuple[str, str], float] = {}
    by_family: dict[str, dict[tuple[str, ...], int]] = {}
    for field, value in rows.items():
        family, *parts = decode(field)
        known = FIELDS.get(family)
        if known is None or len(parts) != len(known) or not _sensible(family, parts):
            rejected.note(labels, field)
        elif family in ("seen", "changed", "completed", "created"):
            moment = moment_of(value)
            if moment is None:
                rejected.note(labels, field)
            elif parts:
                created[parts[0], parts[1]] = moment
            else:
                moments[family] = moment
        else:
            number = count_of(value)
            if number is None:
                rejected.note(labels, field)
            elif parts:
                by_family.setdefault(family, {})[tuple(parts)] = number
            else:
                plain[family] = number
    first = max(moments.get("seen", 0.0), since)
    exemplars = {field: found for field, value in traces.items() if (found := exemplar(value)) is not None}

    def details(family: str) -> dict[str, Counter]:
        found = by_family.get(family, {})
        return {
            name: Counter(number, max(created.get((family, name), 0.0), since)) for (name, *_), number in found.items()
        }

    return LabelSet(
        series=series,
        created=first,
        changed=moments.get("changed", 0.0),
        executions={
            _STATES[part[0]]: Counter(number, first, exemplars.get(f"executions|{part[0]}"))
            for part, number in by_family.get("executions", {}).items()
        },
        cancellations=details("cancellations"),
        errors=details("errors"),
        durations=_durations(by_family.get("duration", {}), first, exemplars),
        wait=_histogram({part[0]: number for part, number in by_family.get("wait", {}).items()}, first, {}),
        enqueued=plain.get("enqueued", 0),
        unstarted=plain.get("unstarted", 0),
        limited=plain.get("limited", 0),
        last_completed=moments.get("completed"),
        cpu=plain["cpu"] / 1_000_000 if "cpu" in plain else None,
        peak_memory=max(plain["memory"], plain.get("memory_before", 0)) if "memory" in plain else None,
    )


def _sensible(family: str, parts: list[str]) -> bool:
    if family in ("executions", "duration") and parts[0] not in _STATES:
        return False
    return family not in _BOUNDS or parts[-1] in _BOUNDS[family]


def _durations(
    found: Mapping[tuple[str, ...], int], created: float, exemplars: Mapping[str, Exemplar]
) -> dict[State, Histogram]:
    by_state: dict[str, dict[str, int]] = {}
    for (state, bucket), number in found.items():
        by_state.setdefault(state, {})[bucket] = number
    return {
        _STATES[state]: _histogram(
            counts,
            created,
            {bound: at for bound in counts if (at := exemplars.get(f"duration|{state}|{bound}")) is not None},
        )
        for state, counts in by_state.items()
    }


def _histogram(counts: dict[str, int], created: float, exemplars: dict[str, Exemplar]) -> Histogram:
    total = counts.pop("sum", 0)
    return Histogram(counts, total / 1_000_000, created, exemplars)


def series_of(labels: str) -> Series | None:
    """The labels of an encoded label set, or ``None`` for a text that is none."""
    parts = decode(labels)
    if len(parts) < 2 or len(labels) > 4000:
        return None
    pairs = [part.partition("=") for part in parts[2:]]
    if any(not separator or not name.isidentifier() for name, separator, _ in pairs):
        return None
    return Series(parts[0], parts[1], tuple((name, value) for name, _, value in pairs))


def exemplar(value: str) -> Exemplar | None:
    """A recent trace: trace id, span id, value in microseconds (a million for one execution), time."""
    parts = value.split("|")
    if len(parts) != 4 or not (len(parts[0]) == 32 and len(parts[1]) == 16):
        return None
    micros, at = count_of(parts[2]), moment_of(parts[3])
    if micros is None or at is None or not all(c in "0123456789abcdef" for c in parts[0] + parts[1]):
        return None
    return Exemplar(parts[0], parts[1], micros / 1_000_000, at)


def meta(rows: Mapping[str, str], rejected: Rejected) -> dict[str, str]:
    """The meta hash, without what is not ours."""
    found = {}
    for field, value in rows.items():
        family, *parts = decode(field)
        if len(parts) != len(META_FIELDS.get(family, ("",) * 9)):
            rejected.note("meta", field)
        else:
            found[field] = value
    return found


def running_entries(table: Mapping[str, str], rejected: Rejected | None = None) -> Iterator[RunningExecution]:
    """The entries of the running table; what is not ours to read is passed over."""
    for execution_id, value in table.items():
        try:
            yield running_entry(execution_id, value)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            if rejected is not None:
                rejected.note("running", execution_id)


def running_entry(execution_id: str, value: str) -> RunningExecution:
    """One entry of the running table, as ``start.lua`` wrote it.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError: It is not one.
    """
    entry = json.loads(value)
    series = series_of(_string(entry["labels"]))
    start, wait = count_of(_string(entry["start"])), count_of(_string(entry.get("wait") or "0"))
    if series is None or start is None or wait is None or start > _LATEST * 1_000_000:
        raise ValueError("no moment")
    return RunningExecution(
        execution_id=execution_id,
        job_id=_string(entry["job"]),
        series=series,
        rq_worker=_string(entry["rq_worker"]),
        started_at=start / 1_000_000,
        attempt=_whole(entry["attempt"]),
        wait=wait / 1_000_000 if entry.get("wait") else None,
        retries_left=_whole(entry.get("retries") or 0),
        trace=_string(entry.get("trace") or ""),
        account=_string(entry.get("account") or ""),
    )


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or not 0 <= number <= 1_000_000_000:
        raise ValueError("no number")
    return number
