"""The Pythons of this machine: on the path, or where pyenv and uv put them.

Tests are about those that are there. CI has at least :data:`PROMISED`, and its tests fail where it has not.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
#: The oldest, and one without its peculiarities: what differs between Pythons shows in these.
PROMISED = ("3.10", "3.12")


@functools.cache
def python(version: str) -> Path | None:
    """The interpreter of a version such as ``3.12``, if there is one."""
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
    return None


def found() -> list[str]:
    """The supported versions that are here."""
    return [version for version in SUPPORTED if python(version)]
