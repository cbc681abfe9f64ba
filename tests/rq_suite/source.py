"""Where RQ's tests come from: the source distribution of the installed version."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path


def download(version: str, folder: Path) -> Path:
    """Fetch RQ's source distribution with pip. Returns the archive."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(folder), f"rq=={version}"]
    subprocess.run(command, check=True)
    return next(folder.glob("rq-*.tar.gz"))


def unpack_tests(archive: Path, folder: Path) -> None:
    """Unpack the tests and pytest's settings, and not ``rq`` itself: the installed one is under test."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = Path(*Path(member.name).parts[1:])
            if path.parts[:1] == ("tests",) or path == Path("pyproject.toml"):
                member.name = str(path)
                tar.extract(member, folder, filter="data")
