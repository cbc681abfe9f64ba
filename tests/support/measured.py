"""What Redis has of users' own metrics."""

from __future__ import annotations

from jobtelemetry.exporter import own_families
from jobtelemetry.store.snapshot import Snapshot


def samples(snapshot: Snapshot) -> dict[str, float]:
    """Every sample but the moments, as ``name{label=value}``."""
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in snapshot.own
        for sample in own_families.metric(family).samples
        if not sample.name.endswith("_created")
    }
