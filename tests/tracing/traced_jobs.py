"""Jobs that make spans, say things about themselves and enqueue others."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from opentelemetry import baggage, trace
from redis import Redis
from rq import Queue, get_current_job

import jobtelemetry
from support.jobs import books, note

tracer = trace.get_tracer("cinema")


def look_up(times: int = 1) -> None:
    """Make inner spans."""
    note()
    for number in range(times):
        with tracer.start_as_current_span(f"look up {number}", kind=trace.SpanKind.CLIENT):
            pass


def describe(film: str = "tt0111161", die: bool = False) -> None:
    """Say which film it is, in every way there is."""
    note()
    jobtelemetry.set_attribute("film.id", film)
    jobtelemetry.set_attribute("film.length", 142)
    span = trace.get_current_span()
    span.set_attribute("film.genre", "drama")
    span.add_event("looked at", {"where": "database"})
    if die:
        os.kill(os.getpid(), signal.SIGKILL)


def enqueue_more(url: str, number: int) -> None:
    """Enqueue jobs from a job."""
    note()
    queue = Queue("more", connection=Redis.from_url(url))
    for _ in range(number):
        queue.enqueue("tracing.traced_jobs.look_up")


def keep_baggage() -> None:
    """Write down the baggage that it was given."""
    note()
    (books() / "baggage").write_text(str(baggage.get_baggage("tenant")))


def forget_meta() -> None:
    """Save ``meta`` as one's own."""
    job = get_current_job()
    assert job is not None
    if note() == 1:
        job.meta["seen"] = True
        job.save_meta()
        raise ValueError("not yet")


def fail_long(length: int) -> None:
    """Fail with a long message below a deep stack."""
    note()
    _deeper(length, 60)


def _deeper(length: int, depth: int) -> None:
    if depth:
        _deeper(length, depth - 1)
    raise ValueError("é" * length)


def fetch(url: str) -> int:
    """Call a server and Redis with instrumented clients."""
    import urllib.request

    note()
    job = get_current_job()
    assert job is not None
    job.connection.set("looked", "up")
    with urllib.request.urlopen(url) as response:
        return int(response.status)


def spans_for(seconds: float) -> Any:
    """Make a span and return how long the process has lived, by its own clock."""
    note()
    with tracer.start_as_current_span("inner"):
        return time.time() + seconds
