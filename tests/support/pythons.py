"""The Pythons of this machine: on the path, or where pyenv and uv put them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")


@functools.cache
def python(version: str) -> Path:
    """The interpreter of a version such as ``3.12``, or the end of the test that needs it."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local" / "share" / "uv" / "python")
    candidates = [
        Path(sys.executable),
        *(Path(path) for path in [shutil.which(f"python{version}")] if path),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python")),
        *sorted(uv.glob(f"cpython-{version}*/bin/python")),
    ]
    for candidate in candidates:
        question = "import sys; print('%d.%d' % sys.version_info[:2])"
        # One of pyenv's stand-ins answers only where its version is chosen.
        said = subprocess.run([candidate, "-c", question], capture_output=True, text=True, timeout=30)
        if said.stdout.strip() == version:
            return candidate
    pytest.skip(f"no Python {version} here: uv python install {version}")
