"""The ledger: what happened, one line of JSON per event, written where it happens and outside of Redis."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Names the file; inherited by every process of the soak.
LEDGER = "JOBTELEMETRY_SOAK_LEDGER"


def note(event: str, **facts: Any) -> None:
    """Add a line. It is there as soon as this returns, whatever happens to the process afterwards."""
    line = json.dumps({"t": time.time(), "pid": os.getpid(), "event": event, **facts}).encode() + b"\n"
    descriptor = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)  # one write, so that a SIGKILL cannot cut it
    finally:
        os.close(descriptor)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every line so far."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)
