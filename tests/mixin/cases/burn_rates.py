"""Every pair of windows of the burn-rate alert, each on both sides of its threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mixin.series import Case, Series, alive, executions, firing, values

BURN = "JobErrorBudgetBurn"
#: Jobs in one step.
_JOBS = 10_000
#: What an objective of 99 % allows.
_BUDGET = 0.01


@dataclass(frozen=True)
class Pair:
    """A pair of windows, as the SRE workbook has them.

    Args:
        factor: How many times too fast the budget burns.
        long: The long window.
        short: The short window.
        severity: ``page`` or ``ticket``.
        held: When to look: the condition has held long enough, and that of the next slower pair has not.
        clean: The long window and the short one, in steps of ``every``.
        over: An incident that is over: which part is discarded, for how many steps, and the step in which to look:
            the long window is still above the threshold, the short one is clean.
        every: Time between two values.
    """

    factor: float
    long: str
    short: str
    severity: str
    held: str
    clean: tuple[int, int]
    over: tuple[float, int, int]
    every: str

    @property
    def alert(self) -> dict[str, str]:
        """Its labels."""
        return firing(BURN, self.severity, worker="w", long_window=self.long, short_window=self.short)


PAIRS = (
    Pair(14.4, "1h", "5m", "page", "10m", (60, 5), (0.43, 8, 14), "1m"),
    Pair(6, "6h", "30m", "page", "30m", (360, 30), (0.138, 27, 58), "1m"),
    Pair(3, "1d", "2h", "ticket", "75m", (288, 24), (0.12, 10, 35), "5m"),
    Pair(1, "3d", "6h", "ticket", "200m", (864, 72), (0.02, 144, 218), "5m"),
)


def steady(ratio: float) -> Series:
    """A worker that discards this part of its jobs all the time."""
    discards = round(_JOBS * ratio)
    return alive() | executions(completed=f"0+{_JOBS - discards}x1500", discard=f"0+{discards}x1500")


def burst(pair: Pair) -> Series:
    """A worker that burns three times too fast for the pair, but only in the last short window of a long time."""
    before, during = pair.clean
    discards = round(_JOBS * 3 * pair.factor * _BUDGET)
    numbers = [0] * before + [discards * step for step in range(during + 1)]
    return alive() | executions(completed=f"0+{_JOBS}x1500", discard=values(numbers))


def over(pair: Pair) -> Series:
    """A worker that discarded too much and does so no longer."""
    ratio, during, _ = pair.over
    discards = round(_JOBS * ratio)
    completed = f"0+{_JOBS - discards}x{during} {(_JOBS - discards) * during + _JOBS}+{_JOBS}x1500"
    return alive() | executions(completed=completed, discard=f"0+{discards}x{during} {discards * during}+0x1500")


def cases(pair: Pair) -> Iterator[Case]:
    """On both sides of the threshold, and above it for too short a time."""
    threshold, kind = pair.factor * _BUDGET, f"{pair.factor:g} times too fast over {pair.long} and {pair.short}"
    yield Case(BURN, f"{kind}: just above, it is a {pair.severity}", steady(1.03 * threshold), pair.held, (pair.alert,))
    yield Case(BURN, f"{kind}: just below, it is nothing", steady(0.97 * threshold), pair.held, below=pair.long)
    step = int(pair.every[:-1])
    burst_ends, looked_at = sum(pair.clean) * step, pair.over[2] * step
    yield Case(
        BURN, f"{kind}: for no longer than {pair.short}, it is nothing", burst(pair), f"{burst_ends}m", every=pair.every
    )
    yield Case(BURN, f"{kind}: over since {pair.short}, it is nothing", over(pair), f"{looked_at}m", every=pair.every)


CASES = (
    *(case for pair in PAIRS for case in cases(pair)),
    Case(
        BURN,
        "with an objective of 90 % a class that is always discarded pages, though 14.4 times is out of reach",
        alive() | executions(discard="0+9x200"),
        "30m",
        (PAIRS[1].alert,),
        settings=("slo=90",),
    ),
    Case(
        BURN,
        "with an objective of 99.9 % the same pairs page at a tenth of the discards",
        steady(1.03 * 0.0144),
        "10m",
        (PAIRS[0].alert,),
        settings=("slo=99.9",),
    ),
    Case(
        BURN,
        "one discard of few jobs is no ratio; it is a ticket of its own",
        alive() | executions(completed="0+0x30 9+0x60", discard="0+0x30 1+0x60"),
        "40m",
        (firing("JobDiscardedLowTraffic", worker="w"),),
    ),
)
