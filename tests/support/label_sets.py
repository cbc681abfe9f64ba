"""Snapshots of given label sets, as the store's reader puts them together."""

from __future__ import annotations

from typing import Any

from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Amount, Counter, Histogram, LabelSet, Snapshot


def snapshot_of(*sets: LabelSet, **observed: Any) -> Snapshot:
    """A snapshot of these label sets, and of what else was observed."""
    return Snapshot(
        taken_at=1_770_000_000.0,
        sets=sets,
        seen={one.series: one.created for one in sets},
        executions={
            (one.series, state): one.executions.get(state) or Counter(0, one.created) for one in sets for state in State
        },
        cancellations={(one.series, name): value for one in sets for name, value in one.cancellations.items()},
        errors={(one.series, name): value for one in sets for name, value in one.errors.items()},
        durations={(one.series, state): value for one in sets for state, value in one.durations.items()},
        waits={one.series: one.wait if one.wait.counts else Histogram(created=one.created) for one in sets},
        enqueued={one.series: Counter(one.enqueued, one.created) for one in sets},
        cancelled_unstarted={one.series: Counter(one.unstarted, one.created) for one in sets},
        rate_limited_executions={one.series: Counter(one.limited, one.created) for one in sets},
        cpu={one.series: Amount(one.cpu, one.created) for one in sets if one.cpu is not None},
        peak_memory={one.series: float(one.peak_memory) for one in sets if one.peak_memory is not None},
        last_completed={one.series: one.last_completed for one in sets if one.last_completed is not None},
        **observed,
    )
