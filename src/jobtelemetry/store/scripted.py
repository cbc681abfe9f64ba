"""Asking by script for many things at once; of what says the same as at the last look, nothing is read again.

A dozen commands for each of a thousand queues cost a client fifty times what they cost Redis. So they are asked for by
script, where the user may run one: each script answers for some of them, with a line of JSON for each. The scripts are
no part of ``store/lua``, whose commands every RQ worker's user needs. The names of the keys that they read come as
arguments: the declared key says in which slot they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from redis.exceptions import NoPermissionError, ResponseError

from jobtelemetry.store.record import text

#: Scripts that are sent at once: enough for a thousand queues.
_CALLS_AT_ONCE = 40
#: Members of a set that one script lists: it holds Redis for less than a millisecond.
_MEMBERS_AT_ONCE = 2_000
_MEMBERS = """
local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
return page[1] .. '\\n' .. cjson.encode(page[2])
"""

T = TypeVar("T")


class Scripted:
    """Asks by script, as long as this user may run one; who may not asks by single commands.

    Args:
        connection: A redis-py client.
        allowed: Whether to try.
    """

    def __init__(self, connection: Any, *, allowed: bool = True) -> None:
        self._connection = connection
        self._allowed = allowed
        #: Called whenever Redis has answered a part.
        self.gets_on: Callable[[], None] = lambda: None

    def ask(self, script: str, calls: Sequence[tuple[str, Sequence[str]]]) -> list[Any] | None:
        """What the script says to each call.

        Args:
            script: Reads, and returns a string.
            calls: The declared key of each call, and its arguments.

        Returns:
            The replies; ``None`` where scripts cannot answer, and commands have to.
        """
        if not self._allowed:
            return None
        replies: list[Any] = []
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            for first in range(0, len(calls), _CALLS_AT_ONCE):
                pipe = self._connection.pipeline(transaction=False)
                for number, (key, arguments) in enumerate(calls[first : first + _CALLS_AT_ONCE]):
                    # The first one brings the script for the others, which come right after it.
                    (pipe.evalsha if number else pipe.eval)(digest if number else script, 1, key, *arguments)
                replies += pipe.execute()
                self.gets_on()
        except ResponseError as error:
            # The permission is asked for once; whatever else it was, the commands say what.
            self._allowed = not isinstance(error, NoPermissionError)
            return None
        return replies


@dataclass
class _Listed:
    """A set: the pages that it came in, and what is in it."""

    pages: list[Any] = field(default_factory=list)
    members: frozenset[str] = frozenset()


class Members:
    """The members of sets, a page at a time; of a set that did not change it is the same object again."""

    def __init__(self, scripted: Scripted) -> None:
        self._scripted = scripted
        self._listed: dict[str, _Listed] = {}

    def of(self, keys: Sequence[str]) -> list[frozenset[str]] | None:
        """What is in each of these sets.

        Returns:
            The members; ``None`` where scripts cannot answer.
        """
        found = {key: _Listed() for key in keys}
        cursors = dict.fromkeys(keys, "0")
        while cursors:
            asked = list(cursors.items())
            calls = [(key, (cursor, str(_MEMBERS_AT_ONCE))) for key, cursor in asked]
            replies = self._scripted.ask(_MEMBERS, calls)
            if replies is None:
                return None
            for (key, _), reply in zip(asked, replies, strict=True):
                found[key].pages.append(reply)
                cursors[key] = text(reply[:20]).partition("\n")[0]
                if cursors[key] == "0":
                    del cursors[key]
        for key, listed in found.items():
            before = self._listed.get(key)
            if before is not None and before.pages == listed.pages:
                listed.members = before.members
            else:
                pages = (json.loads(text(page).partition("\n")[2]) for page in listed.pages)
                listed.members = frozenset(member for page in pages for member in page)
        self._listed = found
        return [found[key].members for key in keys]


@dataclass
class _Row(Generic[T]):
    said: str
    made: T


@dataclass
class _Piece(Generic[T]):
    """What one call asks for, what was said to it, and what was made of that."""

    names: list[str]
    arguments: str
    reply: Any
    rows: list[_Row[T] | None]


class Sheet(Generic[T]):
    """A row for each of many things, and what was made of it. What says the same as before is the same object.

    Args:
        script: Returns a line of JSON for each thing that it is asked for.
        at_once: For how many one call asks.
        arguments: The last argument of such a call, from the things that it asks for.
        make: Makes something of a thing's name and its row.
    """

    def __init__(
        self, script: str, *, at_once: int, arguments: Callable[[list[str]], str], make: Callable[[str, Any], T]
    ) -> None:
        self._script, self._at_once, self._arguments, self._make = script, at_once, arguments, make
        self._names: Sequence[str] = ()
        self._pieces: list[_Piece[T]] = []
        self._made: tuple[T, ...] = ()

    def read(self, scripted: Scripted, key: str, names: Sequence[str], *first: str) -> tuple[T, ...] | None:
        """What there is of these things.

        Args:
            scripted: Asks.
            key: The declared key of every call.
            names: The things; cheapest if it is the same object as before.
            first: What every call has for its first arguments.

        Returns:
            The same object as before if nothing changed; ``None`` where scripts cannot answer.
        """
        same = names is self._names or list(names) == list(self._names)
        pieces = self._pieces if same else list(self._anew(names))
        replies = scripted.ask(self._script, [(key, (*first, piece.arguments)) for piece in pieces])
        if replies is None:
            return None
        try:
            for piece, reply in zip(pieces, replies, strict=True):
                if reply != piece.reply:
                    same = False
                    self._read(piece, reply)
        except ValueError:  # the server's JSON is none, or it is short of rows
            self._names, self._pieces = (), []  # some are read already, and would be the same the next time
            return None
        self._names, self._pieces = names, pieces
        if not same:
            self._made = tuple(row.made for piece in pieces for row in piece.rows if row is not None)
        return self._made

    def _anew(self, names: Sequence[str]) -> Iterator[_Piece[T]]:
        """Pieces of other things, with what is known of those that there were before."""
        known = {name: row for piece in self._pieces for name, row in zip(piece.names, piece.rows, strict=True) if row}
        for first in range(0, len(names), self._at_once):
            piece = list(names[first : first + self._at_once])
            yield _Piece(piece, self._arguments(piece), None, [known.get(name) for name in piece])

    def _read(self, piece: _Piece[T], reply: Any) -> None:
        piece.rows = [
            before if before and before.said == said else _Row(said, self._make(name, json.loads(said)))
            for name, said, before in zip(piece.names, text(reply).split("\n"), piece.rows, strict=True)
        ]
        piece.reply = reply
