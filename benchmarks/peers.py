"""Environments of the peers: each its own, with the RQ and redis-py that are here, made on demand."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from benchmarks.variants import Variant


def environment(home: Path, name: str, packages: Iterable[str]) -> Path:
    """The Python of an environment with these packages, in their newest versions that install.

    Raises:
        subprocess.CalledProcessError: Something cannot be installed; pip has said what.
    """
    folder = home / "".join(letter if letter.isalnum() else "-" for letter in name)
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603 - our own arguments
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True)  # noqa: S603 - the requirements stand in this package
        ready.touch()
    return python


def for_variants(home: Path, variants: Iterable[Variant], say: Callable[[str], None]) -> dict[str, Path]:
    """The Python of every variant that needs one of its own; one that cannot be installed is left out, and named."""
    same = [f"{name}=={metadata.version(name)}" for name in ("rq", "redis")]
    found = {}
    for variant in variants:
        if variant.packages:
            try:
                found[variant.name] = environment(home, variant.packages[0], _requirements(variant, same))
            except subprocess.CalledProcessError:  # pip has said why
                say(f"{variant.name} cannot be installed here and is left out")
    return found


def _requirements(variant: Variant, same: Iterable[str]) -> list[str]:
    """With the RQ that is here, unless the variant says which."""
    return (
        [*variant.packages] if any(name.startswith("rq<") for name in variant.packages) else [*same, *variant.packages]
    )


def installed(python: Path, packages: Iterable[str]) -> dict[str, str]:
    """The versions in an environment."""
    names = [re.split(r"[<>=]", package)[0] for package in packages]
    code = "import sys, importlib.metadata as m; [print(n, m.version(n)) for n in sys.argv[1:]]"
    done = subprocess.run([str(python), "-c", code, *names], check=True, capture_output=True, text=True)  # noqa: S603
    return dict(line.split() for line in done.stdout.splitlines())
