"""rq-scheduler, as a process of one's own. It enqueues, so it is instrumented as every producer is."""

import os
from datetime import datetime, timedelta, timezone

from redis import Redis
from rq_scheduler import Scheduler

import jobtelemetry
from jobs import remind, sync

jobtelemetry.instrument()

connection = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
scheduler = Scheduler("default", connection=connection, interval=1)  # looks every second
for job in scheduler.get_jobs():
    scheduler.cancel(job)  # what an earlier run registered
scheduler.schedule(datetime.now(timezone.utc), sync, interval=1, result_ttl=60)
for order in (7, 107):
    scheduler.enqueue_in(timedelta(seconds=1), remind, order)
scheduler.run()
