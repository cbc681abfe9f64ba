"""What ``rq cron`` runs. It is a producer like any other, so it is instrumented where its configuration is read."""

from rq import cron

import jobtelemetry
from jobs import sync

jobtelemetry.instrument()

cron.register(sync, queue_name="default", interval=1)  # seconds; a cron expression with cron="*/5 * * * *"
