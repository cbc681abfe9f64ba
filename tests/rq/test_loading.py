"""What is loaded when: nothing by who only puts hooks in place, everything before an RQ worker's first fork."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.servers import TcpServer

#: Names of the package's modules that are loaded.
_APP = """
import sys
def loaded(before=()):
    return sorted(name for name in sys.modules if name.startswith("jobtelemetry") and name not in before)
"""
_WORKING = """
import json, os, sys
from redis import Redis
from rq import Queue, Worker
import app, jobtelemetry
jobtelemetry.instrument()
quiet = app.loaded()
connection = Redis.from_url(sys.argv[1])
connection.flushall()
before_fork = []
os.register_at_fork(before=lambda: before_fork.append(app.loaded()))
child = os.fork()
if not child:
    Queue(connection=connection).enqueue("app.loaded")
    os._exit(0)
os.waitpid(child, 0)
Worker(["default"], connection=connection).work(burst=True, logging_level="ERROR")
job = Queue(connection=connection).finished_job_registry.get_job_ids()[0]
said = Queue(connection=connection).fetch_job(job).latest_result().return_value
print(json.dumps([quiet, before_fork[0], before_fork[-1], said]))
"""
_BROKEN = """
import json, sys
from redis import Redis
from rq import Queue, SimpleWorker
import app, jobtelemetry
jobtelemetry.instrument()
sys.modules["jobtelemetry.rq.runtime"] = None  # as if its file were gone
connection = Redis.from_url(sys.argv[1])
connection.flushall()
job = Queue(connection=connection).enqueue("app.loaded")
SimpleWorker(["default"], connection=connection).work(burst=True, logging_level="ERROR")
print(json.dumps([job.get_status()]))
"""


def run(program: str, server: TcpServer, folder: Path) -> tuple[Any, str]:
    """What the program printed, and its log."""
    (folder / "app.py").write_text(_APP)
    ended = subprocess.run(
        [sys.executable, "-c", program, server.url], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


def test_a_work_horse_loads_nothing_of_ours(tcp: TcpServer, tmp_path: Path):
    """instrument() loads the table of hooks; the rest comes as an RQ worker starts, and no work-horse adds to it."""
    (quiet, first_fork, last_fork, in_horse), _ = run(_WORKING, tcp, tmp_path)
    for later in ("outcomes", "events", "store.record", "rq.runtime", "rq.working", "sinks"):
        assert f"jobtelemetry.{later}" not in quiet
        assert f"jobtelemetry.{later}" in last_fork
    assert first_fork == quiet
    assert set(in_horse) == set(last_fork)


def test_what_cannot_be_loaded_harms_no_job(tcp: TcpServer, tmp_path: Path):
    """Files that were replaced or removed while a process ran: one line in the log, and jobs run as without hooks."""
    said, log = run(_BROKEN, tcp, tmp_path)
    assert said == ["finished"]
    assert log.count("jobtelemetry cannot be loaded and is off in this process") == 1
