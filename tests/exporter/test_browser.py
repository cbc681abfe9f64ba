"""The pages in a real browser: wide and narrow, light and dark, with nothing, with much, with long names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobtelemetry.contract import Kind
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.exporter.pages import job, listing, overview, own, worker
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.exporter.trends import Trends
from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.questions.failures import group_failures
from jobtelemetry.questions.rq_workers import RQWorker
from jobtelemetry.questions.story import RQJob, Story
from jobtelemetry.store.snapshot import (
    Counter,
    Histogram,
    OwnFamily,
    OwnSeries,
    QueueState,
    RQWorkerState,
    Series,
    Snapshot,
    WrongClock,
)
from support.browser import chromium, look

NOW = 1_770_000_000.0
LONG = "w" * 200


def many(names: list[str], queues: list[str], at: float = NOW, minutes: int = 100) -> Snapshot:
    """Workers of which each loses some jobs and cancels some."""
    seen = [Series(name, queues[i % len(queues)]) for i, name in enumerate(names)]
    executions = {(series, state): Counter(minutes * (i + 1)) for series in seen for i, state in enumerate(State)}
    return Snapshot(
        taken_at=at,
        seen=dict.fromkeys(seen, NOW - 90_000),
        executions=executions,
        errors={(series, f"{LONG}Error"[-90:]): Counter(7) for series in seen},
        cancellations={(series, "movie_not_matched"): Counter(5) for series in seen},
        durations={(series, State.COMPLETED): Histogram({"0.05": 4, "1.0": 3}, 2.0) for series in seen},
        queues=tuple(QueueState(name, {"queued": 3, "failed": 1}, NOW - 60) for name in queues),
        rq_workers=tuple(RQWorkerState(f"{name}-rq", (name,), "busy", False, 2, succeeded=1) for name in queues[:30]),
        created=NOW - 90_000,
        own=own_families(names),
        clocks=(WrongClock("producer", "12", LONG, -600.0),),
    )


def own_families(names: list[str]) -> tuple[OwnFamily, ...]:
    """A metric of each type, with a series for each name."""
    labels = [(("film", name),) for name in names]
    return (
        OwnFamily("tickets_total", Kind.COUNTER, LONG, series=tuple(OwnSeries(one, 1e6) for one in labels)),
        OwnFamily(
            "a_page_of_the_cinema_that_was_imported_timestamp_seconds", Kind.GAUGE, series=(OwnSeries((), NOW - 60),)
        ),
        OwnFamily(
            "price_euros",
            Kind.HISTOGRAM,
            "What a ticket costs.",
            "euros",
            ("5.0", "10.0", "+Inf"),
            tuple(OwnSeries(one, counts={"5.0": 3, "+Inf": 1}, sum=30.0) for one in labels),
            definitions=2,
        ),
    )


def shown(names: list[str], queues: list[str]) -> tuple[Look, list[LogEntry], list[RQWorker]]:
    """The same with an hour behind it, what failed, and what the RQ workers do."""
    trends = Trends()
    for minute in range(60):
        trends.add(many(names, queues, NOW - 60 * (60 - minute), minute))
    snapshot = many(names, queues)
    failed = [
        LogEntry(
            f"{i + 1}-0", f"{LONG}{i}", name, queues[0], State.DISCARD, error_type="E", message=LONG * 3, trace="f" * 32
        )
        for i, name in enumerate(names[:20])
    ]
    told = [
        RQWorker(one.name, one.queues, one.status, one.instrumented, f"{LONG}.example", 7, LONG, names[0], NOW - 5)
        for one in overview.shown_rq_workers(snapshot)
    ]
    return Look(snapshot, NOW, trends=trends, trace_url="https://traces.example/{trace_id}"), failed, told


def pages(names: list[str], queues: list[str]) -> dict[str, str]:
    """Every kind of page."""
    seen, failed, told = shown(names, queues)
    story = Story(LONG, tuple(failed[:3]), (), RQJob("failed", queues[0], names[0]), traceback=f"{LONG}\n" * 5)
    return {
        "overview": overview.render(seen, told, group_failures(failed)),
        "worker": worker.render(seen, names[0], failed, NOW - 60) or "",
        "queues": listing.queues(seen),
        "rq-workers": listing.rq_workers(seen, told),
        "failures": listing.failures(seen, group_failures(failed), NOW - 60),
        "job": job.render(seen, story),
        "own-metrics": own.all_metrics(seen),
        "own-metric": own.one_metric(seen, "price_euros") or "",
    }


CASES = {
    "one": (["shop.jobs.mail"], ["default"]),
    "hundred": ([f"shop.jobs.Task{i}" for i in range(100)], [f"queue-{i}" for i in range(1000)]),
    "long": ([f"shop.{LONG}", f"Shop.{LONG}.jobs"], [LONG, "q" * 200]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_can_be_read(case: str, dark: bool, tmp_path: Path) -> None:
    """Landmarks, heads of tables and pictures are there for a screen reader, and every text has enough contrast."""
    written = pages(*CASES[case])
    for name in written if case == "long" else ("overview", "worker", "own-metric"):
        seen = look(written[name], tmp_path, dark=dark)
        assert seen.landmarks == [1, 1, 1, 1, 1], name
        assert seen.tables == seen.named, name
        assert seen.heads == seen.scoped > 0, name
        assert seen.pictures == seen.told, name
        assert seen.faint == [], name
        assert (seen.ground == "rgb(17, 21, 26)") == dark


@pytest.mark.parametrize("case", CASES)
def test_no_page_is_wider_than_a_phone(case: str, tmp_path: Path) -> None:
    """At 360 pixels nothing has to be scrolled sideways but what has a bar of its own."""
    written = pages(*CASES[case])
    for name in written if case == "long" else ("overview", "worker", "own-metric"):
        assert look(written[name], tmp_path, width=360).width <= 360, name


def test_a_thousand_queues_are_few_on_the_first_page_and_all_on_their_own(tmp_path: Path) -> None:
    """The first page shows those that need a look and leads to the others; the page of all has them all."""
    written = pages(*CASES["hundred"])
    first = look(written["overview"], tmp_path)
    assert "Jobs by queue (25 of 1,000)" in first.text
    assert "All 1,000 queues" in first.text
    assert look(written["queues"], tmp_path).rows == 1000
    assert len(written["overview"]) < 400_000


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Look(Snapshot(taken_at=NOW), NOW), "No job has been seen yet"),
        (Look(None, NOW, "Error 111 connecting to redis:6379."), "Redis is away: Error 111"),
        (Look(many(["a"], ["q"]), NOW + 90, "no answer within 1.8 s"), "The figures below are from 1 min ago"),
    ],
    ids=["nothing", "never", "away"],
)
def test_nothing_and_an_outage_are_told(seen: Look, said: str, tmp_path: Path) -> None:
    """Without a worker the page says how to begin; without Redis it says since when it is away."""
    found = look(overview.render(seen), tmp_path, width=390)
    assert said in found.text
    assert found.faint == []
    assert found.width <= 390


def test_the_browser_takes_what_the_exporter_serves(
    redis_server: EmbeddedServer, serve: Callable[..., ExporterServer], tmp_path: Path
) -> None:
    """Over HTTP, with the policy that the exporter sends, the page has its styles and a picture can be made of it."""
    picture = tmp_path / "page.png"
    url = serve(redis_server.url).url
    dom = chromium(tmp_path, "--dump-dom", f"--screenshot={picture}", url)
    assert "No job has been seen yet" in dom
    assert picture.stat().st_size > 10_000
