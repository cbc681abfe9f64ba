"""The producer. Nothing here names jobtelemetry: ``opentelemetry-instrument`` finds it by itself."""

import os

from redis import Redis
from rq import Queue

from jobs import index

queue = Queue("default", connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0")))
for page in (0, 1):
    queue.enqueue(index, page)
