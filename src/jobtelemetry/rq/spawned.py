"""The entrance of a spawned work-horse: the first line of its program, put there by :mod:`jobtelemetry.rq.spawn`."""

from __future__ import annotations

import json
from typing import Any

from jobtelemetry import logformat, otel
from jobtelemetry.config import Config
from jobtelemetry.rq.instrument import instrument
from jobtelemetry.rq.spawn import inherit
from jobtelemetry.sinks import sentry


def enter(facts: str) -> None:
    """Before RQ's own program: instrument this process and keep what its parent knew."""
    inherited: dict[str, Any] = json.loads(facts)
    inherit(inherited)
    if inherited["log"]:
        logformat.log_to_stderr(*inherited["log"])
    instrument(Config(**inherited["config"]))
    if inherited["otel"]:
        otel.configure_when_needed()
    if inherited["sentry"]:
        sentry.start_from_environment()
