"""What a user meets at a terminal: widths, colours, ASCII, closed pipes, Ctrl-C, and a Redis that is not there."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys
from support.waiting import eventually

Cli = Callable[..., Any]
Terminal = Callable[..., str]
ESCAPE = "\x1b"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
QUESTIONS = (
    ["jobs"],
    ["stats"],
    ["stats", "--since", "1h"],
    ["top", "--by", "film_id"],
    ["show", "job"],
    ["compare"],
    ["metrics"],
    ["tail"],
    ["reset", "--worker", "X", "--yes"],
)


def command(*arguments: str, url: str) -> list[str]:
    """The command as a process."""
    return [sys.executable, "-m", "jobtelemetry", *arguments, "--redis-url", url]


@pytest.mark.usefixtures("cinema")
@pytest.mark.parametrize("columns", [60, 80, 132, 200])
def test_every_table_fits_the_terminal(terminal: Terminal, columns: int) -> None:
    """At any usual width no line of a table is longer than the terminal, and the figures are whole."""
    shown = terminal("stats", columns=columns, NO_COLOR="1")
    assert "738" in shown
    assert "57.9 %" in shown
    top = terminal("top", "--by", "film_id,title", "--state", "cancelled", columns=columns, NO_COLOR="1")
    assert "500" in top
    assert all(len(STYLE.sub("", line)) <= columns for line in (shown + top).splitlines())


@pytest.mark.parametrize("columns", [40, 60, 80, 132])
def test_no_figure_is_cut(terminal: Terminal, record: Callable[..., str], columns: int) -> None:
    """Where columns do not fit they are left out, those that say nothing first; no number and no head loses its end."""
    for number in range(3):
        record(
            State.DISCARD,
            1234,
            worker=f"a.long.path.of_the_application.{'w' * 20}{number}",
            queue=f"q{number}",
            error_type="SomethingWentWrongError",
            message="the reason why it did is long " * 3,
        )
    for question in (
        ["failures"],
        ["top", "--by", "worker,queue,state"],
        ["watch", "--once"],
        ["queues", "--over", "0"],
    ):
        shown = STYLE.sub("", terminal(*question, columns=columns, NO_COLOR="1"))
        for head in re.findall(r"^(?:worker|queue|last seen|RQ worker) .*$", shown, re.MULTILINE):
            assert "…" not in head, (question, head)
        assert question[0] == "queues" or "1,234" in shown, question


@pytest.mark.usefixtures("cinema")
def test_a_narrow_terminal_gets_lines_and_a_wide_one_a_table(terminal: Terminal) -> None:
    """The reason of a job can be read at every width."""
    for columns in (70, 160):
        shown = terminal("jobs", "--limit", "2", columns=columns, NO_COLOR="1")
        assert "movie_not_matched" in shown
        assert ("ended" in shown) == (columns == 160)


@pytest.mark.usefixtures("cinema")
def test_no_color_is_honoured(terminal: Terminal) -> None:
    """Colours come by default, and with ``NO_COLOR`` there is no colour at all."""
    assert f"{ESCAPE}[94m" in terminal("jobs", "--limit", "1", "--state", "cancelled")
    plain = terminal("jobs", "--limit", "1", "--state", "cancelled", NO_COLOR="1")
    assert f"{ESCAPE}[3" not in plain
    assert f"{ESCAPE}[9" not in plain


@pytest.mark.usefixtures("cinema")
def test_an_ascii_terminal_gets_ascii(terminal: Terminal) -> None:
    """What the terminal cannot show is replaced, never an error; JSON loses nothing."""
    shown = terminal("top", "--by", "title", columns=120, NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert shown.isascii()
    assert "Kot, kt?ry liczy? latarnie" in shown
    assert r"Kot, kt\u00f3ry" in terminal("jobs", "--state", "completed", "--json", PYTHONIOENCODING="ascii")


def test_a_message_cannot_command_the_terminal(terminal: Terminal, record: Callable[..., str]) -> None:
    """Control characters of a job's message are not passed on, and its markup is text."""
    record(State.DISCARD, error_type="E", message=f"{ESCAPE}[2Jboom[red]\tx")
    for arguments in (["jobs"], ["tail", "--json"], ["top", "--by", "message"]):
        if arguments[0] != "tail":
            assert f"{ESCAPE}[2J" not in terminal(*arguments, columns=160, NO_COLOR="1")
    assert "boom[red] x" in terminal("jobs", columns=160, NO_COLOR="1")


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_an_absent_redis_is_one_line(cli: Cli, tmp_path: Path, question: list[str]) -> None:
    """Every command says in one line which Redis does not answer, and ends with code 1."""
    said = cli(*question, url=f"unix://{tmp_path}/nobody.sock")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith(f"Error: Redis at unix://{tmp_path}/nobody.sock does not answer: ")


def test_a_password_is_never_shown(cli: Cli) -> None:
    """The message about a Redis that refuses has no password in it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = cli("jobs", url=f"redis://user:secret@127.0.0.1:{port}/0")
    assert said.code == 1
    assert "secret" not in said.err
    assert cli("jobs", url="http://user:secret@x").code == 2


@pytest.mark.usefixtures("cinema")
def test_a_closed_pipe_ends_it_quietly(server: EmbeddedServer) -> None:
    """``| head -1`` gets its line, and nothing is said on stderr."""
    for arguments in (["jobs", "--limit", "0"], ["jobs", "--limit", "0", "--json"], ["tail", "--lines", "1000"]):
        process = subprocess.Popen(
            command(*arguments, url=server.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
        process.stderr.close()


def test_tail_shows_what_ends_until_ctrl_c(server: EmbeddedServer, record: Callable[..., str], tmp_path: Path) -> None:
    """Past executions first, then those that match as they end; Ctrl-C ends it with code 130 and without a word."""
    old = record(State.DISCARD, error_type="Old")
    output = tmp_path / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command("tail", "--state", "failure,discard", url=server.url),
            stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            eventually(lambda: old in output.read_text())
            record(State.COMPLETED, number=5)
            job = record(State.FAILURE, error_type="ReadTimeout")
            eventually(lambda: job in output.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
            process.wait()
    head, *lines = output.read_text().splitlines()
    assert head.startswith("ended\tworker")
    assert [line.split("\t")[3] for line in lines] == ["discard", "failure"]


def test_tail_waits_for_a_redis_that_is_away(tmp_path: Path) -> None:
    """It says so once, and goes on with what ended meanwhile when the server is back."""
    output = tmp_path / "output"
    entry = {"state": "completed", "worker": "w", "queue": "q"}
    with EmbeddedServer(tmp_path, appendonly="yes", appendfsync="always") as mine, output.open("wb") as out:
        mine.connection().xadd(Keys().log, entry | {"job": "before"})
        process = subprocess.Popen(
            command("tail", url=mine.url),
            stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            eventually(lambda: "before" in output.read_text())
            mine.kill()
            eventually(lambda: "Redis does not answer, waiting for it" in output.read_text())
            mine.restart()
            mine.connection().xadd(Keys().log, entry | {"job": "after"})
            eventually(lambda: "after" in output.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
            process.wait()
    assert output.read_text().count("waiting for it") == 1
