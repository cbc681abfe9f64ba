"""The producer: puts four jobs on the queue."""

import os

from redis import Redis
from rq import Queue

import jobtelemetry
from jobs import match_film, parse_price

jobtelemetry.instrument()  # jobs are counted as they are enqueued, and carry their trace

queue = Queue("default", connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0")))
for film_id in (1, 2, 3):
    queue.enqueue(match_film, film_id)
queue.enqueue(parse_price, "free")
