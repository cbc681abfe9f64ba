"""What the accounts of all RQ workers have together, against the ledger's total; a page of them at a time."""

from __future__ import annotations

import json
from typing import Any

from redis.exceptions import ResponseError

from jobtelemetry.store.decode import Rejected, count_of
from jobtelemetry.store.keys import DEPARTED, FAILED, SUCCEEDED, UNBOOKED, Keys, encode
from jobtelemetry.store.keys import decode as parts_of
from jobtelemetry.store.record import text
from jobtelemetry.store.scripted import Scripted

#: The columns that make the second entry of an execution.
_COLUMNS = (SUCCEEDED, FAILED, UNBOOKED)
#: Fields of the hash that one script looks through: it holds Redis for about a millisecond.
_FIELDS_AT_ONCE = 1_000
#: How often they are read for a verdict, while accounts are folded meanwhile.
_MOST_TRIES = 3
_PAGE = """
local page, counted = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]), cjson.decode(ARGV[3])
local fields, found = page[2], {}
for place = 1, #fields, 2 do
  if counted[string.match(fields[place], '|([^|]*)$') or ''] and fields[place + 1] ~= '0' then
    found[#found + 1] = fields[place]
    found[#found + 1] = fields[place + 1]
  end
end
local head = {page[1], redis.call('HGET', ARGV[4], 'counted'), redis.call('HMGET', KEYS[1], unpack(ARGV, 5))}
return cjson.encode(head) .. '\\n' .. cjson.encode(found)
"""


class Accounts:
    """Adds the accounts up.

    One page is as it was at one moment, and so is the ledger's total beside it. Of several the total lies between that
    of the first and of the last, as long as no account was folded into that of the departed meanwhile.

    Args:
        connection: A redis-py client.
        keys: Under which prefix.
        scripted: Asks by script; whose user may run none is given all of them in one transaction.
    """

    def __init__(self, connection: Any, keys: Keys, scripted: Scripted) -> None:
        self._connection, self._keys, self._scripted = connection, keys, scripted
        counted = json.dumps(dict.fromkeys(_COLUMNS, True))
        departed = [encode([DEPARTED, column]) for column in _COLUMNS]
        self._arguments = (str(_FIELDS_AT_ONCE), counted, keys.meta, *departed)
        #: What the pages said, and what was made of them.
        self._pages: list[tuple[str, dict[str, str]]] = []
        self._unbalanced = 0

    def unbalanced(self, rejected: Rejected) -> int:
        """Executions that the accounts have more than the ledger (or fewer: negative).

        Where no verdict is possible, because RQ workers leave all the time, it is the last one.

        Args:
            rejected: Notes what is no number.

        Raises:
            redis.exceptions.RedisError: Redis does not answer or refuses.
        """
        before: int | None = None
        for _ in range(_MOST_TRIES):
            found, verdict = self._by_script() or self._by_commands(rejected)
            if verdict is None:
                continue
            least, most = verdict
            total = sum(_signed(value) or 0 for value in found.values())
            difference = min(0, total - least) or max(0, total - most)
            # What moves from one column to another between two pages shows once, and not again.
            if not difference or len(self._pages) == 1 or difference == before:
                self._unbalanced = difference
                break
            before = difference
        for field, value in found.items():
            if _signed(value) is None:
                rejected.note("accounts", field)
        return self._unbalanced

    def _by_script(self) -> tuple[dict[str, str], tuple[int, int] | None] | None:
        """The columns, and what the ledger's total was at first and at last; nothing if the departed have changed."""
        cursor = "0"
        heads: list[tuple[int, Any]] = []
        pages: list[tuple[str, dict[str, str]]] = []
        while not heads or cursor != "0":
            replies = self._scripted.ask(_PAGE, [(self._keys.accounts, (cursor, *self._arguments))])
            if replies is None:
                return None
            said, _, body = text(replies[0]).partition("\n")
            cursor, counted, departed = json.loads(said)
            heads.append((count_of(counted or "0") or 0, departed))
            known = self._pages[len(pages)] if len(pages) < len(self._pages) else None
            pages.append(known if known is not None and known[0] == body else (body, _pairs(json.loads(body))))
        self._pages = pages
        still = all(departed == heads[0][1] for _, departed in heads)
        found = pages[0][1] if len(pages) == 1 else {field: value for _, page in pages for field, value in page.items()}
        return found, (heads[0][0], heads[-1][0]) if still else None

    def _by_commands(self, rejected: Rejected) -> tuple[dict[str, str], tuple[int, int] | None]:
        """The same in one transaction."""
        pipe = self._connection.pipeline()
        pipe.hget(self._keys.meta, "counted")
        pipe.hgetall(self._keys.accounts)
        counted, accounts = (_unless_strange(reply, rejected) for reply in pipe.execute(raise_on_error=False))
        fields = ((text(field), text(value)) for field, value in (accounts or {}).items())
        total = count_of(text(counted or "0")) or 0
        self._pages = [("", {field: value for field, value in fields if parts_of(field)[-1] in _COLUMNS})]
        return self._pages[0][1], (total, total)


def _unless_strange(reply: Any, rejected: Rejected) -> Any:
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        rejected.note("keys", "of another type")
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply


def _pairs(found: Any) -> dict[str, str]:
    return dict(zip(found[::2], found[1::2], strict=True)) if found else {}


def _signed(value: str) -> int | None:
    """A column of an account; that of the departed is below zero where a repair has taken something out."""
    number = count_of(value.removeprefix("-"))
    return -number if number is not None and value.startswith("-") else number
