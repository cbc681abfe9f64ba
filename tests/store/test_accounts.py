"""Many accounts are added up page by page: as exactly as at one moment, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.accounts import Accounts
from jobtelemetry.store.books import fold_departed
from jobtelemetry.store.decode import Rejected
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.scripted import Scripted

KEYS = Keys("many")
MANY = 3000


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """One for all of these tests."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Any]:
    """A server with many accounts, which agree with the ledger."""
    client = server.connection()
    columns = {f"w{number}|{column}": 1 for number in range(MANY) for column in ("succeeded", "failed")}
    others = {f"w{number}|recent": "a b c" for number in range(MANY)} | {"w1|succeeded_again": 7, "|noted": "1 2"}
    client.hset(KEYS.accounts, mapping={**columns, **others, "|unbooked": -3})
    client.hset(KEYS.meta, mapping={"layout": "2", "generation": "1", "counted": 2 * MANY - 3})
    yield client
    client.delete(KEYS.accounts, KEYS.meta)


class Meanwhile(Scripted):
    """Does something before each page."""

    def __init__(self, connection: Any, does: Callable[[int], object]) -> None:
        super().__init__(connection)
        self.pages = 0
        self._does = does

    def ask(self, script: str, calls: Any) -> list[Any] | None:
        """As always, and that."""
        self._does(self.pages)
        self.pages += 1
        return super().ask(script, calls)


@pytest.mark.parametrize("allowed", [True, False], ids=["script", "commands"])
def test_every_account_is_added_up(connection: Any, allowed: bool) -> None:
    """One too many, one that is gone and one that is no number are seen, and then that they agree again."""
    accounts = Accounts(connection, KEYS, Scripted(connection, allowed=allowed))
    assert accounts.unbalanced(Rejected()) == 0
    connection.hincrby(KEYS.accounts, "w77|failed", 5)
    assert accounts.unbalanced(Rejected()) == 5
    connection.hdel(KEYS.accounts, *(f"w{number}|succeeded" for number in range(9)))
    assert accounts.unbalanced(Rejected()) == -4
    connection.hset(KEYS.accounts, "w2999|failed", "none")
    rejected = Rejected()
    assert accounts.unbalanced(rejected) == -5
    assert rejected.number == 1
    connection.hset(KEYS.meta, "counted", 2 * MANY - 8)
    assert accounts.unbalanced(Rejected()) == 0
    connection.delete(KEYS.accounts)
    assert accounts.unbalanced(Rejected()) == 8 - 2 * MANY


def test_no_script_looks_through_all_of_them(connection: Any) -> None:
    """However many RQ workers there are, Redis is held for one page."""
    connection.config_resetstat()
    Accounts(connection, KEYS, Scripted(connection)).unbalanced(Rejected())
    stats = connection.info("commandstats")
    assert "cmdstat_hgetall" not in stats
    assert stats["cmdstat_hscan"]["calls"] == stats["cmdstat_eval"]["calls"] >= 3 * MANY / 1100


def test_what_is_counted_between_two_pages_is_no_difference(connection: Any) -> None:
    """The total then lies between that of the first page and that of the last; what is beyond that shows."""

    def count(page: int) -> None:
        connection.hincrby(KEYS.accounts, f"w{page * 37 % MANY}|succeeded", 2)
        connection.hincrby(KEYS.meta, "counted", 2)

    accounts = Accounts(connection, KEYS, Meanwhile(connection, count))
    assert [accounts.unbalanced(Rejected()) for _ in range(5)] == [0] * 5
    connection.hincrby(KEYS.accounts, "w1|failed", 1000)
    assert Accounts(connection, KEYS, Scripted(connection)).unbalanced(Rejected()) == 1000


def test_what_moves_between_two_pages_is_no_difference(connection: Any) -> None:
    """An RQ worker that leaves takes its account to another place: it may be seen twice, or not at all."""
    names = [f"w{number}" for number in range(MANY)]

    def leave(page: int) -> None:
        if page in (1, 2):
            fold_departed(connection, KEYS, names, names[page * 1000 :])

    scripted = Meanwhile(connection, leave)
    assert Accounts(connection, KEYS, scripted).unbalanced(Rejected()) == 0
    once = Meanwhile(connection, lambda page: None)
    assert Accounts(connection, KEYS, once).unbalanced(Rejected()) == 0
    assert scripted.pages > once.pages  # the first try was none
    assert connection.hget(KEYS.accounts, "|succeeded") == b"2000"
