"""RQ's own commands, instrumented."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rq import Queue

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from support.waiting import eventually

CRON = """
from rq import cron
cron.register(print, queue_name="nightly", interval=1)
"""


def test_cron_counts_what_it_enqueues(server: EmbeddedServer, tmp_path: Path) -> None:
    """``jobtelemetry cron`` is ``rq cron``; its log is JSON where that is asked for."""
    (tmp_path / "cron_config.py").write_text(CRON)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobtelemetry", "cron", "--log-json", "cron_config.py"],
            cwd=tmp_path,
            env={**os.environ, "JOBTELEMETRY_REDIS_URL": server.url},
            stdout=output,
            stderr=output,
        )
    try:
        connection = server.connection()

        def counted() -> bool:
            assert process.poll() is None, log.read_text()
            queues = {series.queue for series in read_snapshot(connection, Keys()).enqueued}
            return "nightly" in queues

        eventually(counted, "a job that cron enqueued and that is counted")
    finally:
        process.terminate()
        process.wait(60)
    assert log.read_text().startswith("{")


JOBS = """
import os
from pathlib import Path

with Path("imported").open("a") as file:
    file.write(f"{os.getpid()}\\n")

def work():
    import gc

    return gc.get_freeze_count()
"""


@pytest.mark.parametrize("command", ["worker", "worker-pool"])
def test_preload_imports_modules_once_before_the_fork(server: EmbeddedServer, tmp_path: Path, command: str) -> None:
    """``--preload`` imports in the command's own process, and no work-horse imports the module again."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "jobs.py").write_text(JOBS)
    queue = Queue("preloaded", connection=server.connection())
    jobs = [queue.enqueue("app.jobs.work") for _ in range(3)]
    with _running(server, tmp_path, command, "preloaded", "--burst", "--preload", "app.jobs") as process:
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
    assert {job.get_status() for job in jobs} == {"finished"}
    assert (tmp_path / "imported").read_text().split() == [str(process.pid)]
    assert all(job.return_value() > 1000 for job in jobs), "what was there before the fork is kept out of collections"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("app.nowhere", "ModuleNotFoundError: No module named 'app"),
        ("broken", "ZeroDivisionError: division by zero"),
        ("leaving", "SystemExit: 3"),
        (".relative", "TypeError"),
    ],
)
def test_preload_says_what_cannot_be_imported(server: EmbeddedServer, tmp_path: Path, module: str, said: str) -> None:
    """A module that cannot be imported is named, with the reason, before any job is taken."""
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    queue = Queue("untouched", connection=server.connection())
    job = queue.enqueue("builtins.print")
    with _running(server, tmp_path, "worker", "untouched", "--burst", "--preload", module) as process:
        assert process.wait(60) == 2
    text = " ".join((tmp_path / "log").read_text().split())
    assert f"'{module}' cannot: {said}" in text
    assert "Traceback" not in text
    assert job.get_status() == "queued"


@contextmanager
def _running(server: EmbeddedServer, home: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobtelemetry", *arguments],
            cwd=home,
            env={**os.environ, "JOBTELEMETRY_REDIS_URL": server.url},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
