"""What the execution log costs, and what completes a word in a shell."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from rich.console import Console

from jobtelemetry.cli import main, progress
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys

Record = Callable[..., str]

#: docs/execution-log.md says this for entries with a message of 90 characters and two attributes.
DOCUMENTED_BYTES = 500


def test_the_log_is_bounded(server: EmbeddedServer, record: Record) -> None:
    """However many executions end, the log keeps its size, and an entry takes no more than is documented."""
    facts = {
        "job_id": "cinema_city_showtime_1061_4124_210001",
        "rq_worker": "f" * 32,
        "source": "cinema_city",
        "message": "'Kot, który liczył latarnie 2D DUBBING' is most like 'Kot': 0.43, and 0.80 is asked for",
        "trace_id": "ab" * 16,
        "attributes": {"film_id": "4124", "title": "Kot, który liczył latarnie 2D DUBBING"},
    }
    connection, keys = server.connection(), Keys()
    for _ in range(6):
        record(State.CANCELLED, 1000, log_size=2000, reason="movie_not_matched", **facts)
        assert connection.xlen(keys.log) <= 2000 + 100
    assert connection.memory_usage(keys.log, samples=0) < DOCUMENTED_BYTES * 2100


def test_no_log_is_no_log(server: EmbeddedServer, record: Record, cli: Callable[..., Any], monkeypatch: Any) -> None:
    """With a size of 0 nothing is kept, the counters are the same, and the commands say why they are empty."""
    record(number=3, log_size=0)
    monkeypatch.setenv("JOBTELEMETRY_LOG_SIZE", "0")
    assert not server.connection().exists(Keys().log)
    assert cli("stats").rows[-1]["executions"] == "3"
    assert "JOBTELEMETRY_LOG_SIZE is 0" in cli("jobs").err


@pytest.mark.usefixtures("cinema")
@pytest.mark.parametrize(
    ("words", "typed", "completed"),
    [
        (["jobs", "--state"], "com", ["completed"]),
        (["jobs", "--state"], "failure,d", ["failure,discard"]),
        (["stats", "--worker"], "show", ["ShowtimeProcessJob"]),
        ([], "do", ["doctor"]),
        (["jobs"], "--rea", ["--reason"]),
    ],
)
def test_a_shell_completes(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, words: list[str], typed: str, completed: list[str]
) -> None:
    """Commands, options, states and the workers that Redis knows."""
    monkeypatch.setenv("JOBTELEMETRY_REDIS_URL", server.url)
    shell = ShellComplete(main, {}, "jobtelemetry", "_JOBTELEMETRY_COMPLETE")
    assert [item.value for item in shell.get_completions(words, typed)] == completed


def test_a_shell_completes_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is not there completes to nothing, silently."""
    monkeypatch.setenv("JOBTELEMETRY_REDIS_URL", "unix:///nowhere.sock")
    shell = ShellComplete(main, {}, "jobtelemetry", "_JOBTELEMETRY_COMPLETE")
    assert shell.get_completions(["jobs", "--worker"], "x") == []


def test_the_documented_line_for_zsh_works() -> None:
    """What docs/cli.md tells a user to put into .zshrc prints a script for zsh."""
    env = os.environ | {"_JOBTELEMETRY_COMPLETE": "zsh_source"}
    program = "from jobtelemetry.cli import main; main(prog_name='jobtelemetry')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert "#compdef jobtelemetry" in done.stdout


def test_what_takes_long_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second a bar appears on the terminal, and every item still comes."""
    written = io.StringIO()
    shown = Console(file=written, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(progress, "console", lambda *, stderr: shown)
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    assert list(progress.with_progress(range(1000), 1000, "Reading the log")) == list(range(1000))
    assert "Reading the log" in written.getvalue()


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a second, and where there is no terminal, nothing is written."""
    written = io.StringIO()
    for terminal, patience in ((True, 60.0), (False, -1.0)):
        shown = Console(file=written, force_terminal=terminal, width=80)
        monkeypatch.setattr(progress, "console", lambda *, stderr, shown=shown: shown)
        monkeypatch.setattr(progress, "_PATIENCE", patience)
        assert len(list(progress.with_progress(range(500), 500, "Reading"))) == 500
    assert written.getvalue() == ""
