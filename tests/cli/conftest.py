"""A real server, executions written as the hooks write them, and the commands as a user types them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner

from jobtelemetry.cli import main
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Booking, Limits, append_finish
from jobtelemetry.store.scripts import execute

NUMBERS = count()
SHOWTIME = "cinema.jobs.ShowtimeProcessJob"


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on standard output."""
        return self.out.splitlines()

    @property
    def rows(self) -> list[dict[str, str]]:
        """The tab-separated lines under their heads."""
        head, *rest = (line.split("\t") for line in self.lines)
        return [dict(zip(head, cells, strict=True)) for cells in rest]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[EmbeddedServer]:
    """One server per module."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def server(shared_server: EmbeddedServer) -> EmbeddedServer:
    """A server without any key."""
    shared_server.connection().flushall()
    return shared_server


@pytest.fixture
def record(server: EmbeddedServer) -> Callable[..., str]:
    """``record(state, number=1, **facts)`` -> the job of the last of these executions.

    With ``booked`` RQ counts them for their RQ worker, as it does for one that lives; else it has counted none.
    """
    connection, keys = server.connection(), Keys()

    def write(
        state: State = State.COMPLETED,
        number: int = 1,
        log_size: int = 10_000,
        *,
        booked: bool = False,
        label_sets: int = 1000,
        **facts: Any,
    ) -> str:
        pipe, job = connection.pipeline(transaction=False), ""
        outcome = Outcome(state, facts.pop("reason", ""), facts.pop("error_type", ""))
        for _ in range(number):
            serial = next(NUMBERS)
            job = facts.get("job_id", f"job-{serial}")
            now = time.time()
            known = {"worker": SHOWTIME, "queue": "showtimes", "rq_worker": "pool-1", "attempt": 1} | facts
            known |= {"job_id": job, "execution_id": f"execution-{serial}"}
            if source := known.pop("source", ""):
                known["labels"] = {"source": source}
            event = ExecutionEvent(**{"outcome": outcome, "ended_at": now, "duration": 0.2, "wait": 1.5} | known)
            rq_worker_key = keys.rq_worker(event.rq_worker if booked else "nobody")
            booking, limits = Booking.of(state) if booked else Booking(), Limits(label_sets, log_size)
            job_key = keys.job(job)
            append_finish(
                pipe, keys, event, job_key=job_key, rq_worker_key=rq_worker_key, limits=limits, booking=booking
            )
        execute(pipe)
        return job

    return write


@pytest.fixture
def cinema(record: Callable[..., str]) -> None:
    """The figures of the old table: 1,274 executions, of which 536 were cancelled on purpose."""
    film = {"film_id": "4124", "title": "Kot, który liczył latarnie"}
    other = {"film_id": "4101", "title": "Velvet Meridian"}
    record(State.COMPLETED, 738, source="cinema_city", attributes=film)
    record(State.CANCELLED, 500, source="cinema_city", reason="movie_not_matched", attributes=film)
    record(State.CANCELLED, 36, source="cinema_city", reason="movie_not_matched", attributes=other)
    record(
        State.DISCARD, worker="cinema.jobs.MovieDetailJob", queue="scraping", error_type="KeyError", message="'title'"
    )


@pytest.fixture
def cli(server: EmbeddedServer) -> Callable[..., Said]:
    """``cli("jobs", "--limit", "1")`` in a pipe."""

    def run(*arguments: str, url: str = "", stdin: str | None = None) -> Said:
        environment: dict[str, str | None] = {"JOBTELEMETRY_REDIS_URL": url or server.url, "RQ_KEY_PREFIX": None}
        result = CliRunner().invoke(main, list(arguments), env=environment, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def terminal(server: EmbeddedServer) -> Callable[..., str]:
    """``terminal("jobs", columns=80)`` -> what a user sees, colours and all."""

    def run(*arguments: str, columns: int = 80, **environment: str) -> str:
        master, slave = pty.openpty()
        env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color", "TZ": "UTC"} | environment
        process = subprocess.Popen(
            [sys.executable, "-m", "jobtelemetry", *arguments, "--redis-url", server.url],
            stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=env,
        )  # fmt: skip
        os.close(slave)
        seen = b""
        try:
            while chunk := _read(master):
                seen += chunk
        finally:
            process.kill()
            process.wait()
            os.close(master)
        return seen.decode(errors="replace").replace("\r\n", "\n")

    return run


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the last writer is gone
        return b""
