"""Everything that the hooks do, put together: what :mod:`jobtelemetry.rq.rooms` loads with the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobtelemetry import executing
from jobtelemetry.config import Config
from jobtelemetry.rq.ending import EndingHooks
from jobtelemetry.rq.job import JobHooks
from jobtelemetry.rq.lifecycle import LifecycleHooks
from jobtelemetry.rq.measuring import connection_here, execution_here
from jobtelemetry.rq.parent import ParentHooks
from jobtelemetry.rq.producer import ProducerHooks
from jobtelemetry.rq.queue import EnqueueHooks, SynchronousHooks
from jobtelemetry.rq.recording import RecordingHooks
from jobtelemetry.rq.runtime import Runtime
from jobtelemetry.rq.start import StartHooks
from jobtelemetry.sinks import reporting_sinks, sentry

ROOMS = (
    *(JobHooks, ProducerHooks, EnqueueHooks, SynchronousHooks, StartHooks),
    *(EndingHooks, RecordingHooks, ParentHooks, LifecycleHooks),
)


def rooms(config: Config, off: str, remarks: Mapping[str, str]) -> dict[str, Any]:
    """An object of each room by its name.

    Args:
        config: The settings.
        off: Why nothing is counted in this process, if so.
        remarks: What the mark of an RQ worker says of its RQ.
    """
    runtime = Runtime(config, reporting_sinks(config))
    runtime.off, runtime.remarks = off, dict(remarks)
    if not off:
        sentry.decide(True)
        executing.find_with(execution_here, connection_here, config)
    return {room.__name__: room(runtime) for room in ROOMS}
