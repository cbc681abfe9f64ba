"""The log of the demo's workers in a file: a line per ending, with the facts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from jobtelemetry.logformat import formatter

#: Tells the pool where its log goes.
FILE_VARIABLE = "JOBTELEMETRY_DEMO_LOG"


def environment(file: Path | None) -> dict[str, str]:
    """What the pool's environment needs."""
    return {} if file is None else {FILE_VARIABLE: str(file.absolute())}


def set_up(environ: Mapping[str, str]) -> None:
    """Write the endings that this process and its work-horses tell to the file that the environment names, if any."""
    path = environ.get(FILE_VARIABLE)
    if not path:
        return
    handler = logging.FileHandler(path)  # opened for appending, so that work-horses do not write over each other
    handler.setFormatter(formatter("text"))
    own = logging.getLogger("jobtelemetry")
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    own.propagate = False
