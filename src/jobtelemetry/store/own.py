"""Users' own metrics: what one is, how a series of it is called, and what a script needs to add to it. Pure.

A definition is kept as JSON. Two deploys may define a metric differently: other labels make other series, which are
shown side by side; other buckets are shown as the newest definition has them, and what was counted under another bound
is counted under the next larger one; of two types the newest is shown, and what the other one measures is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import isnan
from typing import Any

from jobtelemetry.contract import OTHER, Kind
from jobtelemetry.store.keys import Keys, decode, encode
from jobtelemetry.store.scripts import Script
from jobtelemetry.text import label_text

#: What a metric and its labels may be called.
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: Characters of a name, of a unit and of a help text; labels and buckets of one metric.
LONGEST_NAME = 200
LONGEST_HELP = 1000
MOST_LABELS = 20
MOST_BUCKETS = 200

_SUFFIXES = {
    Kind.COUNTER: ("", "_total", "_created"),
    Kind.GAUGE: ("",),
    Kind.HISTOGRAM: ("", "_bucket", "_count", "_sum", "_created"),
}

_MEASURE = Script("common", "generation", "own", "measure", keys=("META", "ACCOUNTS", "SETS", "BATCHES"))


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    Args:
        name: The full name; a counter's with ``_total``.
        kind: Its type.
        help: What it says of itself.
        labels: The names of its labels, in order.
        unit: Its unit, or nothing.
        buckets: The texts of a histogram's upper bounds in ascending order, with ``+Inf``.
    """

    name: str
    kind: Kind
    help: str = ""
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """As it is kept."""
        facts: dict[str, object] = {"type": self.kind.value, "help": self.help, "labels": list(self.labels)}
        if self.unit:
            facts["unit"] = self.unit
        if self.buckets:
            facts["buckets"] = list(self.buckets)
        return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """What it is known by."""
        return hashlib.sha1(self.text.encode("utf-8", "backslashreplace"), usedforsecurity=False).hexdigest()[:16]

    @cached_property
    def full(self) -> str:
        """The series that takes what the metric has no room for; none for a gauge, whose values have no sum."""
        return "" if self.kind is Kind.GAUGE else self.series([OTHER] * len(self.labels))

    @property
    def family(self) -> str:
        """The name of its family: without ``_total``."""
        return self.name.removesuffix("_total") if self.kind is Kind.COUNTER else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that stands in the exposition because of it."""
        return tuple(f"{self.family}{suffix}" for suffix in _SUFFIXES[self.kind])

    def series(self, values: Iterable[str]) -> str:
        """A series with these label values, encoded."""
        pairs = (f"{name}={label_text(value)}" for name, value in zip(self.labels, values, strict=True))
        return encode([self.kind.value, self.name, *pairs])

    def __str__(self) -> str:
        """As a message says it."""
        labels = f" with labels {', '.join(self.labels)}" if self.labels else " without labels"
        buckets = f" and buckets {', '.join(self.buckets)}" if self.buckets else ""
        return f"{self.kind.value}{labels}{buckets}"


def definition_of(name: str, text: str) -> Definition | None:
    """The definition that is kept under a name, or ``None`` for what is none."""
    try:
        facts = json.loads(text)
        kind = Kind(facts["type"])
        labels, buckets = tuple(facts["labels"]), tuple(facts.get("buckets", ()))
        found = Definition(name, kind, facts["help"], labels, facts.get("unit", ""), buckets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if sensible(found) else None


def sensible(one: Definition) -> bool:
    """Whether it can be one: what Redis holds may be anybody's."""
    texts = [one.name, one.help, one.unit, *one.labels, *one.buckets]
    if not all(isinstance(text, str) for text in texts) or len(one.labels) > MOST_LABELS:
        return False
    bounds = [bound_of(bucket) for bucket in one.buckets]
    return (
        len(one.name) <= LONGEST_NAME
        and NAME.fullmatch(one.name) is not None
        and (one.kind is not Kind.COUNTER or one.name.endswith("_total"))
        and len(one.help) <= LONGEST_HELP
        and (not one.unit or (LABEL.fullmatch(one.unit) is not None and one.family.endswith(f"_{one.unit}")))
        and all(LABEL.fullmatch(label) and not label.startswith("__") for label in one.labels)
        and len(set(one.labels)) == len(one.labels)
        and bool(one.buckets) is (one.kind is Kind.HISTOGRAM)
        and len(bounds) <= MOST_BUCKETS
        and None not in bounds
        and all(low < high for low, high in pairwise(bounds))  # type: ignore[operator]
        and (not bounds or bounds[-1] == float("inf"))
    )


def redefined(reply: Iterable[Any]) -> dict[str, str]:
    """Metrics that were defined in another way by the call that this is a part of the reply to, and how they were."""
    flat = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in reply]
    found = {name: definition_of(name, before) for name, before in zip(flat[::2], flat[1::2], strict=True)}
    return {name: "nothing that can be read" if before is None else str(before) for name, before in found.items()}


def bound_of(text: str) -> float | None:
    """An upper bound, or ``None`` for what is none."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if isnan(bound) else bound


def parts_of_series(series: str) -> tuple[Kind, str, tuple[tuple[str, str], ...]] | None:
    """Type, full name and labels of an encoded series, or ``None`` for a text that is none."""
    kind, *rest = decode(series)
    if not rest or len(series) > 10_000 or kind not in (known.value for known in Kind):
        return None
    pairs = [part.partition("=") for part in rest[1:]]
    if len(rest[0]) > LONGEST_NAME or NAME.fullmatch(rest[0]) is None or len(pairs) > MOST_LABELS:
        return None
    if any(not separator or LABEL.fullmatch(name) is None for name, separator, _ in pairs):
        return None
    return Kind(kind), rest[0], tuple((name, value) for name, _, value in pairs)


@dataclass
class Change:
    """What is added to one series.

    Args:
        definition: What it is.
        series: Which, encoded.
        observations: Of how many calls it is made.
        add: Numbers to add, as text, by field.
        count: Whole numbers to add, by field.
        set: Values, as text, by field.
        exemplars: Of ``value|`` or ``bucket|le``: the number, and its labels, ``None`` for the trace of the execution.
    """

    definition: Definition
    series: str
    observations: int
    add: Mapping[str, str] = field(default_factory=dict)
    count: Mapping[str, int] = field(default_factory=dict)
    set: Mapping[str, str] = field(default_factory=dict)
    exemplars: Mapping[str, tuple[float, Mapping[str, str] | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurements:
    """What was measured together.

    Args:
        changes: By series.
        left_out: Observations that there was no room for, or that were no finite number.
        unwritten: Whether it is not known what it was: it died with its process.
    """

    changes: Sequence[Change] = ()
    left_out: int = 0
    unwritten: bool = False

    def taken(self) -> Measurements:
        """Itself, where nobody can add to it."""
        return self


def packed(
    measured: Measurements, keys: Keys, *, at: int, families: int, series: int, trace: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, object]]:
    """The further keys of a script, and what it is to add under them.

    Args:
        measured: What there is.
        keys: Under which prefix.
        at: The number of the first of these keys.
        families: How many metrics there may be.
        series: How many series each may have.
        trace: The labels of exemplars that have none of their own; empty where there is no trace.
    """
    known: dict[str, int] = {}
    definitions: list[Definition] = []
    rows = []
    for change in measured.changes:
        definition = change.definition
        number = known.get(definition.text + definition.name)
        if number is None:
            definitions.append(definition)
            number = known[definition.text + definition.name] = len(definitions)
        rows.append(_row(change, number, trace))
    facts: dict[str, object] = {
        "at": at,
        "most": families,
        "limit": series,
        "families": [[one.name, one.digest, one.text, one.full] for one in definitions],
        "series": rows,
    }
    if measured.left_out:
        facts["left_out"] = measured.left_out
    where = (
        *(keys.families, keys.series_index),
        *(keys.series(one.full or one.name) for one in definitions),
        *(keys.series(change.series) for change in measured.changes),
    )
    return where, facts


def _row(change: Change, family: int, trace: Mapping[str, str]) -> dict[str, object]:
    row: dict[str, object] = {"family": family, "id": change.series, "observations": change.observations}
    if change.add:
        row["add"] = change.add
    if change.count:
        row["count"] = change.count
    if change.set:
        row["set"] = change.set
    if change.definition.kind is Kind.GAUGE:
        row["gauge"] = True
    exemplars = {
        name: encode([repr(value), *(f"{label}={text}" for label, text in labels.items())])
        for name, (value, own) in change.exemplars.items()
        if (labels := trace if own is None else own)
    }
    if exemplars:
        row["exemplars"] = exemplars
    return row


def measure_command(
    keys: Keys, measured: Measurements, *, writer: str, batch: int, families: int, series: int
) -> tuple[Any, ...]:
    """The command that writes what was measured outside of jobs, once however often it is sent.

    Args:
        measured: What there is.
        writer: Who writes, a text that no other process has.
        batch: The number of this batch among his.
        families: How many metrics there may be.
        series: How many series each may have.
    """
    where = (keys.meta, keys.accounts, keys.sets, keys.batches)
    further, own = packed(measured, keys, at=len(where) + 1, families=families, series=series, trace={})
    return _MEASURE.command((*where, *further), {"own": own, "writer": writer, "batch": batch})
