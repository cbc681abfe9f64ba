"""Container, compose, systemd and supervisord."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rq import Queue

from jobtelemetry.demo import jobs
from support.needed import needed
from support.servers import TcpServer
from support.waiting import eventually

#: What installs packages or starts a dozen processes takes its time on a busy machine.
pytestmark = pytest.mark.timeout(480)
_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_SCRIPTS = Path(sysconfig.get_path("scripts"))
_UNITS = sorted((_DEPLOY / "systemd").glob("*.service"))
_SLOW = """
import pathlib, time
def job(folder):
    (pathlib.Path(folder) / "runs").touch()
    while not (pathlib.Path(folder) / "go").exists():
        time.sleep(0.01)
"""


def run(*command: object) -> str:
    """What a program that succeeds says."""
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_the_containerfile_has_no_fault() -> None:
    """Hadolint says nothing; the user is not root, by number, as Kubernetes wants it."""
    path = _DEPLOY / "container" / "Containerfile"
    assert not run(_SCRIPTS / "hadolint", path)
    last = path.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", last, re.MULTILINE)


def test_what_the_containerfile_copies_is_sent_to_the_builder() -> None:
    """Every path that is copied is there, and .dockerignore lets it through."""
    allowed = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    text = (_DEPLOY / "container" / "Containerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert copied == allowed
    assert all((_ROOT / path).exists() for path in copied)


def test_the_image_is_built_from_pinned_versions() -> None:
    """Every dependency of the package, of its extras too, has one version that the package allows."""
    lines = (_DEPLOY / "container" / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines if "==" in line)}
    wanted = [Requirement(line) for line in metadata.requires("jobtelemetry") or ()]
    for extra in ("", "demo", "otlp", "sentry", "web"):
        for one in wanted:
            if (one.marker is None or one.marker.evaluate({"extra": extra})) and one.name != "jobtelemetry":
                assert one.specifier.contains(pins[canonicalize_name(one.name)]), one


def test_compose_is_as_its_specification_says() -> None:
    """The schema of the Compose Specification takes it, and every file that it mounts is there."""
    path = _DEPLOY / "compose" / "compose.yml"
    run(_SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    services = yaml.safe_load(path.read_text())["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        own = service["image"].startswith("jobtelemetry")
        assert "healthcheck" in service or own, name
        assert not own or service["read_only"]
        if "build" in service:
            build = service["build"]
            assert (path.parent / build["context"] / build["dockerfile"]).is_file()


def test_the_load_of_the_stack_is_work(tcp: TcpServer) -> None:
    """One round of it: a cinema to sync, a job that fails, and one that fails after retries."""
    tcp.start()
    tcp.client().flushall()
    run(sys.executable, _DEPLOY / "compose" / "load.py", tcp.tcp_url, "1")
    run(_SCRIPTS / "jobtelemetry", "worker", "--burst", "--max-jobs", "4", "--url", tcp.tcp_url, jobs.SCRAPING)
    said = run(_SCRIPTS / "jobtelemetry", "stats", "--redis-url", tcp.tcp_url)
    assert "json.loads" in said
    assert "SyncJob" in said


@pytest.mark.parametrize("unit", _UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say, and what a unit may do is little."""
    analyze = needed("systemd-analyze")
    text = unit.read_text()
    assert re.search(r"^ExecStart=/opt/\w+/bin/jobtelemetry ", text, re.MULTILINE)
    here = tmp_path / unit.name
    text = re.sub(r"/opt/\w+/bin/jobtelemetry", str(_SCRIPTS / "jobtelemetry"), text)
    here.write_text(text.replace("/opt/shop", str(tmp_path)).replace("User=shop", "User=daemon"))
    assert not run(analyze, "verify", "--man=no", here)
    exposure = run(analyze, "security", "--offline=true", "--no-pager", "--threshold=25", here)
    assert "OK" in exposure


def test_a_pool_gets_one_signal_and_time() -> None:
    """A work-horse dies of a SIGTERM: systemd and supervisord send one, to the pool alone, and wait."""
    unit = (_DEPLOY / "systemd" / "rq-pool.service").read_text()
    assert {"KillMode=mixed", "TimeoutStopSec=210"} <= set(unit.splitlines())
    program = (_DEPLOY / "supervisord" / "jobtelemetry.conf").read_text().partition("[program:rq-pool]")[2]
    assert {"stopsignal=TERM", "stopasgroup=false", "killasgroup=true", "stopwaitsecs=210"} <= set(program.splitlines())


def test_supervisord_runs_exporter_and_pool(tcp: TcpServer, tmp_path: Path) -> None:
    """A real supervisord starts both from our file; told to end, it lets a job that runs finish."""
    tcp.start()
    tcp.client().flushall()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (_DEPLOY / "supervisord" / "jobtelemetry.conf").read_text()
    text = re.sub(r"/opt/\w+/bin/jobtelemetry", str(_SCRIPTS / "jobtelemetry"), text)
    text = re.sub(r"^user=.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("/opt/shop", str(tmp_path)).replace("redis://localhost:6379/0", tcp.tcp_url)
    (tmp_path / "jobtelemetry.conf").write_text(text.replace("127.0.0.1:10427", f"127.0.0.1:{port}"))
    (tmp_path / "supervisord.conf").write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\nchildlogdir={tmp_path}\n"
        "[include]\nfiles = jobtelemetry.conf\n"
    )
    (tmp_path / "slow.py").write_text(_SLOW)
    Queue(connection=tcp.client()).enqueue("slow.job", str(tmp_path))
    supervisord = shutil.which("supervisord", path=_SCRIPTS)
    assert supervisord is not None
    with subprocess.Popen([supervisord, "-c", tmp_path / "supervisord.conf"], stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _workers(port) == 3, "three workers on the exporter's page that have nothing to do")
            eventually((tmp_path / "runs").exists, "the job")
            process.terminate()
            eventually(lambda: "shutting down" in _text(tmp_path.glob("rq-pool-std*")), "the pool's farewell")
            (tmp_path / "go").touch()
            process.wait(60)
        finally:
            (tmp_path / "go").touch()
            process.terminate()
            process.wait(60)
    log = (tmp_path / "log").read_text()
    assert log.count("exited: ") + log.count("stopped: ") == 2
    assert "SIGKILL" not in log
    said = run(_SCRIPTS / "jobtelemetry", "jobs", "--json", "--redis-url", tcp.tcp_url)
    assert '"state": "completed"' in said


def _text(files: Iterable[Path]) -> str:
    return "".join(file.read_text() for file in files)


def _workers(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return sum(map(float, re.findall(r'^jobtelemetry_rq_workers\{.*status="idle"\} (.*)$', text, re.MULTILINE)))
