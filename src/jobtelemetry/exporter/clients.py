"""Who is connected, how long each may take, and on whom to hang up where there are too many."""

from __future__ import annotations

import asyncio
import enum
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Connections at the same time, where the process may open that many files.
MOST_CLIENTS = 512

#: Files that are kept free for everything but clients: connections to Redis, Sentry, a collector of spans.
_RESERVE = 24
_LEAST_CLIENTS = 8
#: Seconds that who takes an answer is left alone, however many others wait.
_GRACE = 2.0


class Phase(enum.IntEnum):
    """What a client is doing, in the order in which it is hung up on where there are too many."""

    NEW = 0  # it has never said a whole request
    SPEAKING = 1  # it has, and is saying the next one
    IDLE = 2  # between two requests, as Prometheus between two scrapes
    TAKING = 3  # the answer is made and not all of it is taken
    ANSWERED = 4  # it waits for us


#: Seconds that a client may stay in a phase. A request must be there as a whole, however it is cut into pieces.
LIMITS = {Phase.NEW: 10.0, Phase.SPEAKING: 10.0, Phase.IDLE: 75.0, Phase.TAKING: 30.0}


class Client:
    """One connection.

    Args:
        hang_up: Closes it at once.
    """

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        self._timer: asyncio.TimerHandle | None = None
        #: Bytes of an answer that it has not taken, at most.
        self.unsent = 0
        self.enter(Phase.NEW)

    def enter(self, phase: Phase, unsent: int = 0) -> None:
        """It does something else from now on, and has that phase's time for it."""
        self.phase, self.since, self.unsent = phase, time.monotonic(), unsent
        self.forget()
        if phase in LIMITS:
            self._timer = asyncio.get_running_loop().call_later(LIMITS[phase], self._hang_up)

    def heard(self) -> None:
        """Something came from it."""
        if self.phase is Phase.IDLE:
            self.enter(Phase.SPEAKING)

    def forget(self) -> None:
        """Its time is no longer measured."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hang_up(self) -> None:
        """Close the connection now."""
        self.forget()
        self._hang_up()


class Clients:
    """All connections of a server.

    Args:
        most: So many at the same time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._all: dict[Client, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    @property
    def unsent(self) -> int:
        """Bytes of answers that are not taken yet."""
        return sum(client.unsent for client in self._all)

    @property
    def waiting(self) -> bool:
        """Whether anybody waits for an answer or is taking one."""
        return any(client.phase >= Phase.TAKING for client in self._all)

    def add(self, client: Client) -> None:
        """One more."""
        self._all[client] = None

    def remove(self, client: Client) -> None:
        """It is gone; it may have been removed before."""
        client.forget()
        self._all.pop(client, None)

    def hang_up_on_one(self, first: Phase = Phase.NEW) -> bool:
        """Make room for another: whoever has least of a reason to be here goes, the longest there first.

        Args:
            first: Only from this phase on.

        Returns:
            Whether there was anybody who could go.
        """
        patient = time.monotonic() - _GRACE
        candidates = [
            client
            for client in self._all
            if first <= client.phase < Phase.ANSWERED and (client.phase < Phase.TAKING or client.since < patient)
        ]
        if not candidates:
            return False
        chosen = min(candidates, key=lambda client: (client.phase, client.since))
        self.remove(chosen)
        chosen.hang_up()
        return True

    def hang_up_on_all(self) -> None:
        """The end."""
        for client in list(self._all):
            self.remove(client)
            client.hang_up()


def affordable() -> int:
    """How many clients this process can have, by the files that it may open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CLIENTS
    used = 32
    with suppress(OSError):
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    return max(_LEAST_CLIENTS, min(MOST_CLIENTS, limit - used - _RESERVE))
