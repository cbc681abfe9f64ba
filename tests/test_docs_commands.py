"""Every command line of the documentation does what its page says, against a server with jobs that ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rq import Queue, SimpleWorker

import jobtelemetry
from jobtelemetry import Cancel, Config
from support.needed import needed
from support.servers import TcpServer, tcp_server
from support.waiting import eventually

_ROOT = Path(__file__).parents[1]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
#: What goes on until somebody ends it, and what it says when it is at work.
_GOES_ON = {
    "exporter": "Serving metrics on",
    "worker": "Listening on",
    "worker-pool": "Listening on",
    "tail": "",
    "watch": "",
}
#: Tried elsewhere: the demo, an ACL that the page has just made, examples/cron, what needs a Prometheus or a loss.
_ELSEWHERE = re.compile(r"jobtelemetry (demo|cron)|worker:PASSWORD|--prometheus|--losses")
_JOBS = ("cinema_city_showtime_1088_4229_210792", "cinema_city_showtime_1061_4124_210001")
_FAILED = "3f7c5d1e-0c9b-4b5e-9d58-0d3a1c3f6b11"


def _lines() -> list[object]:
    found = []
    for page in _PAGES:
        for block in re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
            for number, line in enumerate(block.replace("\\\n", " ").splitlines()):
                said = line.strip()
                if "console" in block or number == 0 or not line.startswith(" "):
                    said = said.removeprefix("$ ")
                if re.match(r"(JOBTELEMETRY_\w+=\S+ )?jobtelemetry [a-z]", said) and not _ELSEWHERE.search(said):
                    found.append(pytest.param(said.partition("  #")[0], id=f"{page.stem}: {said[:70]}"))
    return found


@jobtelemetry.job(name="jobtelemetry.demo.jobs.ShowtimeProcessJob")
def process(film_id: int) -> None:
    """A showtime whose film is not known."""
    jobtelemetry.set_attribute("film_id", film_id)
    jobtelemetry.set_attribute("title", "Velvet")
    raise Cancel("movie_not_matched")


@jobtelemetry.job(name="jobtelemetry.demo.jobs.ShowtimeProcessJob")
def fail() -> None:
    """One that cannot be read."""
    raise ValueError("not a showtime")


_TICKETS = jobtelemetry.Counter("cinema_tickets_total", "Tickets that were sold.", ["film"])


@jobtelemetry.job(name="cinema.jobs.OldShowtimeJob")
def old() -> None:
    """One that was renamed since, and that has a metric of its own."""
    _TICKETS.labels("Alien").inc()


def _run_jobs(server: TcpServer) -> None:
    """What the pages speak of: two that were cancelled, one that failed, one that completed."""
    jobtelemetry.instrument(Config(extra_labels=("source",)))
    try:
        with server.client() as connection:
            queue = Queue("default", connection=connection)
            for film_id, job_id in zip((4229, 4124), _JOBS, strict=True):
                queue.enqueue(process, film_id, job_id=job_id, meta={"source": "cinema_city"})
            queue.enqueue(fail, job_id=_FAILED, meta={"source": "cinema_city"})
            queue.enqueue(old)
            SimpleWorker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")
    finally:
        jobtelemetry.uninstrument()


@pytest.fixture(scope="module")
def server() -> Iterator[TcpServer]:
    """A server with these jobs."""
    with tcp_server(appendonly="yes") as running:
        _run_jobs(running)
        environ = {**os.environ, "JOBTELEMETRY_REDIS_URL": running.tcp_url}
        worker = subprocess.Popen([sys.executable, "-m", "jobtelemetry", "worker", "quiet"], env=environ)
        try:
            eventually(lambda: _idle(running) == 1, "an RQ worker, which every pool has")
            yield running
        finally:
            worker.kill()
            worker.wait()


def _idle(server: TcpServer) -> int:
    """How many RQ workers wait for jobs."""
    connection = server.connection()
    return [connection.hget(key, "state") for key in connection.smembers("rq:workers")].count(b"idle")


@pytest.mark.parametrize("line", _lines())
def test_a_command_does_as_it_stands(server: TcpServer, tmp_path: Path, line: str) -> None:
    """It succeeds and says something; what goes on gets to work and ends with SIGTERM. Redis is where it is here."""
    if "| jq" in line:
        needed("jq")
    typed = line.replace("redis://localhost:6379/0", server.tcp_url).replace("10427", "0")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTELEMETRY_", "OTEL_"))}
    environ |= {"REDIS_URL": server.tcp_url, "PYTHONUNBUFFERED": "1"}
    environ |= {"GIT_COMMIT": "3f2c1d0", "CI_JOB_URL": "https://ci.example/jobs/7"}
    environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), environ["PATH"]])
    command = re.search(r"jobtelemetry ([a-z-]+)", line)
    assert command is not None
    if command[1] == "reset":
        _run_jobs(server)  # another line has forgotten them
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "jobs.py").write_text("")  # what --preload names
    others, log = _idle(server), tmp_path / "said"
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["bash", "-c", typed],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    text = ""
    try:
        assert process.stdin is not None
        process.stdin.write(b"y\n")  # what asks whether it is meant
        process.stdin.close()
        goes_on = command[1] in _GOES_ON and "--once" not in line and "--burst" not in line and "--check" not in line
        if goes_on:
            eventually(lambda: _GOES_ON[command[1]] in log.read_text() and log.read_text(), typed)
            if command[1].startswith("worker"):
                # RQ itself ends with a traceback where SIGTERM meets a worker that is about to start its scheduler.
                eventually(
                    lambda: _idle(server) >= others + (4 if " -n 4 " in line else 1), f"idle RQ workers of {typed}"
                )
            text = log.read_text()
            process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    finally:
        with suppress(ProcessLookupError):  # the RQ workers of a pool, too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert status in ((0, -signal.SIGTERM) if goes_on else (0,)), f"{typed}\n{log.read_text()}"
    assert "Traceback" not in (text or log.read_text())
