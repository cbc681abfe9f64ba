"""Incident drills, end to end: one installation each, four at a time. Run with ``pytest tests/drills``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import jobtelemetry
from drills.incidents import DRILLS, Drill
from drills.site import Site

_AT_ONCE = 4


def _run(drill: Drill, home: Path) -> None:
    with Site(home, drill.settings) as site:
        drill.run(site)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Drill], None]]:
    """Runs all drills that were chosen, and tells how each went."""
    chosen = [item.callspec.params["drill"] for item in request.session.items if hasattr(item, "callspec")]
    drills = [drill for drill in chosen if isinstance(drill, Drill)]
    jobtelemetry.instrument()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running: dict[str, Future[None]] = {
            drill.name: pool.submit(_run, drill, tmp_path_factory.mktemp("drill")) for drill in drills
        }
        yield lambda drill: running[drill.name].result()
        for future in running.values():
            future.cancel()
    jobtelemetry.uninstrument()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_exactly_the_right_alerts_reach_the_alertmanager_and_end(
    drill: Drill, outcomes: Callable[[Drill], None]
) -> None:
    """An incident raises exactly its alerts, and they end when it is mended; a healthy run raises none."""
    outcomes(drill)
