"""Reading the execution log: newest first, oldest first from a moment on, or live."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from jobtelemetry.questions.entries import LogEntry, decode, moment_of
from jobtelemetry.store.keys import Keys

#: One page of the stream as one JSON text: a reply of some 300,000 small parts takes a client in Python five times
#: as long as parsing this. A page keeps the server busy for about ten milliseconds.
_PAGE = """local page = redis.call('XREVRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
return cjson.encode(page)"""
_PAGE_SIZE = 500

Raw = tuple[str, list[str]]


@dataclass(frozen=True)
class Extent:
    """How far the log reaches.

    Args:
        length: Entries in it now.
        first_at: When its oldest entry was recorded, Unix time; ``None`` if it is empty.
        trimmed: Whether older entries have been dropped, so that nothing is known of the time before ``first_at``.
        now: The server's clock, Unix time.
    """

    length: int
    first_at: float | None
    trimmed: bool
    now: float

    def covers(self, moment: float) -> bool:
        """Whether every execution recorded since a moment is still in the log."""
        return not self.trimmed or (self.first_at is not None and self.first_at <= moment)


def extent(connection: Any, keys: Keys, size: int) -> Extent:
    """How far the log reaches.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        size: ``JOBTELEMETRY_LOG_SIZE``; tells whether an old server that does not count trimmed it.
    """
    seconds, micros = connection.time()
    now = int(seconds) + int(micros) / 1_000_000
    try:
        info = connection.xinfo_stream(keys.log)
    except ResponseError as error:
        if "no such key" not in str(error).lower():
            raise
        return Extent(0, None, trimmed=False, now=now)
    length, first = int(info["length"]), info.get("first-entry")
    added = info.get("entries-added")
    trimmed = length >= size if added is None else int(added) > length
    return Extent(length, moment_of(_text(first[0])) if first else None, trimmed, now)


def newest_first(
    connection: Any, keys: Keys, since: float | None = None, unreadable: list[str] | None = None
) -> Iterator[LogEntry]:
    """Every entry, the newest first, read page by page as far as the caller goes.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        since: Stop at what Redis recorded before this Unix time; ``None`` goes on to the oldest.
        unreadable: Gets the ids of entries that are none of ours, which are passed over.
    """
    last, oldest = "+", "-" if since is None else str(max(0, round(since * 1000)))
    while True:
        page = _page(connection, keys.log, last, oldest)
        yield from _decoded(page, unreadable)
        if len(page) < _PAGE_SIZE:
            return
        last = f"({page[-1][0]}"


def follow(connection: Any, keys: Keys, after: str, block: float) -> Iterator[LogEntry | None]:
    """Entries as they come, for ever.

    Args:
        connection: A redis-py client whose time limit for a reply is longer than ``block``.
        keys: Under which prefix.
        after: The stream's id to begin behind; ``"$"`` for now.
        block: Seconds after which ``None`` is yielded where nothing came.
    """
    last = after
    if last == "$":
        newest = connection.xrevrange(keys.log, count=1)
        last = _text(newest[0][0]) if newest else "0-0"
    while True:
        reply = connection.xread({keys.log: last}, count=_PAGE_SIZE, block=round(block * 1000))
        pages = reply.values() if isinstance(reply, dict) else [page for _, page in reply or ()]
        page = [entry for part in pages for entry in _flat(part)]
        if not page:
            yield None
            continue
        last = page[-1][0]
        yield from _decoded(page)


def _page(connection: Any, stream: str, last: str, oldest: str) -> list[Raw]:
    try:
        reply = connection.execute_command("EVAL", _PAGE, 1, stream, last, oldest, _PAGE_SIZE)
    except ResponseError as error:
        if not isinstance(error, NoPermissionError) and "unknown command" not in str(error).lower():
            raise
        # A user who may only read, or a server without scripts.
        return _flat(connection.xrevrange(stream, max=last, min=oldest, count=_PAGE_SIZE))
    return json.loads(_text(reply)) or []


def _flat(entries: Any) -> list[Raw]:
    """redis-py's reply in the form in which Redis sends it; some versions wrap a page in a list of its own."""
    if len(entries) == 1 and isinstance(entries[0], list):
        entries = entries[0]
    return [(_text(i), [_text(part) for pair in fields.items() for part in pair]) for i, fields in entries if fields]


def _decoded(page: Iterable[Raw], unreadable: list[str] | None = None) -> Iterator[LogEntry]:
    for entry_id, fields in page:
        entry = decode(entry_id, dict(zip(fields[::2], fields[1::2], strict=False)))
        if entry is not None:
            yield entry
        elif unreadable is not None:
            unreadable.append(entry_id)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
