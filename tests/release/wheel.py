"""An application that has the wheel and no repository, and how a program is run in its environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: An application that has nothing but the wheel: one job, one scrape.
APPLICATION = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis
from rq import Queue, SimpleWorker
import jobtelemetry
jobtelemetry.instrument()
connection = Redis.from_url(sys.argv[1])
queue = Queue(connection=connection)
queue.enqueue("os.getcwd")
queue.enqueue("os.remove", "/nowhere/at/all")
SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
registry = CollectorRegistry()
registry.register(jobtelemetry.Collector(connection))
print(generate_latest(registry).decode())
"""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program, far from the repository."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JOBTELEMETRY_"))}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60)
