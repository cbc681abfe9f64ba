"""The demo's trace: a file of spans, and a tree of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from jobtelemetry import otel
from jobtelemetry.demo import traces
from jobtelemetry.demo.errors import DemoError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Spans of one sync: two showtimes alike and one that is not."""
    file = tmp_path / "spans"
    provider = otel.sdk_provider(traces.FileExporter(str(file)))
    tracer = provider.get_tracer("demo")
    with tracer.start_as_current_span(traces.ROOT):
        for state in ("completed", "completed", "cancelled"):
            facts = {"rq.job.func": "cinema.Showtime", "rq.job.state": state}
            tracer.start_span("process showtimes", kind=traces.trace.SpanKind.CONSUMER, attributes=facts).end()
    provider.shutdown()
    return file


def test_each_span_is_a_line(file: Path) -> None:
    """The file has one JSON object per span, all of one trace."""
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(spans) == 4
    assert len({span["trace_id"] for span in spans}) == 1
    assert sum(span["name"] == traces.ROOT and not span["parent_id"] for span in spans) == 1


def test_alike_spans_share_a_branch(file: Path) -> None:
    """The tree counts spans with the same name, function and ending together."""
    console = Console(width=100, record=True, file=(file.parent / "drawn").open("w"))
    console.print(traces.tree(traces.read(file, 3)))
    console.file.close()
    drawn = console.export_text()
    assert "process showtimes Showtime completed x 2" in drawn
    assert "process showtimes Showtime cancelled x 1" in drawn


def test_missing_spans_are_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executions without a span are told, and not shown as if nothing was missing."""
    monkeypatch.setattr(traces, "_PATIENCE", 0)
    with pytest.raises(DemoError, match="only 3 of 4 executions"):
        traces.read(file, 4)
