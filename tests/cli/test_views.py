"""``failures``, ``workers``, ``queues``, ``watch`` and the traceback of ``show``: the on-call person's commands."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jobtelemetry.contract import Kind
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Change, Definition, Measurements, measure_command
from jobtelemetry.store.scripts import run
from support import jobs
from support.stage import Theatre
from support.waiting import eventually

Cli = Callable[..., Any]
Record = Callable[..., str]
ESCAPE = "\x1b"


def test_what_is_broken_in_one_command(cli: Cli, record: Record) -> None:
    """Failures alike are one line; the one that came last is first, and with --sort count the most frequent."""
    record(State.COMPLETED, 5)
    for number in range(3):
        old = record(State.FAILURE, error_type="Timeout", message=f"no answer after {number} s")
    record(State.DISCARD, error_type="Timeout", message="no answer after 9 s")
    newest = record(State.DISCARD, worker="cinema.jobs.MovieDetailJob", error_type="KeyError", message="'title'")
    said = cli("failures")
    assert [(row["error"], row["message"], row["failed"], row["for good"]) for row in said.rows] == [
        ("KeyError", "'title'", "1", "1"),
        ("Timeout", "no answer after # s", "4", "1"),
    ]
    assert said.rows[0]["example job"] == newest
    assert "From 5 of 10 entries of the execution log" in said.err
    first, second = map(json.loads, cli("failures", "--sort", "count", "--json").lines)
    assert (first["count"], second["example"]["job"]) == (4, newest)
    assert [row["failed"] for row in cli("failures", "--message", "ANSWER AFTER 1").rows] == ["1"]
    assert old in cli("jobs", "--message", "after 2", "--json").out
    assert "1 more with --limit 0" in cli("failures", "--limit", "1").err


def test_without_failures_it_says_how_much_was_searched(cli: Cli, record: Record) -> None:
    """Nothing broken is an answer, too, and from what it comes stands beside it."""
    record(State.CANCELLED, 3, reason="movie_not_matched")
    said = cli("failures")
    assert (said.code, said.rows) == (0, [])
    assert "No failure. No execution matches; the log has 3" in said.err


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--attempt", "2"], 1),
        (["--rq-worker", "pool-7"], 1),
        (["--trace", "f" * 32], 1),
        (["--message", "TITLE"], 1),
        (["--min-run", "4s"], 1),
        (["--min-run", "6s"], 0),
        (["--min-wait", "1m"], 1),
        (["--execution", "nobody"], 0),
    ],
)
def test_every_fact_of_the_log_chooses(cli: Cli, record: Record, options: list[str], number: int) -> None:
    """``jobs`` and ``top`` know all that the log knows."""
    record(State.COMPLETED, 3)
    record(State.DISCARD, attempt=2, rq_worker="pool-7", trace_id="f" * 32, message="no title", duration=5.0, wait=70.0)
    assert len(cli("jobs", "--json", *options).lines) == number
    assert len(cli("top", "--by", "execution", "--json", *options).lines) == number


def test_the_traceback_that_rq_kept_is_shown(theatre: Theatre, cli: Cli) -> None:
    """``show`` has the traceback of a failed job, and loads nothing of it: its function may be gone."""
    with theatre.stage().open() as stage:
        failed = stage.enqueue(jobs.fail, "ShowtimeNotFound", "no such showtime")
        good = stage.enqueue(jobs.complete)
        stage.run()
        stage.connection.hset(failed.key, "data", b"cannot be loaded")
        said = cli("show", failed.id, url=stage.server.tcp_url)
        assert "traceback, as RQ kept it\n  Traceback (most recent call last):\n" in said.out
        assert said.lines[-1].endswith("ShowtimeNotFound: no such showtime")
        assert (
            "ShowtimeNotFound"
            in json.loads(cli("show", failed.id, "--json", url=stage.server.tcp_url).out)["traceback"]
        )
        assert json.loads(cli("show", good.id, "--json", url=stage.server.tcp_url).out)["traceback"] is None


@pytest.mark.parametrize("instrumented", [True, False])
def test_rq_workers_say_what_they_do(theatre: Theatre, cli: Cli, instrumented: bool) -> None:
    """Host, process, job and since when, heartbeat and version, of an RQ worker that is instrumented or not."""
    with theatre.stage().open() as stage:
        job = stage.enqueue(jobs.meet)
        stage.worker(instrumented=instrumented, on=("default", "mail"))
        stage.meet()
        (row,) = map(json.loads, cli("workers", "--json", url=stage.server.tcp_url).lines)
        assert (row["job"], row["queues"], row["state"]) == (job.id, ["default", "mail"], "busy")
        assert row["instrumented"] is instrumented
        assert row["pid"] > 1
        assert all(row[name] for name in ("hostname", "rq_version", "python_version"))
        assert row["born"] <= row["heartbeat"]
        assert row["job_since"] >= row["born"] - 1
        table = cli("workers", "--queue", "mail", "--state", "busy", url=stage.server.tcp_url)
        assert table.rows[0]["current job"] == job.id
        assert ("not instrumented" in table.err) is not instrumented
        other = cli("workers", "--queue", "defaul", url=stage.server.tcp_url)
        assert (other.code, other.out) == (2, "")
        assert "did you mean default?" in other.err
        stage.go()
        stage.settle()
        (row,) = map(json.loads, cli("workers", "--json", url=stage.server.tcp_url).lines)
        assert (row["job"], row["job_since"]) == (None, None)


def test_queues_say_what_waits_and_who_listens(theatre: Theatre, cli: Cli) -> None:
    """The queue that nobody works on comes first; a first look has no rates, and two have."""
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.complete)
        stage.run()
        stage.enqueue(jobs.complete, on="nobody")
        rows = cli("queues", "--over", "0", url=stage.server.tcp_url).rows
        assert [(row["queue"], row["queued"], row["RQ workers"], row["in/min"]) for row in rows] == [
            ("nobody", "1", "0", ""),
            ("default", "0", "1", ""),
        ]
        first = json.loads(cli("queues", "--over", "0.05", "--json", url=stage.server.tcp_url).lines[0])
        assert (first["queue"], first["rate_in"], first["drained_in"]) == ("nobody", 0.0, None)


def test_queues_and_workers_of_an_empty_redis(cli: Cli) -> None:
    """Where there is nothing it says so, and what to do."""
    assert "nothing has been enqueued yet" in cli("queues", "--over", "0").err
    assert "jobtelemetry worker" in cli("workers").err


@contextmanager
def watching(url: str, lines: int, columns: int, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """``jobtelemetry watch`` on a terminal of this size, and what it has shown so far."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobtelemetry", "watch", "--interval", "0.5", "--redis-url", url],
        stdin=slave, stdout=slave, stderr=slave, env=env | {"TERM": "xterm-256color"} | environment,
    )  # fmt: skip
    os.close(slave)
    os.set_blocking(master, False)
    seen = bytearray()

    def shown() -> str:
        with suppress(OSError):  # nothing more for now
            while chunk := os.read(master, 1 << 20):
                seen.extend(chunk)
        return seen.decode(errors="replace")

    try:
        yield process, shown
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize(("lines", "columns"), [(24, 80), (60, 180), (10, 40)])
def test_watch_fills_the_terminal_and_ends_with_ctrl_c(
    server: EmbeddedServer, record: Record, lines: int, columns: int
) -> None:
    """Every look fits the terminal, what ends meanwhile appears, and Ctrl-C gives the screen back."""
    record(State.DISCARD, 40, error_type="KeyError", message="'title'")
    for number in range(30):
        record(worker=f"cinema.jobs.Task{number}", queue=f"queue-{number}")
    with watching(server.url, lines, columns) as (process, shown):
        eventually(lambda: "ShowtimeProcessJob lost" in shown(), "the first look")
        before = shown().count("telemetry")
        record(State.DISCARD, 2, error_type="KeyError", message="'title'")
        eventually(lambda: "lost 42 of" in shown() or columns < 80, "the next look")
        eventually(lambda: shown().count("telemetry") > before, "another look")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        text = shown()
    assert f"{ESCAPE}[?1049h" in text  # another screen, and back
    assert f"{ESCAPE}[?1049l" in text
    looks = text.partition(f"{ESCAPE}[?1049l")[0].split(f"{ESCAPE}[H")[1:]
    assert max(look.count("\n") for look in looks) < lines
    assert ("Task29" in text) == (lines == 60)


def test_watch_waits_for_a_redis_that_is_away(tmp_path: Path) -> None:
    """An outage is told on the screen, the last figures stay, and it goes on when Redis is back."""
    with (
        EmbeddedServer(tmp_path, appendonly="yes", appendfsync="always") as mine,
        watching(mine.url, 30, 100) as (process, shown),
    ):
        eventually(lambda: "telemetry" in shown(), "the first look")
        mine.kill()
        eventually(lambda: "away, these figures are old" in shown(), "word of the outage")
        told = len(shown())
        mine.restart()
        eventually(lambda: "telemetry" in shown()[told:] and "away" not in shown().rpartition("telemetry")[0][-900:],
                   "a look without it")  # fmt: skip
        assert process.poll() is None


def test_watch_in_a_pipe(cli: Cli, record: Record) -> None:
    """Once, or as JSON; the live view itself needs a terminal and says so."""
    record(State.DISCARD, 3, error_type="KeyError", message="'title'")
    assert "ShowtimeProcessJob lost 3 of 3 jobs" in cli("watch", "--once").out
    told = json.loads(cli("watch", "--once", "--json").out)
    assert (told["jobs"]["level"], told["failures"][0]["count"], told["redis"]) == ("bad", 3, None)
    said = cli("watch")
    assert said.code == 2
    assert "--once" in said.err


def test_watch_shows_a_few_of_each_in_a_pipe_and_all_as_json(cli: Cli, record: Record) -> None:
    """A thousand queues do not hide what is below them; the moment has its zone, and failures say since when."""
    for number in range(30):
        record(State.DISCARD, worker=f"w{number:02}", error_type="KeyError")
    shown = cli("watch", "--once").out
    assert "Workers (10 more)" in shown
    assert " UTC, counting since" in shown.splitlines()[0]
    assert "Failures since " in shown
    told = json.loads(cli("watch", "--once", "--json").out)
    assert len(told["workers"]) == len(told["failures"]) == 30
    assert told["failures_since"] > 0


def test_metrics_of_your_own_are_listed(cli: Cli, server: EmbeddedServer) -> None:
    """Each in one line, one with its series, a near miss with a way out, and nothing where there is none."""
    assert "No metric of your own is known here" in cli("metrics").err
    tickets = Definition("view_tickets_total", Kind.COUNTER, "Tickets that were sold.", ("film",))
    price = Definition("view_price_seconds", Kind.HISTOGRAM, "How long it took.", (), "", ("1.0", "+Inf"))
    changes = [
        Change(tickets, tickets.series(["Alien"]), 1, add={"value": "2.5"}),
        Change(tickets, tickets.series(["Brazil"]), 1, add={"value": "7"}),
        Change(price, price.series([]), 3, add={"sum": "4.5"}, count={"bucket|1.0": 1, "bucket|+Inf": 2}),
    ]
    command = measure_command(Keys(), Measurements(changes), writer="w", batch=1, families=9, series=9)
    run(server.connection(), command)
    assert [(row["metric"], row["series"], row["value"], row["mean"]) for row in cli("metrics").rows] == [
        ("view_price_seconds", "1", "3", "1.5"),
        ("view_tickets_total", "2", "9.5", ""),
    ]
    said = cli("metrics", "view_tickets")
    assert [(row["labels"], row["value"]) for row in said.rows] == [("film=Brazil", "7.0"), ("film=Alien", "2.5")]
    assert "Tickets that were sold." in said.err
    assert "did you mean view_tickets_total?" in cli("metrics", "view_ticket").err
    told = [json.loads(line) for line in cli("metrics", "--json").lines]
    assert [one["total"].get("p95") for one in told] == [None, None]  # beyond the last bound, which JSON cannot say
    assert told[1]["total"] == {"value": 9.5}


def test_metrics_of_your_own_on_a_terminal(terminal: Callable[..., str], server: EmbeddedServer) -> None:
    """What is called seconds is told as such, beyond the last bucket it says so, and the total stands below."""
    price = Definition("view_price_seconds", Kind.HISTOGRAM, "How long it took.", ("film",), "", ("60.0", "+Inf"))
    changes = [
        Change(price, price.series([film]), 2, add={"sum": "180"}, count={"bucket|+Inf": 2}) for film in ("a", "b")
    ]
    command = measure_command(Keys(), Measurements(changes), writer="t", batch=1, families=9, series=9)
    run(server.connection(), command)
    assert "4 observed" in terminal("metrics", columns=100)
    shown = terminal("metrics", "view_price_seconds", columns=80)
    assert "Total" in shown
    assert "1 min 30 s" in shown
    assert "> 1 min" in shown


def test_colours_are_those_of_the_page(terminal: Callable[..., str], record: Record) -> None:
    """Cancelled is blue: it is no failure, and must not look like one."""
    record(State.CANCELLED, reason="movie_not_matched")
    record(State.DISCARD, error_type="KeyError")
    shown = terminal("jobs")
    assert f"{ESCAPE}[94mcancelled" in shown
    assert f"{ESCAPE}[1;31mdiscard" in shown
