"""Reading users' own metrics: what changed since the last look, and whether it is what was written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from jobtelemetry.contract import Kind
from jobtelemetry.errors import StoreError
from jobtelemetry.store.decode import Rejected, count_of, moment_of
from jobtelemetry.store.keys import Keys, decode
from jobtelemetry.store.own import Definition, bound_of, definition_of, parts_of_series
from jobtelemetry.store.record import text
from jobtelemetry.store.scripts import Script
from jobtelemetry.store.snapshot import OwnExemplar, OwnFamily, OwnSeries

#: Series in one page, and looks after which a store that never stands still is taken as it is, without a verdict.
PAGE = 200
_MOST_LOOKS = 5
_BOOKS = ("own_change", "own_counted", "own_forgotten", "own_written_off")

_REPAIR = Script("common", "generation", "own_repair", keys=("META", "ACCOUNTS", "SETS"))


@dataclass(frozen=True)
class _Kept:
    kind: Kind
    name: str
    series: OwnSeries


@dataclass(frozen=True)
class _Look:
    books: Mapping[str, int]
    families: Mapping[str, str]
    changed: list[tuple[str, int]]
    replaced: bool


class OwnReader:
    """Reads users' own metrics, each time what changed since the time before. Its caller keeps others away meanwhile.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
    """

    def __init__(self, connection: Any, keys: Keys) -> None:
        self._connection, self._keys = connection, keys
        #: Observations that are missing, and at which change and with how many that can be written down.
        self.missing = 0
        self._repairable: tuple[int, int] | None = None
        self._families: tuple[OwnFamily, ...] = ()
        self._defined: Mapping[str, str] = {}
        self._strange = Rejected()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._rejected: dict[str, Rejected] = {}
        self._last, self._last_series = -1, ""
        self._epoch: tuple[str, str] | None = None
        self._news = True

    def read(self, meta: Mapping[str, str], rejected: Rejected) -> tuple[OwnFamily, ...]:
        """The metrics by name.

        Args:
            meta: The meta hash, read just before; where it knows of no own metrics, nothing is read.
            rejected: Is told what was passed over.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        if "own_change" not in meta and not self._kept and self._last < 0:
            return ()
        epoch = (meta.get("generation", ""), meta.get("own_removed", ""))
        if epoch != self._epoch:
            self._begin_anew()
            self._epoch = epoch
        look = self._look([])
        if look.replaced or look.books["own_change"] < self._last:
            self._begin_anew()
            self._epoch = epoch
            look = self._look([])
        looks, goal = 0, look.books["own_change"]
        while look.changed:
            look = self._look(look.changed)
            if self._last >= goal:
                looks += 1
                if looks >= _MOST_LOOKS:
                    break
        self._drop_missing()
        self._judge(look)
        if self._news or look.families != self._defined:
            self._defined, self._news, self._strange = look.families, False, Rejected()
            self._families = _families(look.families, self._kept, self._families, self._strange)
        for found in (self._strange, *self._rejected.values()):
            rejected.number += found.number
            rejected.names = (rejected.names + found.names)[:20]
        return self._families

    def tend(self) -> bool:
        """Write down what is missing, so that everybody knows and the next loss shows. Returns whether there was any.

        Raises:
            StoreError: It could not be written.
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        if self._repairable is None:
            return False
        change, observations = self._repairable
        keys = self._keys
        facts = {"change": str(change), "observations": observations}
        answer, fault = map(text, _REPAIR.run(self._connection, (keys.meta, keys.accounts, keys.sets), facts))
        if fault:
            raise StoreError(fault)
        return answer == "repaired"

    def _look(self, page: list[tuple[str, int]]) -> _Look:
        """One page of series, the books, and what changed after that page, as they are at one moment."""
        keys = self._keys
        after = f"({page[-1][1]}" if page else str(self._last)
        pipe = self._connection.pipeline()
        pipe.hmget(keys.meta, _BOOKS)
        pipe.hgetall(keys.families)
        pipe.zrangebyscore(keys.series_index, after, "+inf", start=0, num=PAGE, withscores=True)
        for series, _ in page:
            pipe.hgetall(keys.series(series))
        books, families, changed, *rows = self._ours(pipe.execute(raise_on_error=False))
        found = [(text(series), int(score)) for series, score in changed or ()]
        replaced = False
        if not page and found and found[0][1] == self._last:
            replaced = found.pop(0)[0] != self._last_series
        for (series, change), row in zip(page, rows, strict=True):
            self._keep(series, {text(name): text(value) for name, value in (row or {}).items()})
            if change > self._last:
                self._last, self._last_series = change, series
        numbers = {name: _signed(text(value or "0")) for name, value in zip(_BOOKS, books or ("",) * 4, strict=True)}
        return _Look(numbers, {text(name): text(value) for name, value in (families or {}).items()}, found, replaced)

    def _ours(self, replies: list[Any]) -> list[Any]:
        for number, reply in enumerate(replies):
            if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
                replies[number] = None
            elif isinstance(reply, Exception):
                raise reply
        return replies

    def _keep(self, series: str, rows: Mapping[str, str]) -> None:
        self._news = True
        self._kept.pop(series, None)
        self._rejected.pop(series, None)
        rejected = Rejected()
        found = _series(series, rows, rejected) if rows else None
        if rejected.number:
            self._rejected[series] = rejected
        if found is not None:
            self._kept[series] = found

    def _drop_missing(self) -> None:
        """Series whose hash is gone without a change: evicted, or deleted by a stranger."""
        known = list(self._kept)
        pages = [known[first : first + 500] for first in range(0, len(known), 500)]
        pipe = self._connection.pipeline(transaction=False)
        for page in pages:
            pipe.exists(*[self._keys.series(series) for series in page])
        for page, there in zip(pages, pipe.execute() if pages else (), strict=True):
            if int(there) != len(page):
                pipe = self._connection.pipeline(transaction=False)
                for series in page:
                    pipe.exists(self._keys.series(series))
                for series, exists in zip(page, pipe.execute(), strict=True):
                    if not exists:
                        self._news = True
                        self._kept.pop(series, None)
                        self._rejected.pop(series, None)

    def _judge(self, look: _Look) -> None:
        if look.changed:  # it never stood still
            self._repairable = None
            return
        books = look.books
        have = sum(kept.series.observations for kept in self._kept.values())
        self.missing = books["own_counted"] - books["own_forgotten"] - books["own_written_off"] - have
        self._repairable = (books["own_change"], have) if self.missing else None


def _families(
    defined: Mapping[str, str], kept: Mapping[str, _Kept], before: tuple[OwnFamily, ...], rejected: Rejected
) -> tuple[OwnFamily, ...]:
    """The metrics by name; one of which nothing changed is the same object."""
    definitions: dict[str, Definition] = {}
    ways: dict[str, int] = {}
    for name, value in defined.items():
        what, *parts = decode(name)
        if what == "definition" and len(parts) == 1:
            definition = definition_of(parts[0], value)
            if definition is None:
                rejected.note("families", name)
            else:
                definitions[parts[0]] = definition
        elif what == "defined" and len(parts) == 2:
            ways[parts[0]] = ways.get(parts[0], 0) + 1
    by_name: dict[str, list[tuple[str, _Kept]]] = {name: [] for name in definitions}
    for series, one in kept.items():
        by_name.setdefault(one.name, []).append((series, one))
    known, taken = {family.name: family for family in before}, set[str]()
    found = []
    for name, members in sorted(by_name.items()):
        definition = definitions.get(name) or _made_up(name, [one for _, one in members])
        family = OwnFamily(
            name,
            definition.kind,
            definition.help,
            definition.unit,
            definition.buckets,
            tuple(one.series for _, one in sorted(members, key=lambda item: item[0]) if one.kind is definition.kind),
            sum(one.kind is not definition.kind for _, one in members),
            max(1, ways.get(name, 1)),
        )
        names = set(definition.names)
        if names & taken or any(one.startswith("jobtelemetry_") for one in names):
            rejected.note("families", f"{name}: its name is another metric's")
            continue
        taken |= names
        same = known.get(name)
        found.append(same if same == family and _same_series(same, family) else family)
    return tuple(found)


def _same_series(one: OwnFamily, other: OwnFamily) -> bool:
    return all(before is now for before, now in zip(one.series, other.series, strict=True))


def _made_up(name: str, members: list[_Kept]) -> Definition:
    """A definition for series whose own was lost, until somebody measures again."""
    kind = members[0].kind
    bounds = {bound for one in members for bound in one.series.counts} | ({"+Inf"} if kind is Kind.HISTOGRAM else set())
    return Definition(name, kind, buckets=tuple(sorted(bounds, key=float)))


def _series(series: str, rows: Mapping[str, str], rejected: Rejected) -> _Kept | None:
    parts = parts_of_series(series)
    if parts is None:
        rejected.note("series", series)
        return None
    kind, name, labels = parts
    numbers: dict[str, float] = {}
    counts: dict[str, int] = {}
    exemplars: dict[str, OwnExemplar] = {}
    for field, value in rows.items():
        what, *rest = decode(field)
        number: float | OwnExemplar | None
        if what in ("value", "sum") and not rest:
            number = numbers[what] = _float(value)
        elif what == "observations" and not rest:
            number = count_of(value)
            numbers[what] = number or 0
        elif what == "seen" and not rest:
            number = moment_of(value)
            numbers[what] = number or 0.0
        elif what == "bucket" and len(rest) == 1 and bound_of(rest[0]) is not None:
            number = count_of(value)
            counts[rest[0]] = number or 0
        elif what == "exemplar" and len(rest) == 2:
            number = _exemplar(value)
            if number is not None:
                exemplars[rest[1]] = number
        else:
            number = None
        if number is None:
            rejected.note(name, field)
    found = OwnSeries(
        labels,
        numbers.get("value", 0.0),
        counts,
        numbers.get("sum", 0.0),
        int(numbers.get("observations", 0)),
        numbers.get("seen", 0.0),
        exemplars,
    )
    return _Kept(kind, name, found)


def _float(value: str) -> float:
    try:
        return float(value[:400])
    except ValueError:
        return math.nan


def _exemplar(value: str) -> OwnExemplar | None:
    first, *pairs, last = decode(value) if "|" in value else ("", "")
    at, number = moment_of(last), _float(first)
    labels = tuple((name, text) for name, separator, text in (pair.partition("=") for pair in pairs) if separator)
    if at is None or not math.isfinite(number) or not labels:
        return None
    return OwnExemplar(labels, number, at)


def _signed(value: str) -> int:
    number = count_of(value.removeprefix("-")) or 0
    return -number if value.startswith("-") else number
