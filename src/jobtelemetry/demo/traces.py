"""The trace of one sync: its spans in a file, one line of JSON each, and a tree of them for the terminal."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry import trace
from rich.tree import Tree

from jobtelemetry import otel
from jobtelemetry.demo.errors import DemoError

#: Tells the pool where the spans go.
FILE_VARIABLE = "JOBTELEMETRY_DEMO_TRACES"
ROOT = "cinema city sync"

_TICK = 0.05
_PATIENCE = 15.0


def environment(file: Path | None) -> dict[str, str]:
    """What the pool's environment needs, so that its spans reach the file soon."""
    return {} if file is None else {FILE_VARIABLE: str(file.absolute()), "OTEL_BSP_SCHEDULE_DELAY": "200"}


def set_up(environ: Mapping[str, str]) -> None:
    """Send this process's spans to the file that the environment names, or where the ``OTEL_*`` variables say."""
    if path := environ.get(FILE_VARIABLE):
        trace.set_tracer_provider(otel.sdk_provider(FileExporter(path)))
    else:
        otel.configure()


class FileExporter:
    """A span exporter of the SDK's kind that appends to a file, from any number of processes."""

    def __init__(self, path: str) -> None:
        self._path = path

    def export(self, spans: Sequence[Any]) -> Any:
        """Append the spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        lines = "".join(json.dumps(_facts(span), ensure_ascii=False) + "\n" for span in spans)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, lines.encode())  # one write: other processes append too
        finally:
            os.close(descriptor)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is kept open."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept back."""
        return True


def _facts(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind.name.lower(),
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "start": span.start_time / 1e9,
        "end": span.end_time / 1e9,
        "status": span.status.status_code.name.lower(),
        "attributes": dict(span.attributes),
    }


def read(file: Path, executions: int) -> list[dict[str, Any]]:
    """The spans, as soon as there is one for each execution.

    Raises:
        DemoError: Some have not arrived after a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        spans = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        arrived = sum(span["kind"] == "consumer" for span in spans)
        if arrived >= executions:
            return spans
        if time.monotonic() > deadline:
            raise DemoError(f"only {arrived} of {executions} executions have a span in {file}; try again")
        time.sleep(_TICK)


def tree(spans: Iterable[dict[str, Any]]) -> Tree:
    """The spans below the sync's, alike ones together."""
    children: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in spans:
        children[span["parent_id"]].append(span)
    (root,) = [span for span in children[""] if span["name"] == ROOT]
    drawn = Tree(f"{ROOT}  [dim]trace {root['trace_id']}[/dim]")
    _grow(drawn, [root], children)
    return drawn


def _grow(branch: Tree, alike: list[dict[str, Any]], children: dict[str, list[dict[str, Any]]]) -> None:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in alike:
        for child in children[span["span_id"]]:
            groups[_label(child)].append(child)
    for label, group in sorted(groups.items(), key=lambda item: min(span["start"] for span in item[1])):
        median = statistics.median(span["end"] - span["start"] for span in group)
        _grow(branch.add(f"{label} x {len(group):,}  [dim]{median * 1000:.1f} ms[/dim]"), group, children)


def _label(span: dict[str, Any]) -> str:
    found = span["attributes"]
    words = [span["name"], str(found.get("rq.job.func", "")).rpartition(".")[2], found.get("rq.job.state", "")]
    words += [found.get("rq.job.cancel_reason") or found.get("error.type") or ""]
    return " ".join(filter(None, words))
