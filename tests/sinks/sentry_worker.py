"""A worker process as a user would write it: ``python -m sinks.sentry_worker SETTINGS``, settings being JSON.

====================  ==================================================================================
``class``             the worker class, or ``sync`` for a failing and a cancelled job on a synchronous queue
``url``               Redis
``sentry``, ``when``  arguments of ``sentry_sdk.init``; ``before`` or ``after`` ``instrument()``, or ``never``
``burst``             whether it ends with the queue
``broken``            whether the log's sink raises
``traced``            whether there are spans
====================  ==================================================================================
"""

from __future__ import annotations

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from redis import Redis
from rq import Queue
from rq.utils import import_attribute

import jobtelemetry
from jobtelemetry.sinks import logs
from sinks import sentry_jobs

settings = json.loads(sys.argv[1])


def init() -> None:
    """Initialise Sentry as a user does."""
    import sentry_sdk

    sentry_sdk.init(**settings["sentry"])


def broken(*_: object) -> None:
    """A sink with a fault."""
    raise RuntimeError("the sink is broken")


def main() -> None:
    """Run until the queue is empty, or until stopped."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if settings["when"] == "before":
        init()
    jobtelemetry.instrument()
    if settings["when"] == "after":
        init()
    if settings.get("traced"):
        trace.set_tracer_provider(TracerProvider())
    if settings.get("broken"):
        logs.LogSink.__call__ = broken
    connection = Redis.from_url(settings["url"])
    if settings["class"] == "sync":
        Queue(is_async=False, connection=connection).enqueue(sentry_jobs.fails, job_id="sync")
        Queue(is_async=False, connection=connection).enqueue(sentry_jobs.raises_cancel)
    else:
        worker = import_attribute(settings["class"])(["default"], connection=connection)
        worker.work(burst=settings.get("burst", True), logging_level="INFO")
    if settings["when"] == "never" and "sentry_sdk" in sys.modules:
        sys.exit("sentry_sdk was imported")


if __name__ == "__main__":
    main()
