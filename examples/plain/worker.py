"""A worker script of one's own, with the application imported before it forks its work-horses."""

import os
import sys

from redis import Redis
from rq import Worker

import jobs  # noqa: F401 - imported once here, so that no work-horse has to
import jobtelemetry

jobtelemetry.instrument()  # before or after the imports above, as you like

connection = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
Worker(["default"], connection=connection).work(burst="--burst" in sys.argv)
