"""Which execution a thread works for, and its connection, for metrics that a job measures itself."""

from __future__ import annotations

from typing import Any

from rq import get_current_job

from jobtelemetry import attributes
from jobtelemetry.rq.consumer import Attributes
from jobtelemetry.rq.job import performed_now
from jobtelemetry.rq.run import Run


def execution_here() -> Run | None:
    """The run that this thread works for, as long as its end is not recorded.

    A thread that the job has started belongs to the only job that this process performs.
    """
    receiver = attributes.receiver()
    run = receiver.run if isinstance(receiver, Attributes) else performed_now()
    return run if run is not None and run.performed_here and not run.recorded else None


def connection_here() -> Any:
    """The connection of the job that this thread works for."""
    job = get_current_job()
    return None if job is None else job.connection
