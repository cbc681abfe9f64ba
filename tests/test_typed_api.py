"""What type checkers say about programs that use the public names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

RIGHT = """
import jobtelemetry
from jobtelemetry import Cancel, Collector, Config, Discard, State, instrument, job, register_rate_limit

@job(name="shop.mail", report="never")
def mail(to: str) -> int:
    return len(to)

@register_rate_limit
def limited(error: BaseException) -> float | None:
    return getattr(error, "wait", None)

instrument(Config(redis_url="redis://localhost"))
jobtelemetry.instrument()
length: int = mail("x")
collected: Collector
state: State = State.COMPLETED

tickets = jobtelemetry.Counter("tickets", "Tickets.", ["film"], registry=None)
tickets.labels("Alien").inc()
tickets.labels(film="Alien").inc(2.5, {"trace_id": "x"})
prices = jobtelemetry.Histogram("price", "Prices.", unit="euros", buckets=(5, 10))
seats: jobtelemetry.Gauge = jobtelemetry.Gauge("seats", "Seats.", ["room"]).labels(1)

@prices.time()
def sell(price: float) -> float:
    with tickets.labels("Alien").count_exceptions(ValueError), prices.time():
        seats.set(3)
        seats.dec()
        prices.observe(price)
    return price

price: float = sell(7)

def act(found: bool) -> Cancel | Discard:
    return Cancel("movie_not_matched", "no such film") if found else Discard("bad_payload", detail="x")
"""

#: A line -> what a checker must complain about.
WRONG = {
    "from jobtelemetry import Cancle": "Cancle",
    "jobtelemetry.instrumnet()": "instrumnet",
    '@jobtelemetry.job(report="sometimes")\ndef f() -> None: ...': "report",
    "jobtelemetry.Cancel()": "Cancel|reason",
    "jobtelemetry.Cancel(None)": "Cancel|None",
    'jobtelemetry.Counter("a")': "documentation",
    'jobtelemetry.Counter("a", "A.").inc("x")': "inc",
    'jobtelemetry.Counter("a", "A.").observe(1)': "observe",
    "x: int = jobtelemetry.Config().redis_url": "int",
}


def mypy(folder: Path, program: str) -> tuple[int, str]:
    """Its exit status and what it says."""
    (folder / "program.py").write_text(program)
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-color-output",
            "--cache-dir",
            str(folder.parent / "cache"),
            "program.py",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return said.returncode, said.stdout + said.stderr


def test_a_right_program_is_right(tmp_path: Path) -> None:
    """The public names have the types that the documentation uses."""
    status, said = mypy(tmp_path, RIGHT)
    assert status == 0, said


def test_misspelt_names_and_wrong_arguments_are_found(tmp_path: Path) -> None:
    """A type checker finds each of them, and its complaint is about it."""
    status, said = mypy(tmp_path, "import jobtelemetry\n" + "\n".join(WRONG))
    assert status == 1
    lines = [line for line in said.splitlines() if "error:" in line]
    missing = [word for word in WRONG.values() if not any(part in line for line in lines for part in word.split("|"))]
    assert not missing, said
    assert len(lines) >= len(WRONG), said


def pyright(program: str, folder: Path, text: str) -> tuple[int, str]:
    """Its exit status and what it says, as strict as it can be in Pyright's own words."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    (folder / "program.py").write_text(text)
    command = [program, "--level", "error", "--pythonpath", sys.executable, "program.py"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    return said.returncode, said.stdout + said.stderr


@pytest.fixture(params=["basedpyright", *(["pyright"] if shutil.which("pyright") else [])])
def checker(request: pytest.FixtureRequest) -> str:
    """Pyright as PyPI has it whole, and the one that editors use where that is installed: npm has it."""
    here = shutil.which(request.param, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    assert here is not None, "pip install -e '.[test]' brings basedpyright"
    return here


def test_pyright_takes_a_right_program(checker: str, tmp_path: Path) -> None:
    """Editors show no error in what the documentation shows."""
    status, said = pyright(checker, tmp_path, RIGHT)
    assert status == 0, said


def test_pyright_finds_them_too(checker: str, tmp_path: Path) -> None:
    """Editors underline what mypy complains about: the misspelt name of the package first."""
    status, said = pyright(checker, tmp_path, "import jobtelemetry\n" + "\n".join(WRONG))
    assert status == 1
    assert '"Cancle" is unknown import symbol' in said
    lines = [line for line in said.splitlines() if "error:" in line]
    missing = [word for word in WRONG.values() if not any(part in line for line in lines for part in word.split("|"))]
    assert not missing, said
