"""Whether the proof is one: what is served is what was counted, or something says that it is not, at every look."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from redis import Redis

from jobtelemetry.store.books import acknowledge_losses
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.snapshot import Snapshot

Entry = dict[str, str]

#: Seconds after the last tampering before somebody acknowledges it: exporters have written down what they noticed.
_SEEN_AFTER = 5.0
#: And seconds after which nothing may be said any more, since nothing was done.
_QUIET_AFTER = 60.0


class Proof:
    """An independent count of what was counted, kept outside of Redis, beside a reader as an exporter has one.

    Every counted execution has an entry in the execution log, which is copied here all the time. So a figure may be
    compared with it at every look: between the entries before and after the look there is no room for an error.

    Args:
        connection: To Redis.
        keys: Under which prefix.
    """

    def __init__(self, connection: Redis, keys: Keys) -> None:
        self._connection, self._keys = connection, keys
        self._reader = Reader(connection, keys)
        self._lock = threading.RLock()
        self._last = "0-0"
        self._total = self._offset = 0
        self._entries: list[tuple[float, Entry]] = []
        self._wrong = 0
        self._tampered_at = self._acknowledged_at = 0.0
        #: Whether a loss has been acknowledged since figures were last compared from a new basis.
        self._baseless = False
        self._alarmed = 0
        self.said: Counter[str] = Counter()
        self.looks = 0
        self.ever_tampered = False
        self.problems: list[str] = []

    # what was counted

    @property
    def entries(self) -> list[Entry]:
        """The entries of everything that RQ still has, or has had and lost nothing of."""
        with self._lock:
            return [entry for _, entry in self._entries]

    def copy(self) -> int:
        """Copy what is new in the log. Returns how many executions were counted in all."""
        with self._lock:
            while True:
                found: Any = self._connection.xrange(self._keys.log, min=f"({self._last}", count=5000)
                self._take(found)
                if not found:
                    return self._total

    def _take(self, found: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for number, fields in found:
            self._last = number.decode()
            self._total += 1
            moment = int(number.partition(b"-")[0]) / 1000
            self._entries.append((moment, {name.decode(): value.decode() for name, value in fields.items()}))

    def copy_and(self, *command: str) -> None:
        """Copy what is new, and do something, at one moment."""
        with self._lock:
            self.copy()
            pipe = self._connection.pipeline()
            pipe.xrange(self._keys.log, min=f"({self._last}")
            pipe.execute_command(*command)
            self._take(pipe.execute()[0])

    def forget_since(self, moment: float) -> None:
        """Redis has lost everything after a moment, RQ's part as well."""
        with self._lock:
            self._entries = [(when, entry) for when, entry in self._entries if when <= moment]

    # what is said of it

    def tampered(self) -> None:
        """Something is done, or was, of which somebody must speak."""
        self._tampered_at = time.monotonic()
        self._acknowledged_at = 0.0
        self.ever_tampered = True

    @property
    def undisturbed(self) -> bool:
        """Whether whatever was done has been said, seen and acknowledged."""
        return not self._tampered_at

    def look(self) -> Snapshot:
        """Compare, as at a scrape.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        with self._lock:
            least = self.copy() + self._offset
            snapshot = self._reader.read()
            most = self.copy() + self._offset
            served = _served(snapshot)
            why = _said(snapshot)
            self.looks += 1
            if why:
                self.said[why] += 1
            # Between the acknowledgement and the next basis nobody expects figures to be right.
            right = why or self._baseless or least <= served <= most
            self._wrong = 0 if right else self._wrong + 1
            if self._wrong == 2:
                counted = f"{least}" if least == most else f"{least} to {most}"
                self.problems.append(f"unannounced: {served} served and {counted} counted, at {time.time():.0f}")
            if self._tampered_at:
                self._close(snapshot, why)
            else:
                self._alarmed = self._alarmed + 1 if why else 0
                if self._alarmed == 2:
                    self.problems.append(f"an alarm for nothing: {why}, at {time.time():.0f}")
            return snapshot

    def _close(self, snapshot: Snapshot, why: str) -> None:
        """After a tampering: somebody sees what is said, and from then on figures are compared as they are then."""
        now = time.monotonic()
        if now - self._tampered_at < _SEEN_AFTER:
            return
        if not self._acknowledged_at or snapshot.counts_lost_at is not None:
            self._baseless = True
            acknowledge_losses(self._connection, self._keys)
            self._acknowledged_at = now
            return
        before = self.copy()
        served = _served(self._reader.read())
        late = now - self._tampered_at > _QUIET_AFTER
        if before == self.copy() and (not why or late):
            if why:
                self.problems.append(f"never proven again: {why}")
            self._offset, self._wrong, self._alarmed = served - before, 0, 0
            self._tampered_at, self._acknowledged_at, self._baseless = 0.0, 0.0, False


def _served(snapshot: Snapshot) -> int:
    return sum(counter.value for counter in snapshot.executions.values())


def _said(snapshot: Snapshot) -> str:
    """What a page, an alert and ``doctor`` would say, of RQ workers that record."""
    if snapshot.counts_lost_at is not None:
        return snapshot.counts_lost_why or "counts are lost"
    if snapshot.accounts_difference:
        return "the books differ"
    unrecorded = sum(worker.unrecorded for worker in snapshot.rq_workers if worker.instrumented)
    return "executions are unrecorded" if unrecorded else ""
