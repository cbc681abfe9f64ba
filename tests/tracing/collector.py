"""A real OTLP/HTTP receiver: it decodes the protobuf that exporters send, and can be slow, hang or refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.receivers import Receiver
from support.waiting import eventually

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
STATUSES = {0: "unset", 1: "ok", 2: "error"}


@dataclass(frozen=True)
class Received:
    """One span, as a collector sees it."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    status: str
    description: str
    start: float
    end: float
    scope: str
    schema_url: str
    attributes: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def job(self) -> str:
        """The id of the job that it is about."""
        return str(self.attributes.get("messaging.message.id", ""))


class Collector:
    """Listens on a free port until :meth:`close`."""

    def __init__(self) -> None:
        self._spans: list[Received] = []
        self._lock = threading.Lock()
        self.go_on = threading.Event()
        self.go_on.set()
        self._receiver = Receiver(self._answer)
        self.url = self._receiver.url  #: for ``OTEL_EXPORTER_OTLP_ENDPOINT``

    def _answer(self, path: str, body: bytes) -> int:
        self.go_on.wait(60)
        self._take(body)
        return 200

    def hang(self) -> None:
        """Accept requests and do not answer them."""
        self.go_on.clear()

    def close(self) -> None:
        """Stop listening."""
        self.go_on.set()
        self._receiver.close()

    @property
    def spans(self) -> list[Received]:
        """Everything received so far."""
        with self._lock:
            return list(self._spans)

    def of(self, kind: str) -> list[Received]:
        """The spans of one kind."""
        return [span for span in self.spans if span.kind == kind]

    def wait_for(self, number: int, kind: str = "consumer", seconds: float = 30.0) -> list[Received]:
        """Wait until so many spans of a kind have arrived; more is an error."""
        eventually(lambda: len(self.of(kind)) >= number, f"the arrival of {number} {kind} spans", seconds)
        found = self.of(kind)
        assert len(found) == number, [(span.name, span.job) for span in found]
        return found

    def one(self, where: Callable[[Received], bool], what: str = "a span") -> Received:
        """Wait for the one span of which this is true."""
        eventually(lambda: any(map(where, self.spans)), f"the arrival of {what}")
        (found,) = filter(where, self.spans)
        return found

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        found = [
            _received(span, scope, part)
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans.extend(found)


def _received(span: Any, scope: Any, part: Any) -> Received:
    return Received(
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        status=STATUSES[span.status.code],
        description=span.status.message,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        scope=scope.scope.name,
        schema_url=scope.schema_url,
        attributes=_attributes(span.attributes),
        resource=_attributes(part.resource.attributes),
        events=[(event.name, _attributes(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    return getattr(value, kind) if kind else None
