"""A copy of the package in which something may be changed, to see who notices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "src" / "jobtelemetry"


class PackageCopy:
    """The package's source under another root.

    Args:
        home: Where to put it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        shutil.copytree(_PACKAGE, home / "jobtelemetry", ignore=shutil.ignore_patterns("__pycache__"))

    def change(self, path: str, old: str, new: str) -> None:
        """Replace a text that is in a file once; an empty one stands for the file's end."""
        file = self.home / "jobtelemetry" / path
        text = file.read_text("utf-8") if file.exists() else ""
        assert not old or text.count(old) == 1
        file.write_text(text.replace(old, new) if old else text + new, "utf-8")

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run this Python where the copy is what ``import jobtelemetry`` finds."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.home,
            env=os.environ | {"PYTHONPATH": str(self.home)} | environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
