"""Histories of a counter, as an exporter shows it and as it was: what happened in a window is known by counting."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from jobtelemetry import contract
from mixin.series import LONG_AGO, Series, name, values

#: Seconds between two steps; every replica is scraped in each, and every rule evaluated.
STEP = 30
_STEPS = 240
_STATE = {"worker": "w", "queue": "q", "state": "completed"}
Numbers = list[float | None]


@dataclass
class History:
    """One installation with one counter.

    Args:
        cluster: Its name.
        seed: Of what happens.
        replicas: How many exporters show it. The second comes later and is a step behind; the first may end.
    """

    cluster: str
    seed: int
    replicas: int = 1
    #: Executions that ended in each step.
    happened: list[int] = field(default_factory=list)
    #: What Redis had after each step, when that counter began, and when its generation did.
    value: Numbers = field(default_factory=list)
    created: Numbers = field(default_factory=list)
    generation: list[float] = field(default_factory=list)
    #: Steps in which no exporter could be scraped.
    away: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        value, created, generation = dice.choice([None, 0, 7, 300]), float(LONG_AGO), float(LONG_AGO)
        step, fell = 0, 0
        while len(self.happened) < _STEPS:
            now = step * STEP
            kind = dice.choices(
                ["work", "rest", "lost write", "restored", "emptied", "exporter away"], [30, 10, 2, 2, 2, 2]
            )[0]
            new = dice.choice([1, 1, 2, 5, 40]) if kind not in ("rest", "lost write") and dice.random() < 0.7 else 0
            unclear = any(at in self.away for at in range(step - 12, step)) or self._handing_over(step)
            if kind == "lost write" and value and not unclear:
                value -= 1
            elif kind == "restored" and value and not unclear:
                value, generation = dice.randrange(value), now - 5.0
                created = generation
                new = 0
            elif kind == "emptied" and value and not unclear:
                value, generation = None, now - 5.0
            elif kind == "exporter away" and step > fell + 12:
                self.away |= set(range(step, step + dice.choice([1, 2, 5, 20])))
            fell = step if kind in ("lost write", "restored", "emptied") else fell
            if new:
                created = created if value is not None else now - 1.0
                value = (value or 0) + new
            self.happened.append(new)
            self.value.append(value)
            self.created.append(created if value is not None else None)
            self.generation.append(generation)
            step += 1

    @property
    def handover(self) -> int:
        """From when on the second replica is there; some steps later the first one is not."""
        return _STEPS // 2

    def series(self) -> Series:
        """What the exporters show."""
        shown: Series = {}
        for number in range(self.replicas):
            there = [self._there(number, at) for at in range(_STEPS)]
            behind = number
            series: dict[str, tuple[Numbers, dict[str, str]]] = {
                contract.UP.name: ([1.0] * _STEPS, {}),
                contract.GENERATION_STARTED.name: (list(self.generation), {}),
                contract.JOB_EXECUTIONS.name: (self.value, _STATE),
                "jobtelemetry_job_executions_created": (self.created, _STATE),
            }
            for metric, (numbers, labels) in series.items():
                late = [numbers[max(0, at - behind)] for at in range(_STEPS)]
                seen = [number if here else None for number, here in zip(late, there, strict=True)]
                shown[name(metric, f"{number}:10427", cluster=self.cluster, **labels)] = _with_ends(seen)
        return shown

    def within(self, end: int, steps: int) -> tuple[int, int] | None:
        """How many executions ended in so many steps up to this one: at least, and at most.

        Both are the same where the counter was seen at both ends. Where a replica is a step behind, what ended in
        that step may count for the next. Where nobody looked at the beginning, what ended before somebody did may be
        missing.

        Returns:
            ``None`` where nobody looks at the end.
        """
        begin = end - steps
        if end in self.away or begin < 0:
            return None
        late = self.replicas - 1
        most = sum(self.happened[max(0, begin - late) + 1 : end + 1])
        least = sum(self.happened[begin + 1 : end - late + 1])
        if begin in self.away:
            gap = begin
            while gap in self.away:
                gap -= 1
            return 0, sum(self.happened[max(0, gap - late) + 1 : end + 1])
        return least, most

    def _handing_over(self, at: int) -> bool:
        """Whether what the replicas show together is that of one that is behind, or that has ended."""
        return self.replicas > 1 and -2 <= at - self.handover < 16

    def _there(self, number: int, at: int) -> bool:
        if at in self.away:
            return False
        if self.replicas == 1:
            return True
        return at < self.handover + 6 if number == 0 else at >= self.handover


def _with_ends(numbers: Numbers) -> str:
    """These values; where a series ends, Prometheus notes it."""
    texts = values(numbers).split()
    for at in range(1, len(texts)):
        if texts[at] == "_" and texts[at - 1] not in ("_", "stale"):
            texts[at] = "stale"
    return " ".join(texts)
