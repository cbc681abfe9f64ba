"""Spans over gRPC, which does not like forks, from workers that fork and from those that do not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.jobs import BOOKS
from support.receivers import grpc_receiver
from support.stage import Theatre
from tracing import traced_jobs


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_spans_arrive_over_grpc(theatre: Theatre, tmp_path: Path, kind: str) -> None:
    """A real receiver of gRPC gets the span of every execution, and those that jobs make inside of work-horses."""
    with theatre.stage(instrumented=False).open() as stage, grpc_receiver(tmp_path) as endpoint:
        for _ in range(3):
            stage.enqueue(traced_jobs.look_up, 2)
        environ = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "60000",  # a parent that exports as it forks may cost its work-horse the spans
            "JOBTELEMETRY_FLUSH_TIMEOUT": "20",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            BOOKS: str(stage.folder),
        }
        command = ["worker", "--url", stage.server.tcp_url, "--burst", "-w", f"rq.worker.{kind}", "default"]
        ran = subprocess.run(
            [sys.executable, "-m", "jobtelemetry", *command],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ran.returncode == 0, ran.stderr
    found = Counter(
        span.name
        for path in tmp_path.glob("*.spans")
        for part in ExportTraceServiceRequest.FromString(path.read_bytes()).resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    )
    assert found == {"process default": 3, "look up 0": 3, "look up 1": 3}
