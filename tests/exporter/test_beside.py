"""``--metrics``: the process beside a worker, its end, its port, and who else may have it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from rq import Queue

from jobtelemetry.demo.server import EmbeddedServer
from support.waiting import eventually


class Worker:
    """``jobtelemetry worker --metrics`` as a process."""

    def __init__(self, url: str, metrics: str, log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "jobtelemetry", "worker", "default", "--url", url, "--metrics", metrics]
        with log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=Path(__file__).parents[1])

    @property
    def said(self) -> str:
        return self.log.read_text()

    def serving(self) -> str:
        """The URL that it says it serves."""
        return eventually(lambda: re.findall(r"Serving metrics on (\S+)", self.said), "it serves", 60)[-1]

    def beside(self) -> psutil.Process:
        """The process beside it."""
        (child,) = [
            one for one in psutil.Process(self.process.pid).children() if "metrics_process" in one.cmdline()[-1]
        ]
        return child


@contextmanager
def ended(worker: Worker) -> Iterator[Worker]:
    try:
        yield worker
    finally:
        worker.process.terminate()
        worker.process.wait(30)


def up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return b"\njobtelemetry_up 1.0\n" in answer.read()
    except OSError:
        return False


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_it_is_started_again(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    """Killed, it comes back with one line in the log, and it ends with the worker."""
    worker = Worker(redis_server.url, "127.0.0.1:0", tmp_path / "log")
    with ended(worker):
        assert up(worker.serving())
        worker.beside().send_signal(signal.SIGKILL)
        eventually(lambda: worker.said.count("Serving metrics on") == 2, "it serves again", 60)
        assert "The process that serves --metrics ended (signal 9); it is started again in 1 s" in worker.said
        assert up(worker.serving())
        last = worker.beside()
    eventually(lambda: not last.is_running(), "it ended with the worker")
    assert worker.process.returncode == 0
    assert "Traceback" not in worker.said


def test_a_restart_right_after_sigkill(redis_server: EmbeddedServer, tmp_path: Path, port: int) -> None:
    """The process of a worker that was killed lets the port go, and the next worker serves there."""
    first = Worker(redis_server.url, f"127.0.0.1:{port}", tmp_path / "first")
    with ended(first):
        assert up(first.serving())
        orphan = first.beside()
        first.process.kill()
        first.process.wait()
        with ended(Worker(redis_server.url, f"127.0.0.1:{port}", tmp_path / "second")) as second:
            assert up(second.serving())
            assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_second_worker_runs_its_jobs_and_takes_over(redis_server: EmbeddedServer, tmp_path: Path, port: int) -> None:
    """It says that another one serves, works, and serves when that one has ended."""
    with ExitStack() as stack:
        first = stack.enter_context(ended(Worker(redis_server.url, f"127.0.0.1:{port}", tmp_path / "first")))
        assert up(first.serving())
        second = stack.enter_context(ended(Worker(redis_server.url, f"127.0.0.1:{port}", tmp_path / "second")))
        eventually(lambda: "Metrics are served by another jobtelemetry on port" in second.said, "it says who", 60)
        first.process.terminate()
        first.process.wait(30)
        job = Queue(connection=redis_server.connection()).enqueue("operator.add", 1, 2)
        eventually(lambda: job.get_status(refresh=True) == "finished", "the job ran")
        assert up(second.serving())


def test_a_port_of_somebody_else_is_one_line(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    """The option that is named is the one that was given."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        worker = Worker(redis_server.url, f"127.0.0.1:{number}", tmp_path / "log")
        assert worker.process.wait(60) == 2
    assert f"port {number} on 127.0.0.1 is already in use; choose another with --metrics" in worker.said
    assert "--listen" not in worker.said
    assert "Traceback" not in worker.said


def test_it_can_be_a_socket(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    """``unix:/path`` works here too."""
    path = tmp_path / "metrics.sock"
    with ended(Worker(redis_server.url, f"unix:{path}", tmp_path / "log")) as worker:
        assert worker.serving() == f"unix:{path}/metrics"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 200 " in client.recv(1000)
    eventually(lambda: not path.exists(), "the file goes with it")
