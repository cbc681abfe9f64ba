"""prometheus_client itself: the same series as real counters, gauges and histograms, and its ``generate_latest``."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def registry_like(text: str) -> CollectorRegistry:
    """A registry with the families, label sets and buckets of an exposition; values are whatever they are."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created") or not family.samples:
            continue
        label_sets = {tuple((k, v) for k, v in sample.labels.items() if k != "le") for sample in family.samples}
        names = [name for name, _ in next(iter(label_sets))]
        metric: Any
        if family.type == "histogram":
            buckets = sorted({float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels})
            metric = Histogram(family.name, family.documentation, names, buckets=buckets, registry=registry)
        else:
            kind: Any = Counter if family.type == "counter" else Gauge
            metric = kind(family.name, family.documentation, names, registry=registry)
        for labels in label_sets:
            child = metric.labels(*(value for _, value in labels)) if names else metric
            child.observe(1.5) if family.type == "histogram" else child.inc()
    return registry


def generating(registry: CollectorRegistry, rounds: int) -> tuple[list[float], int]:
    """Seconds of ``generate_latest`` in every round, and how many series it wrote."""
    seconds = []
    written = b""
    for _ in range(rounds):
        began = time.perf_counter()
        written = generate_latest(registry)
        seconds.append(time.perf_counter() - began)
    return seconds, sum(not line.startswith(b"#") for line in written.splitlines())
