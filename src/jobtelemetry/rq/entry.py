"""What an application calls. On an RQ that is too old for the table of hooks it says one line, and the jobs run."""

from __future__ import annotations

import logging

from rq.version import VERSION

from jobtelemetry.config import Config
from jobtelemetry.rq.attach import numbers
from jobtelemetry.rq.hooks import OLDEST

__all__ = ["instrument", "is_instrumented", "uninstrument"]

if numbers(VERSION) >= OLDEST:
    from jobtelemetry.rq.instrument import instrument, is_instrumented, uninstrument
else:  # its modules are others, and importing ours would fail
    _said = False

    def instrument(config: Config | None = None) -> None:
        """Say why nothing is recorded, once in a process."""
        global _said
        if _said:
            return
        _said = True
        logging.getLogger("jobtelemetry").error(
            "jobtelemetry counts nothing in this process: RQ %s is older than %s, the oldest that can be recorded; "
            "jobs run as without it (pip install 'rq>=%s')",
            VERSION,
            oldest := ".".join(map(str, OLDEST)),
            oldest,
            extra={"rq": VERSION},
        )

    def uninstrument() -> None:
        """Nothing to take off."""

    def is_instrumented() -> bool:
        """It is not."""
        return False
