"""A receiver of OTLP over gRPC: ``python -m support.grpc_receiver FOLDER``, until its stdin ends.

Prints its endpoint; refuses the first push of metrics, and writes what every other one of metrics or spans brings into
a file of its own, ``1.metrics`` or ``1.spans`` and so on.
"""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the protocol's word
        if not (number := next(self._numbers)):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
        _write(self._folder / f"{number}.metrics", request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Spans(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count(1)

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the protocol's word
        _write(self._folder / f"{next(self._numbers)}.spans", request)
        return trace_service_pb2.ExportTraceServiceResponse()


def _write(path: Path, request: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(request.SerializeToString())
    partial.rename(path)


def main(folder: Path) -> None:
    """Receive until nobody holds the other end of stdin."""
    server = grpc.server(ThreadPoolExecutor(4))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(folder), server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Spans(folder), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
