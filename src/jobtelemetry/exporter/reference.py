"""What prometheus_client itself writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

#: How OpenMetrics ends.
EOF = b"# EOF\n"


def written_by_prometheus_client(metrics: Iterable[Metric], openmetrics: bool) -> bytes:
    """These metrics, without the end of OpenMetrics."""
    generate: Callable[[Any], bytes] = generate_openmetrics if openmetrics else generate_text
    return generate(_Given(metrics)).removesuffix(EOF)


class _Given:
    """A collector of given metrics."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
