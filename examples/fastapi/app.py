"""A FastAPI application with jobtelemetry's page and metrics beside its own routes."""

import os

from fastapi import FastAPI
from redis import Redis
from rq import Queue

import jobtelemetry
from jobs import resize

jobtelemetry.instrument()

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
queue = Queue("default", connection=redis)

app = FastAPI()
app.mount("/jobs", jobtelemetry.asgi_app(redis))  # the page at /jobs/, /jobs/metrics for Prometheus


@app.post("/pictures/{name}", status_code=202)
def upload(name: str) -> dict[str, str]:  # not async: RQ's client blocks, so FastAPI runs this in a thread
    """Take a picture; its thumbnail is made later."""
    return {"job": queue.enqueue(resize, name).id}
