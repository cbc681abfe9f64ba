"""A fault in every single function that a hook calls: RQ and the jobs do not notice, and the numbers stay honest.

By default each function raises at every call, in a worker without a work-horse and, where only a forking worker gets
to it, in a forking one. ``JOBTELEMETRY_ALL_FAULTS=1`` adds all of them in a forking worker, and at the first call only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.injection import Point, listed, listing, raising
from faults.scene import Left, play
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.rq.hooks import HOOKS

THOROUGH = bool(os.environ.get("JOBTELEMETRY_ALL_FAULTS"))

#: Jobs that end as RQ alone would end them, if what jobtelemetry adds cannot be done.
CHOSEN = ("cancels", "cancels-too", "cancels-here", "discards")

#: Where an error is answered on the spot: whatever is asked there has an answer for "I cannot tell". Or by the job,
#: whose own ``Cancel(...)`` fails.
ANSWERED = ("ratelimit.py:", "text.py:", "outcomes.py:_Verdict.__str__", "outcomes.py:identifier")

#: Not a hook, and not behind a fence: what the application's own call runs, and what must not be lost to a fence.
OUTSIDE = {
    "outcomes.py:identifier",  # Cancel(...) in the job: the application's own mistake
    "outcomes.py:Cancel.__init__",
    "outcomes.py:_Verdict.__init__",
    "outcomes.py:verdict_in",  # in the job's own place: what it raises is how the job ends
    "outcomes.py:reason_of",  # of end_execution
    "rq/cancel.py:end_execution",  # fences itself, and RQ fails the job
    "rq/cancel.py:write_cancelled",
    "rq/cancel.py:_let_expire",
    "rq/ending.py:EndingHooks._written",  # RQ's own part, between two context variables
    "rq/ending.py:EndingHooks._then_tell",  # one fence
    "rq/job.py:begin_here",  # one entry in a dict
    "rq/job.py:end_here",
    "rq/piggyback.py:Piggyback.execute",  # in RQ's place: what it raises is RQ's to hear
    "rq/rooms.py:Rooms.handler",  # has a net of its own (tests/rq/test_loading.py)
    "rq/piggyback.py:Piggyback._theirs",
    "rq/producer.py:ProducerHooks._in_span",  # RQ's own part, with or without a span
    "rq/run.py:note_verdict",  # one entry in a dict
    "rq/run.py:forget_verdict",
    "rq/run.py:ending_of",  # one context variable
    "rq/run.py:ended",
    "rq/runtime.py:_renew_locks",  # in a forked child, before anything else
    "rq/spawn.py:InstrumentingOs.__getattr__",  # the real os
    "rq/spawn.py:spawning",
    "sinks/sentry.py:_UntilImported.find_spec",  # one comparison, in every import
}


@dataclass(frozen=True)
class Scenes:
    """A server, and how the scene ends without a fault."""

    url: str
    bare: dict[str, Left]
    whole: dict[str, Left]
    inside: dict[str, set[Point]]
    outside: dict[str, set[Point]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """Each scene played bare, whole, and with a list of what is called."""
    with EmbeddedServer() as server:
        found = Scenes(server.url, {}, {}, {}, {})
        for kind in ("SimpleWorker", "Worker"):
            book = tmp_path_factory.mktemp("calls") / kind
            found.bare[kind] = play(server.url, kind, instrumented=False)
            found.whole[kind] = play(server.url, kind)
            play(server.url, kind, lambda _, book=book: listing(book))  # type: ignore[misc]
            found.inside[kind], found.outside[kind] = listed(book)
        yield found


@pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])
def test_the_scene_without_a_fault(scenes: Scenes, kind: str) -> None:
    """Without a fault every execution is counted once, and only what the job chose itself differs from plain RQ."""
    whole, bare = scenes.whole[kind], scenes.bare[kind]
    assert (whole.problem, bare.problem) == ("", "")
    assert whole.told.executions == whole.executions
    assert whole.told.handler_errors == {}
    assert _differing(bare, whole) == []
    assert whole.after == 1


@pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])
def test_hooks_do_nothing_outside_of_fences(scenes: Scenes, kind: str) -> None:
    """Nothing but the hooks themselves, and a known few, is called outside of a fence."""
    outside = {str(point) for point in scenes.outside[kind] if not _is_hook(point) and "<" not in point.name}
    assert "\n".join(sorted(outside - OUTSIDE)) == ""


@pytest.mark.parametrize("once", [False, True] if THOROUGH else [False], ids=lambda once: "first" if once else "every")
@pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])
@pytest.mark.timeout(1800)
def test_a_fault_in_any_function_of_a_hook(
    scenes: Scenes, kind: str, once: bool, record_property: Callable[[str, object], None]
) -> None:
    """Whatever function of a hook raises, jobs and worker go on as without jobtelemetry, and no ending counts twice."""
    points = scenes.inside[kind]
    if not THOROUGH:
        points = points - (scenes.inside["SimpleWorker"] if kind == "Worker" else set())
    wrong = []
    for point in sorted(points):
        left = play(scenes.url, kind, lambda book, point=point: raising(book, point, once=once))  # type: ignore[misc]
        if problems := _problems(point, left, scenes.whole[kind]):
            wrong.append(f"{point}: " + "; ".join(problems))
    record_property("faults", [len(points) - len(wrong), len(points)])
    assert not wrong, "\n".join(wrong)


def _problems(point: Point, left: Left, whole: Left) -> list[str]:
    """What the fault has done that it must not."""
    problems = []
    if left.problem:
        problems.append(left.problem)
    if not left.worked:
        problems.append("the worker did not come to its end")
    problems += _differing(left, whole)
    if left.after != 1:
        problems.append(f"one more job, without the fault, was counted {left.after} times")
    counted, errors = left.told.executions, sum(left.told.handler_errors.values())
    if counted > left.executions:
        problems.append(f"{counted} counted, {left.executions} executed: {left.told}")
    if counted < left.executions and not errors:
        problems.append(f"{counted} counted, {left.executions} executed, and nothing says so: {left.told}")
    if left.told.running:
        problems.append(f"{left.told.running} left running")
    if left.raised and not errors and not str(point).startswith(ANSWERED):
        problems.append("the error was not counted")
    return problems


def _differing(left: Left, whole: Left) -> list[str]:
    """What RQ holds or has called that is not as it should be."""
    problems = []
    for key in sorted({*left.rq, *whole.rq}):
        found, wanted = (_without_chosen(key, side.rq.get(key)) for side in (left, whole))
        if found != wanted:
            problems.append(f"{key} is {found} and not {wanted}")
    told = [line for line in left.callbacks if line.split()[1] not in CHOSEN]
    if told != [line for line in whole.callbacks if line.split()[1] not in CHOSEN]:
        problems.append(f"callbacks: {left.callbacks}")
    return problems


def _without_chosen(key: str, entry: Any) -> Any:
    """An entry of RQ's without what a job that chose its own ending has left in it, but that it ended."""
    chosen = any(f":{job}" in key for job in CHOSEN)
    if entry is None or (chosen and not key.startswith("rq:job:")):
        return None
    ttl, content = entry
    if chosen:
        return content["status"] in ("canceled", "failed", "finished")
    if isinstance(content, dict):
        return ttl, {name: value for name, value in content.items() if not name.endswith("_job_count")}
    if isinstance(content, list):
        content = [member for member in content if (member[0] if isinstance(member, list) else member) not in CHOSEN]
        return (ttl, content) if content else None
    return entry


def _is_hook(point: Point) -> bool:
    return point.name in {f"{hook.room}.{hook.handler}" for hook in HOOKS}


def test_nothing_is_patched_that_this_file_does_not_know() -> None:
    """The list of what runs outside of fences names functions that exist."""
    package = Path(__file__).parents[2] / "src" / "jobtelemetry"
    for entry in OUTSIDE:
        file, _, name = entry.partition(":")
        assert f"def {name.rpartition('.')[2]}(" in (package / file).read_text("utf-8"), entry
