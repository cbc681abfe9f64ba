"""A worker and its exporter behind Redis Sentinel: whoever is the primary is asked."""

import os
import sys

from prometheus_client import CollectorRegistry, start_http_server
from redis.sentinel import Sentinel
from rq import Queue, Worker

import jobtelemetry
from jobs import work

jobtelemetry.instrument()

SERVICE = os.environ.get("SENTINEL_SERVICE", "mymaster")

# "host:port,host:port", as many as there are sentinels.
addresses = os.environ.get("SENTINELS", "localhost:26379").split(",")
sentinels = Sentinel([(host, int(port)) for host, _, port in (one.partition(":") for one in addresses)])
primary = sentinels.master_for(SERVICE)

registry = CollectorRegistry()
registry.register(jobtelemetry.Collector(sentinels.master_for(SERVICE, socket_timeout=0.9)))
start_http_server(int(os.environ.get("PORT", "8000")), addr="127.0.0.1", registry=registry)

if "--enqueue" in sys.argv:
    Queue("default", connection=primary).enqueue(work)
Worker(["default"], connection=primary).work()
