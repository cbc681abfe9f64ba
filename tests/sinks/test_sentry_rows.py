"""Every way in which a job can say or show how it ends, for every worker class and every way to set Sentry up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pytest
from rq import Callback, Retry

from jobtelemetry.demo.server import EmbeddedServer
from sinks import sentry_jobs as jobs
from sinks.conftest import Scene, job_of, said
from sinks.envelopes import SentryServer

RQ = int(metadata.version("rq").split(".")[0])
OWN = "{{ default }}"


@dataclass(frozen=True)
class Row:
    """A job and what Sentry hears of it: level, state, attempt, error type, and whether there is an exception."""

    job: Callable[..., Any] | str
    told: tuple[tuple[str, str, str, str], ...] = ()
    retries: int = 0
    forked: bool = False
    spawned: bool = False
    own_grouping: bool = True
    options: dict[str, Any] = field(default_factory=dict)


def limited(error_type: str) -> tuple[tuple[str, str, str, str], ...]:
    return ("warning", "failure", "1", error_type), ("error", "discard", "2", error_type)


ROWS = {
    "1 returns": Row(jobs.returns, retries=2, spawned=True),
    "2 raises Cancel": Row(jobs.raises_cancel, retries=2, spawned=True),
    "2 returns Cancel": Row(jobs.returns_cancel, retries=2),
    "3 discards": Row(jobs.discards, (("error", "discard", "1", "bad_payload"),), retries=2, spawned=True),
    "4 fails twice, then returns": Row(jobs.fails_twice, retries=4),
    "5 fails three times, then returns": Row(jobs.fails_thrice, (("error", "failure", "3", "ValueError"),), retries=4),
    "5 and 6 fails until the end": Row(
        jobs.fails,
        (
            ("error", "failure", "3", "ValueError"),
            ("error", "failure", "4", "ValueError"),
            ("error", "discard", "5", "ValueError"),
        ),
        retries=4,
    ),
    "6 fails without retries": Row(jobs.fails, (("error", "discard", "1", "ValueError"),), spawned=True),
    "6 fails with one retry": Row(jobs.fails, (("error", "discard", "2", "ValueError"),), retries=1),
    "7 limited by type": Row(jobs.limited_by_type, limited("Wrapped"), retries=1, spawned=True),
    "7 limited by status": Row(jobs.limited_by_status, limited("KeyError"), retries=1),
    "7 limited by check": Row(jobs.limited_by_check, limited("Odd"), retries=1),
    "7 limited by text": Row(jobs.limited_by_text, limited("RuntimeError"), retries=1),
    "8 snoozes": Row(jobs.snoozes),
    "9 snoozes for ever": Row(
        jobs.snoozes_for_ever, (("error", "discard", "2", "MaxRetriesExceeded"),), own_grouping=False
    ),
    "10 times out": Row(
        jobs.times_out, (("error", "discard", "1", "JobTimeoutException"),), options={"job_timeout": 1}
    ),
    "11 is killed": Row(
        jobs.is_killed,
        (("error", "discard", "2", "WorkHorseKilled"),),
        retries=1,
        forked=True,
        spawned=True,
        own_grouping=False,
    ),
    "12 exits": Row(
        jobs.exits, (("error", "discard", "1", "WorkHorseExited"),), forked=True, spawned=True, own_grouping=False
    ),
    "18 cannot be imported": Row(
        "sinks.sentry_jobs.does_not_exist", (("error", "discard", "1", "ValueError"),), spawned=True
    ),
    "21 success callback raises": Row(
        jobs.returns,
        (("error", "discard", "1", "LookupError"),),
        options={"on_success": Callback(jobs.callback_that_raises)},
    ),
    "22 failure callback raises": Row(
        jobs.fails,
        (("error", "discard", "1", "LookupError"),),
        options={"on_failure": Callback(jobs.callback_that_raises)},
    ),
    "report never": Row(jobs.reported_never, retries=1),
    "report discard": Row(jobs.reported_at_the_end, (("error", "discard", "2", "RateLimited"),), retries=1),
    "report always": Row(
        jobs.reported_always,
        (("error", "failure", "1", "ValueError"), ("error", "discard", "2", "ValueError")),
        retries=1,
    ),
    "report never, killed": Row(jobs.killed_in_silence, forked=True, spawned=True),
    "report never, killed, by path": Row("sinks.sentry_jobs.killed_in_silence", forked=True),
    "Sentry captures by itself": Row(jobs.captures_for_itself),
}


@dataclass(frozen=True)
class Setup:
    """How a worker is started: by our command (``cli``), or by a program with ``sentry_sdk.init`` of its own."""

    worker: str
    when: str
    init: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.worker.rpartition(".")[2], self.when, *self.init])

    @property
    def in_one_process(self) -> bool:
        """Whether jobs run in the worker itself."""
        return self.worker.endswith("SimpleWorker")

    @property
    def spawns(self) -> bool:
        """Whether a work-horse is a new Python."""
        return self.worker.endswith("SpawnWorker")

    def has(self, row: Row) -> bool:
        """Whether the row is one for this worker."""
        return not (row.forked and self.in_one_process) and (row.spawned or not self.spawns)


BARE: dict[str, Any] = {"default_integrations": False}
NO_AUTO: dict[str, Any] = {"auto_enabling_integrations": False}
SETUPS = [
    Setup("rq.worker.Worker", "cli"),
    Setup("rq.worker.Worker", "before", {"traces_sample_rate": 1.0}),
    Setup("rq.worker.Worker", "after"),
    Setup("rq.worker.Worker", "after", BARE),
    Setup("sinks.sentry_jobs.Subclassed", "before", NO_AUTO),
    Setup("rq.worker.SimpleWorker", "cli"),
    Setup("rq.worker.SimpleWorker", "before"),
    Setup("rq.worker.SimpleWorker", "after", {"traces_sample_rate": 1.0}),
    Setup("rq.worker.SimpleWorker", "after", BARE),
    *([Setup("rq.worker.SpawnWorker", "cli"), Setup("rq.worker.SpawnWorker", "before", BARE)] if RQ >= 3 else []),
]
CASES = [(setup, row) for setup in SETUPS for row in ROWS if setup.has(ROWS[row])]

_heard: dict[str, dict[str, list[dict[str, Any]]]] = {}


@pytest.fixture(scope="module")
def play(
    servers: tuple[EmbeddedServer, SentryServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Setup], dict[str, list[dict[str, Any]]]]]:
    """Runs all jobs of a setup, once; gives the events by row."""
    redis, sentry = servers

    def play(setup: Setup) -> dict[str, list[dict[str, Any]]]:
        if str(setup) not in _heard:
            redis.connection().flushall()
            sentry.forget()
            _heard[str(setup)] = _run(setup, Scene(redis, sentry, tmp_path_factory.mktemp("rows")))
        return _heard[str(setup)]

    yield play
    _heard.clear()


def _run(setup: Setup, scene: Scene) -> dict[str, list[dict[str, Any]]]:
    for number, row in enumerate(ROWS.values()):
        if setup.has(row):
            retry = Retry(max=row.retries) if row.retries else None
            scene.queue.enqueue(row.job, job_id=f"row-{number}", retry=retry, **row.options)
    if setup.when == "cli":
        options = ("--url", scene.redis.url, "--worker-class", setup.worker, "--burst", "default")
        process = scene.command("worker", *options)
    else:
        process = scene.program(setup.worker, setup.when, sentry=setup.init)
    try:
        scene.finish(process)
    finally:
        scene.close()
    heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in scene.sentry.events:
        named = "execution" in event.get("contexts", {})
        heard[list(ROWS)[int(job_of(event).removeprefix("row-"))] if named else "of others"].append(event)
    return heard


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("setup", "row"), CASES, ids=[f"{setup}: {row}" for setup, row in CASES])
def test_sentry_hears_of_an_ending_exactly_what_the_table_says(
    play: Callable[[Setup], dict[str, list[dict[str, Any]]]], setup: Setup, row: str
) -> None:
    """Number, level, tags and grouping of the events of an ending are the truth table's."""
    expected, events = ROWS[row], play(setup)[row]
    label = expected.job if isinstance(expected.job, str) else f"sinks.sentry_jobs.{expected.job.__name__}"
    in_horse_without_sentry = setup.spawns and setup.when != "cli"
    own = [OWN] if expected.own_grouping and not in_horse_without_sentry else []
    assert [said(event) for event in events] == list(expected.told)
    for event in events:
        tags = event["tags"]
        assert (tags["worker"], tags["queue"]) == (label, "default")
        assert event["fingerprint"] == [label, tags["error_type"], *own]
        assert event["transaction"]
        assert len(event["exception"]["values"]) >= 1
        by_parent = in_horse_without_sentry and expected.own_grouping
        assert ("Traceback" in event.get("extra", {}).get("stacktrace", "")) is by_parent


@pytest.mark.timeout(240)
@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_nothing_else_is_sent(play: Callable[[Setup], dict[str, list[dict[str, Any]]]], setup: Setup) -> None:
    """What a job captures itself arrives once, and nothing arrives that is not about an ending."""
    captured = [event["exception"]["values"][0]["type"] for event in play(setup)["of others"]]
    if setup.init in (BARE, NO_AUTO) and not (setup.in_one_process or setup.spawns):
        # Without its RQ integration, the SDK in a work-horse that ends may not get to sending it.
        assert captured in ([], ["KeyError"])
    else:
        assert captured == ([] if setup.spawns else ["KeyError"])


def test_every_row_is_played() -> None:
    """The rows of the truth table that a job alone can bring about are all here."""
    numbers = {int(row.split()[0]) for row in ROWS if row[0].isdigit()}
    assert numbers == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 21, 22}
