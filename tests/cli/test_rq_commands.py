"""RQ's own commands, instrumented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from support.waiting import eventually

CRON = """
from rq import cron
cron.register(print, queue_name="nightly", interval=1)
"""


def test_cron_counts_what_it_enqueues(server: EmbeddedServer, tmp_path: Path) -> None:
    """``jobtelemetry cron`` is ``rq cron``; its log is JSON where that is asked for."""
    (tmp_path / "cron_config.py").write_text(CRON)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobtelemetry", "cron", "--log-json", "cron_config.py"],
            cwd=tmp_path,
            env={**os.environ, "JOBTELEMETRY_REDIS_URL": server.url},
            stdout=output,
            stderr=output,
        )
    try:
        connection = server.connection()

        def counted() -> bool:
            assert process.poll() is None, log.read_text()
            queues = {series.queue for series in read_snapshot(connection, Keys()).enqueued}
            return "nightly" in queues

        eventually(counted, "a job that cron enqueued and that is counted")
    finally:
        process.terminate()
        process.wait(60)
    assert log.read_text().startswith("{")
