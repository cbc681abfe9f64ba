"""Who is connected, how long each may take, and on whom to hang up where there are too many."""

from __future__ import annotations

import asyncio
import enum
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

#: Connections at the same time, where the process may open that many files.
MOST_CLIENTS = 512

#: Files that are kept free for everything but clients: connections to Redis, Sentry, a collector of spans.
_RESERVE = 24
_LEAST_CLIENTS = 8
#: Seconds that who takes an answer is left alone, however many others wait.
_GRACE = 2.0
_KNOWN = 3  # answers after which somebody is more than a passer-by
_SLOW = 1.0  # seconds that a request may take to come in, likewise


class Phase(enum.IntEnum):
    """What a client is doing."""

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
        host: Where it comes from.
    """

    def __init__(self, hang_up: Callable[[], None], host: str) -> None:
        self._hang_up = hang_up
        self.host = host
        self._timer: asyncio.TimerHandle | None = None
        #: How many of its requests were answered.
        self.answered = 0
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
        """Make room for another: whoever has least of a reason to be here goes.

        Among equals somebody from the host with the most connections goes; there, who was answered least often, as a
        Prometheus that has been scraping for an hour was not; and of these, who has been at it for longest.

        Args:
            first: ``NEW`` for anybody, ``TAKING`` for those only who take an answer.

        Returns:
            Whether there was anybody who could go.
        """
        group = next(filter(None, self._who_may_go(first)), None)
        if group is None:
            return False
        many = Counter(client.host for client in self._all)
        chosen = min(group, key=lambda client: (-many[client.host], client.answered, client.since))
        self.remove(chosen)
        chosen.hang_up()
        return True

    def _who_may_go(self, first: Phase) -> Iterator[list[Client]]:
        """Groups of clients; the first that is not empty has the one to go."""
        in_phase = {phase: [client for client in self._all if client.phase is phase] for phase in Phase}
        new = in_phase[Phase.NEW]
        if first is Phase.NEW:
            if len(new) > self.most // 2:  # strangers do not push out who is known
                yield new
            yield _for(_SLOW, new)
            between = in_phase[Phase.SPEAKING] + in_phase[Phase.IDLE]
            yield [client for client in between if client.answered < _KNOWN]
            yield new
        yield _for(_GRACE, in_phase[Phase.TAKING])
        if first is Phase.NEW:
            yield between

    def hang_up_on_all(self) -> None:
        """The end."""
        for client in list(self._all):
            self.remove(client)
            client.hang_up()


def _for(seconds: float, clients: list[Client]) -> list[Client]:
    """Those who have been at it for longer than that."""
    begun = time.monotonic() - seconds
    return [client for client in clients if client.since < begun]


def affordable() -> int:
    """How many clients this process can have, by the files that it may open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CLIENTS
    used = 32
    with suppress(OSError):
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    return max(_LEAST_CLIENTS, min(MOST_CLIENTS, limit - used - _RESERVE))
