"""Hand-made snapshots, a real server, and HTTP as Prometheus and a browser speak it."""

from __future__ import annotations

import gzip
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import (
    Counter,
    Exemplar,
    Histogram,
    QueueState,
    RQWorkerState,
    RunningExecution,
    Series,
    Snapshot,
)

NOW = 1_770_000_000.0
SHOWTIME = Series("cinema.jobs.process_showtime", "showtimes")
MOVIE = Series("cinema.jobs.MovieDetailJob", "movies")
DATE = Series("cinema.jobs.CinemaDateJob", "default")
SYNC = Series("cinema.jobs.SyncJob", "default")
TRACE = Exemplar("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 0.7, NOW - 3)


def executions(series: Series, **counts: int) -> dict[tuple[Series, State], Counter]:
    """All states of a series, as every snapshot has them."""
    return {(series, state): Counter(counts.get(state.value, 0), NOW - 600) for state in State}


@pytest.fixture
def cinema() -> Snapshot:
    """The Cinema City pipeline in the middle of a day."""
    seen = dict.fromkeys((SHOWTIME, MOVIE, DATE, SYNC), NOW - 600)
    ended = (
        executions(SHOWTIME, completed=738, cancelled=536)
        | executions(MOVIE, completed=38, discard=1, failure=3, snoozed=1)
        | executions(DATE, completed=22)
        | executions(SYNC, completed=1)
    )
    ended[SHOWTIME, State.COMPLETED] = Counter(738, NOW - 600, TRACE._replace(value=1))
    fast, slow = {"0.05": 400, "0.1": 300, "0.25": 30, "1.0": 8}, {"0.5": 12, "1.0": 20, "5.0": 5, "30.0": 1}
    return Snapshot(
        taken_at=NOW,
        seen=seen,
        executions=ended,
        cancellations={(SHOWTIME, "movie_not_matched"): Counter(536, NOW - 590)},
        errors={(MOVIE, "ReadTimeout"): Counter(4, NOW - 500)},
        durations={
            (SHOWTIME, State.COMPLETED): Histogram(fast, 61.2, NOW - 600, {"1.0": TRACE}),
            (SHOWTIME, State.CANCELLED): Histogram({"0.025": 500, "0.05": 36}, 9.1, NOW - 600),
            (MOVIE, State.COMPLETED): Histogram(slow, 44.0, NOW - 600),
        },
        waits={series: Histogram({"0.5": 20, "+Inf": 1}, 90_010.0, NOW - 600) for series in seen},
        enqueued={series: Counter(1274, NOW - 600) for series in seen},
        cancelled_unstarted={series: Counter(0, NOW - 600) for series in seen},
        last_completed={SHOWTIME: NOW - 3.2, MOVIE: NOW - 70, DATE: NOW - 400, SYNC: NOW - 590},
        running=(
            RunningExecution("e1", "j1", MOVIE, "pool-1", NOW - 2, 1),
            RunningExecution("e2", "j2", MOVIE, "pool-2", NOW - 9, 2),
        ),
        queues=(
            QueueState("showtimes", {"finished": 738, "canceled": 536}, scheduler_up=True),
            QueueState("movies", {"queued": 12, "started": 2, "finished": 38, "failed": 1}, NOW - 42, 0, True),
            QueueState("default", {"finished": 23}),
        ),
        rq_workers=tuple(
            RQWorkerState(
                f"pool-{n}", ("showtimes", "movies", "default"), "busy" if n < 3 else "idle", True, 333, succeeded=333
            )
            for n in range(1, 5)
        ),
        created=NOW - 600,
    )


@dataclass(frozen=True)
class Answer:
    """What an HTTP server answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The body, unpacked where it was packed."""
        return (gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body).decode()


@pytest.fixture
def fetch() -> Callable[..., Answer]:
    """``fetch(url, method="GET", **headers)`` -> :class:`Answer`."""
    return _fetch


def _fetch(url: str, method: str = "GET", **headers: str) -> Answer:
    """One request, any status; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    begin = time.monotonic()
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, method=method, headers=named), timeout=20)
    except urllib.error.HTTPError as error:
        reply = error
    with reply:
        body = reply.read()
    return Answer(reply.status, {k.lower(): v for k, v in reply.headers.items()}, body, time.monotonic() - begin)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """``eventually(condition)`` waits until it is true."""
    return _eventually


def _eventually(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something is true; fail if it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


@pytest.fixture
def redis_server() -> Iterator[EmbeddedServer]:
    """A real server on a private socket."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """A Redis URL that nobody answers."""
    return f"unix://{tmp_path / 'nobody.sock'}"


@pytest.fixture
def hanging() -> Iterator[str]:
    """A Redis URL where the connection is accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def serve() -> Iterator[Callable[..., ExporterServer]]:
    """``serve(url)`` -> a running exporter on a free port of the loopback address."""
    with ExitStack() as stack:

        def start(connection: redis.Redis | str, **options: Any) -> ExporterServer:
            server = ExporterServer(connection, options.pop("config", Config()), "127.0.0.1", 0, **options)
            return stack.enter_context(server)

        yield start
