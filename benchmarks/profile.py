"""Where a forked job's time goes by phase: medians of times, and function calls, which are counted in another trial."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.marks import PHASES
from benchmarks.pairing import Bench
from benchmarks.variants import Variant

Phase = tuple[str, float, float]


def measure(
    bench: Bench, variants: Sequence[Variant], *, jobs: int, rounds: int, say: Callable[[str], None] = lambda text: None
) -> dict[str, list[Phase]]:
    """Per variant and phase: its name, microseconds (median over all jobs of all rounds), function calls (median)."""
    times: dict[str, list[list[int]]] = {variant.name: [] for variant in variants}
    for number in range(rounds):
        for variant in variants if number % 2 else reversed(variants):
            found = bench.trial(variant, "forking", jobs, mark=True)["phases"]
            times[variant.name] += [nanoseconds for nanoseconds, _ in found]
        say(f"profile: round {number + 1} of {rounds}")
    phases = {}
    for variant in variants:
        counted = bench.trial(variant, "forking", 20, count=True, mark=True)["phases"]
        calls = [statistics.median(of) for of in zip(*(row for _, row in counted), strict=True)]
        spent = [statistics.median(of) / 1e3 for of in zip(*times[variant.name], strict=True)]
        phases[variant.name] = list(zip(PHASES, spent, calls, strict=True))
    return phases
