"""Endings that nobody but the exporter finds, told to the user's own code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import jobs
from support.stage import Theatre
from support.waiting import eventually

SETTINGS = """
import jobtelemetry

REDIS_URL = "{url}"


@jobtelemetry.on_execution
def note(event):
    with open("told", "a") as file:
        file.write(f"{{event.job_id}} {{event.outcome.state}}\\n")
"""


def test_a_callback_of_the_settings_file_hears_what_the_exporter_counts(theatre: Theatre, tmp_path: Path) -> None:
    """What the module of ``-c`` registers is called, once, for an execution whose RQ worker died."""
    (tmp_path / "exporter_settings.py").write_text(SETTINGS.format(url=theatre.server.tcp_url))
    with theatre.stage().open() as stage:
        stage.enqueue(jobs.meet)
        worker = stage.worker("Worker")
        horse = stage.meet()
        worker.kill()
        stage.kill(horse)
        worker.wait()
        stage.let_heartbeats_expire("worker-1")
        command = [sys.executable, "-m", "jobtelemetry", "exporter", "--listen", "127.0.0.1:0"]
        environ = {name: value for name, value in os.environ.items() if not name.endswith("REDIS_URL")}
        exporter = subprocess.Popen(
            [*command, "--reconcile-interval", "1", "-c", "exporter_settings"],
            cwd=tmp_path,
            env=environ,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = tmp_path / "told"
            eventually(lambda: told.exists() and told.read_text().endswith("\n"), "the exporter's word")
        finally:
            exporter.terminate()
            exporter.wait(20)
        assert told.read_text() == "job-1 discard\n"
