"""Whether instrumentation changes what RQ's tests say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Outcomes = Mapping[str, str]

_GOOD = {"passed", "skipped"}


def suspects(plain: Outcomes, instrumented: Outcomes) -> list[str]:
    """Tests to be run again in both modes: everything that did not pass with instrumentation."""
    return sorted(test for test in {*plain, *instrumented} if instrumented.get(test) not in _GOOD)


def broken(plain: Sequence[Outcomes], instrumented: Sequence[Outcomes]) -> list[str]:
    """Tests that passed without in some run, and with instrumentation in none.

    Args:
        plain: The outcomes of every run without instrumentation.
        instrumented: The outcomes of every run with it.
    """
    passed_plain = {test for run in plain for test, outcome in run.items() if outcome in _GOOD}
    passed_instrumented = {test for run in instrumented for test, outcome in run.items() if outcome in _GOOD}
    return sorted(passed_plain - passed_instrumented)
