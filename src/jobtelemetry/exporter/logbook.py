"""What failed, from the execution log, kept so that no page has to read the log from its beginning.

The first look takes the newest part of the log, and each later one only what came since. What is kept is bounded, and
it is known from when on nothing is missing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jobtelemetry.exporter.forks import begin_anew_in_children
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.log import newest_first
from jobtelemetry.store.keys import Keys

#: Entries of the log that one look reads at most, and failures that are kept.
MOST_READ = 2000
MOST_KEPT = 2000


@dataclass(frozen=True)
class Failed:
    """Failed executions.

    Args:
        entries: The newest first.
        since: From when on all of them are there, Unix time; ``None`` where the log is empty.
    """

    entries: tuple[LogEntry, ...] = ()
    since: float | None = None

    def of(self, worker: str) -> Failed:
        """Those of one worker."""
        return Failed(tuple(entry for entry in self.entries if entry.worker == worker), self.since)


class Logbook:
    """Follows the execution log.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        read: What reads entries, the newest first, from a Unix time on; the log by default.
    """

    def __init__(
        self, connection: Any, keys: Keys, read: Callable[[float | None], Iterator[LogEntry]] | None = None
    ) -> None:
        self._read = read or (lambda since: newest_first(connection, keys, since))
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """Forget everything; the next look is the first."""
        self._lock = threading.Lock()
        self._kept: deque[LogEntry] = deque(maxlen=MOST_KEPT)
        self._seen: tuple[int, int] | None = None
        self._since: float | None = None

    def look(self) -> Failed:
        """Read what came since the last look; one at a time.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        with self._lock:
            since = None if self._seen is None else self._seen[0] / 1000
            newest = list(islice(self._read(since), MOST_READ))
            if not newest:
                self._forget()
                return Failed()
            fresh = [entry for entry in newest if self._seen is None or _place(entry) > self._seen]
            if self._seen is None or len(fresh) == MOST_READ or _place(newest[0]) < self._seen:
                # The first look, more than one look reads, or another log: nothing is known of what came before.
                self._forget()
                fresh, self._since = newest, newest[-1].recorded_at
            failed = [entry for entry in reversed(fresh) if entry.state.failed]
            full = len(self._kept) + len(failed) > MOST_KEPT
            self._kept.extend(failed)
            if full:
                self._since = max(self._since or 0.0, self._kept[0].recorded_at)
            self._seen = _place(newest[0])
            return Failed(tuple(reversed(self._kept)), self._since)

    def _forget(self) -> None:
        self._kept.clear()
        self._seen, self._since = None, None


def _place(entry: LogEntry) -> tuple[int, int]:
    """Where it stands in the stream."""
    milliseconds, _, number = entry.entry_id.partition("-")
    return int(milliseconds), int(number or 0)
