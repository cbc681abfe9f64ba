"""A Flask application whose ``/jobs/metrics`` shows every job, whichever gunicorn process answers."""

import os

from flask import Flask
from redis import Redis
from rq import Queue
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import jobtelemetry
from jobs import welcome

jobtelemetry.instrument()  # with --preload once, before gunicorn forks; that is fine

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
queue = Queue("default", connection=redis)

app = Flask(__name__)
# The numbers live in Redis, so neither PROMETHEUS_MULTIPROC_DIR nor a child_exit hook is needed.
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": jobtelemetry.wsgi_app(redis)})  # type: ignore[method-assign]


@app.post("/users/<address>")
def register(address: str) -> tuple[dict[str, str], int]:
    """Register a user; the mail is written later."""
    return {"job": queue.enqueue(welcome, address).id}, 202
