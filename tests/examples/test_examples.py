"""The examples run as their README says."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobtelemetry
from jobtelemetry.outcomes import State
from support.needed import needed
from support.servers import TcpServer
from support.waiting import eventually

#: What installs packages or starts a dozen processes takes its time on a busy machine.
pytestmark = pytest.mark.timeout(480)
_EXAMPLES = Path(__file__).parents[2] / "examples"
_README = (_EXAMPLES / "README.md").read_text()
_BLOCKS = dict(re.findall(r"^## (\w+):.*?```sh\n(.*?)```", _README, re.MULTILINE | re.DOTALL))
_MOST_LINES = 60
#: Commands that go on until they are told to end.
_GOES_ON = re.compile(r"runserver|rqworker|gunicorn|uvicorn|^jobtelemetry worker|^rq cron|scheduler.py$|--enqueue$")

#: RQ behind Sentinel: redis-py keeps the connection of the interrupted blocking read, and RQ's farewell waits on it.
_ENDS_AT_THE_SECOND = re.compile("--enqueue")


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    """One example, its environment, and the processes that its commands started."""

    def __init__(self, name: str, url: str, folder: Path, **environ: str) -> None:
        port = str(free_port())
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTEST_"))}
        self.environ = {
            **clean,
            "REDIS_URL": url,
            "PORT": port,
            "PATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            **environ,
        }
        self.url = url
        self._name = name
        self._log = folder / "log"
        self._stack = ExitStack()

    def play(self, done: Callable[[dict[str, dict[str, int]]], bool]) -> list[str]:
        """Run the commands in their order, and wait for the jobs before the last; what each that ends said."""
        exports, said = "", []
        for line in _BLOCKS[self._name].strip().splitlines():
            if line.startswith("export "):
                exports = f"{line}\n"
            elif _GOES_ON.search(line):
                self._start(exports + line)
            elif line.startswith("curl"):
                said.append(eventually(lambda line=line: self._try(line), f"an answer to {line}"))
            else:
                if line == "jobtelemetry stats":
                    eventually(lambda: done(self.stats()), f"the end of the jobs of {self._name}")
                said.append(self._run(exports + line))
        return said

    def stats(self) -> dict[str, dict[str, int]]:
        """Worker -> its states that are not 0."""
        rows = [json.loads(line) for line in self._try("jobtelemetry stats --json").splitlines()]
        return {
            row["worker"]: {str(state): row[state] for state in State if row[state]} for row in rows if row["worker"]
        }

    def metrics(self, path: str = "/metrics") -> str:
        """What the example shows Prometheus."""
        return self._try(f"curl -sf http://127.0.0.1:$PORT{path}")

    def metrics_without_the_time(self) -> str:
        """The same without what differs from scrape to scrape."""
        lines = self.metrics("/jobs/metrics").splitlines()
        return "\n".join(line for line in lines if "scrape_duration" not in line)

    @property
    def log(self) -> str:
        """What the commands that go on have written."""
        return self._log.read_text(errors="replace")

    def _run(self, line: str) -> str:
        ran = subprocess.run(
            ["bash", "-ec", line],
            env=self.environ,
            cwd=_EXAMPLES / self._name,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def _try(self, line: str) -> str:
        ran = subprocess.run(
            ["bash", "-ec", line],
            env=self.environ,
            cwd=_EXAMPLES / self._name,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ran.stdout if ran.returncode == 0 else ""

    def _start(self, line: str) -> None:
        *exports, command = line.splitlines()
        log = self._stack.enter_context(self._log.open("ab"))
        process = subprocess.Popen(
            ["bash", "-ec", "\n".join([*exports, f"exec {command}"])],
            env=self.environ,
            cwd=_EXAMPLES / self._name,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._stack.callback(self._end, process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """As by Ctrl-C in a terminal, and once more where that is not enough."""
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGTERM, 15), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(2 if _ENDS_AT_THE_SECOND.search(str(process.args)) else patience)
                return

    def __enter__(self) -> Shop:
        self._log.touch()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@pytest.fixture
def shop(request: pytest.FixtureRequest, tcp: TcpServer, tmp_path: Path) -> Iterator[Shop]:
    """The example that the test names, with a server that has no key."""
    needed("curl")
    tcp.start()
    tcp.client().flushall()
    shop = Shop(request.param, tcp.tcp_url, tmp_path)
    with shop:
        yield shop


def example(name: str) -> pytest.MarkDecorator:
    """The test plays this example."""
    return pytest.mark.parametrize("shop", [name], indirect=True)


def is_what_happened(**states: dict[str, int]) -> Callable[[dict[str, dict[str, int]]], bool]:
    """Whether the jobs of these functions, by their last names, ended so."""
    return lambda stats: {worker.rpartition(".")[2]: found for worker, found in stats.items()} == states


ONE_OF_EACH = {"completed": 1, "cancelled": 1}


@pytest.mark.parametrize("folder", [path for path in _EXAMPLES.iterdir() if path.is_dir()], ids=lambda path: path.name)
def test_an_example_is_short_and_in_the_readme(folder: Path) -> None:
    """Less than 60 lines that are not empty, all files together, and commands to run them."""
    lines = [line for file in folder.rglob("*.py") for line in file.read_text().splitlines() if line.strip()]
    assert 0 < len(lines) < _MOST_LINES, f"{folder.name} has {len(lines)} lines"
    assert folder.name in _BLOCKS


def test_what_is_to_be_installed_is_what_ci_installs() -> None:
    """The packages that the README names are in the extra that the tests are run with."""
    (line,) = re.findall(r"^pip install (.*)$", _README, re.MULTILINE)
    extras = metadata.metadata("jobtelemetry").get_all("Requires-Dist")
    wanted = {
        re.split(r"[<>=~;\[]", one)[0].strip() for one in extras if "extra == 'test'" in one or 'extra == "test"' in one
    }
    assert {word.partition("[")[0] for word in shlex.split(line)} - {"jobtelemetry"} <= wanted


@example("plain")
def test_plain(shop: Shop) -> None:
    """A script of one's own: two films found, one cancelled, one job that fails."""
    happened = is_what_happened(match_film={"completed": 2, "cancelled": 1}, parse_price={"discard": 1})
    said = shop.play(happened)
    assert "jobs.match_film" in said[-1]


@example("django")
def test_django(shop: Shop) -> None:
    """Enqueued in a view, run by ``manage.py rqworker``, shown by a view."""
    *_, metrics, _ = shop.play(is_what_happened(send_receipt=ONE_OF_EACH))
    assert "jobtelemetry_up 1.0" in metrics
    shown = eventually(
        lambda: re.search(r"^jobtelemetry_job_executions_total.*completed.* 1.0$", shop.metrics(), re.MULTILINE)
    )
    assert 'worker="shop.jobs.send_receipt"' in shown[0]


@example("flask")
def test_flask(shop: Shop) -> None:
    """Two gunicorn processes, forked from one that was instrumented, show the same."""
    shop.play(is_what_happened(welcome=ONE_OF_EACH))
    processes = {shop.metrics_without_the_time() for _ in range(10)}
    assert len(processes) == 1
    assert 'jobtelemetry_jobs_enqueued_total{queue="default",worker="jobs.welcome"} 2.0' in processes.pop()
    assert shop.log.count("Booting worker") == 2


@example("fastapi")
def test_fastapi(shop: Shop) -> None:
    """A coroutine as a job, and ``/metrics`` mounted beside the routes."""
    shop.play(is_what_happened(resize=ONE_OF_EACH))
    assert 'jobtelemetry_jobs_enqueued_total{queue="default",worker="jobs.resize"} 2.0' in shop.metrics("/jobs/metrics")


@example("opentelemetry")
def test_opentelemetry(shop: Shop) -> None:
    """Without a line of code there are counts, and one trace from the producer to the job's own span."""
    said = shop.play(is_what_happened(index=ONE_OF_EACH))
    decoder, text = json.JSONDecoder(), "".join(said[:2])
    spans = []
    while (at := text.find('{\n    "name"')) >= 0:
        span, end = decoder.raw_decode(text[at:])
        spans.append(span)
        text = text[at + end :]
    traces = {}
    for span in spans:
        traces.setdefault(span["context"]["trace_id"], set()).add(span["name"])
    assert any({"enqueue default", "process default", "tokenise"} <= names for names in traces.values())


@example("cron")
def test_cron(shop: Shop) -> None:
    """Jobs of RQ's cron are counted as they are enqueued and as they end, again and again."""
    shop.play(lambda stats: stats.get("jobs.sync", {}).get("completed", 0) >= 2)


@example("scheduler")
def test_rq_scheduler(shop: Shop) -> None:
    """Jobs that the package rq-scheduler enqueues, again and again or once, are counted then and at their end."""
    shop.play(lambda stats: stats.get("jobs.sync", {}).get("completed", 0) >= 2 and "jobs.remind" in stats)
    stats = eventually(lambda: shop.stats() if sum(shop.stats()["jobs.remind"].values()) == 2 else None)
    assert stats["jobs.remind"] == ONE_OF_EACH
    registry = CollectorRegistry()
    with Redis.from_url(shop.url) as connection:
        registry.register(jobtelemetry.Collector(connection))
        labels = {"queue": "default", "worker": "jobs.remind"}
        assert registry.get_sample_value("jobtelemetry_jobs_enqueued_total", labels) == 2


@example("unit_tests")
def test_unit_tests(shop: Shop) -> None:
    """They pass, without a server and without a word of jobtelemetry's."""
    shop.environ |= {"PYTEST_ADDOPTS": "-o log_cli=true -o log_cli_level=WARNING"}
    (said,) = shop.play(lambda stats: True)
    assert "3 passed" in said
    assert "jobtelemetry" not in said.partition("test session starts")[2].partition("\n\n")[2]


@example("sentinel")
def test_sentinel(shop: Shop, tcp: TcpServer, tmp_path: Path) -> None:
    """Worker and collector find the primary through a real sentinel."""
    with sentinel(tcp, tmp_path) as port, shop:
        shop.environ |= {"SENTINELS": f"127.0.0.1:{port}"}
        shop.play(lambda stats: True)
        eventually(lambda: is_what_happened(work={"completed": 1})(shop.stats()), "the job")
        assert re.search(r"^jobtelemetry_job_executions_total.*completed.* 1.0$", shop.metrics(), re.MULTILINE)


@contextmanager
def sentinel(server: TcpServer, folder: Path) -> Iterator[int]:
    """A sentinel that watches the server; its port."""
    port = free_port()
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor mymaster 127.0.0.1 {server.port} 1\n"
    )
    program = Path(f"/proc/{server.pid}/exe").resolve()
    process = subprocess.Popen([program, settings, "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as client:
            eventually(lambda: _answers(client), "the sentinel")
            yield port
    finally:
        process.terminate()
        process.wait()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


def test_django_rqs_admin_pages_show_our_jobs(tcp: TcpServer) -> None:
    """The dashboard, and the page of a job that completed, was cancelled, failed: each with RQ's status of it."""
    tcp.start()
    tcp.client().flushall()
    tests = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("django_admin.py"), tcp.tcp_url],
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == [
        "home 200",
        "complete 200 finished True",
        "cancel 200 canceled True",
        "fail 200 failed True",
    ], ran.stderr
