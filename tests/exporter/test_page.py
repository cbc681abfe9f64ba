"""The page at ``/``."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.pages import overview
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.trends import Trends
from jobtelemetry.exporter.verdict import Level, audit, remarks
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import (
    Counter,
    Deploy,
    QueueState,
    RateLimitState,
    RQWorkerState,
    Series,
    Snapshot,
    WrongClock,
)


def render(snapshot: Snapshot | None, *, error: str = "", now: float) -> str:
    """The page at ``/`` as it is without trends and failures."""
    return overview.render(Look(snapshot, now, error))


VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The page as a tree walker sees it: every start tag, and the text of every cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and begin a row or a cell."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Every tag is closed in its turn."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text inside a row belongs to its newest cell."""
        if "tr" in self.open:
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        """The cells of the row whose head begins so."""
        return next(row for row in self.rows if row[0].startswith(name))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


def test_it_shows_what_the_old_table_showed(cinema: Snapshot) -> None:
    """A worker's row has all states, both ratios, the run times, what runs and when one last completed."""
    page = Page(render(cinema, now=cinema.taken_at))
    assert page.row("Worker")[1:] == [
        *(state.value for state in State),
        "success",
        "match",
        "p50",
        "p95",
        "running",
        "last completed",
    ]
    cells = page.row("process_showtime")[1:]
    assert cells == ["738", "536", "0", "0", "0", "0", "100 %", "57.9 %", "33 ms", "96 ms", "0", "3 s ago"]
    assert page.row("Total")[1:3] == ["799", "536"]


def test_ratios_without_jobs_are_a_dash(cinema: Snapshot) -> None:
    """Where nothing ended no percentage is made up."""
    none = {key: Counter(0, 1.0) for key in cinema.executions}
    page = Page(render(replace(cinema, executions=none, durations={}, last_completed={}), now=cinema.taken_at))
    dash = formats.NOTHING
    assert page.row("process_showtime")[7:] == [dash, dash, dash, dash, "0", dash]


def test_full_names_and_moments_are_titles(cinema: Snapshot) -> None:
    """The dotted path and the exact time are there for who points at the short ones."""
    page = Page(render(cinema, now=cinema.taken_at))
    assert "cinema.jobs.process_showtime" in [attributes.get("title") for attributes in page.attributes("a")]
    assert "2026-02-02T02:39:56Z" in [attributes.get("title") for attributes in page.attributes("time")]


def test_queues_are_below(cinema: Snapshot) -> None:
    """Each queue has its jobs by status, the oldest, who listens, and the scheduler."""
    text = render(replace(cinema, rate_limits=(RateLimitState("api", held=4),)), now=cinema.taken_at)
    page = Page(text)
    movies = dict(zip(page.row("Queue"), page.row("movies"), strict=True))
    asked = ("queued", "finished", "oldest job", "RQ workers", "scheduler", "in", "empty in")
    dash = formats.NOTHING
    assert [movies[column] for column in asked] == ["12", "38", "42 s ago", "4", "up", dash, dash]
    assert "4 jobs of all queues wait for a rate limit" in text


def test_what_is_wrong_with_the_jobs_is_the_first_thing_said(cinema: Snapshot) -> None:
    """Two verdicts: on the jobs first, and on the telemetry; complete telemetry makes no lost job green."""
    text = render(cinema, now=cinema.taken_at)
    lost = "MovieDetailJob lost 1 of 39 jobs (2.6 %) since 2026-02-02 02:30 UTC"
    assert f"<title>{lost} · jobtelemetry</title>" in text
    jobs, telemetry = re.findall(r'<div class="banner (\w+)" role="status">.*? class="about">(\w+)</', text)
    assert (jobs, telemetry) == (("bad", "Jobs"), ("good", "Telemetry"))
    assert text.index(lost) < text.index("Complete: every execution that RQ counted is recorded")
    assert "RQ counted 1,332 executions for its 4 live workers" in text
    assert "counting since" in text


def test_a_blind_spot_says_how_large_where_and_what_to_do(cinema: Snapshot) -> None:
    """The banner has both numbers, the RQ workers behind them are listed, and there is advice."""
    workers = (
        RQWorkerState("stranger", ("movies",), "busy", False, 17),
        RQWorkerState("lossy", ("movies",), "idle", True, 9, 0, 6),
    )
    text = render(replace(cinema, rq_workers=(*cinema.rq_workers, *workers)), now=cinema.taken_at)
    assert "Blind spot: 20 executions unrecorded, 1 RQ worker uninstrumented" in text
    assert "jobtelemetry worker-pool" in text
    page = Page(text)
    assert page.row("stranger") == ["stranger", "movies", "busy", "no", "17", "0", "17"]
    assert page.row("lossy")[-1] == "3"


def test_no_rq_worker_means_no_verdict(cinema: Snapshot) -> None:
    """Without live RQ workers there is nothing to compare, and the page does not claim completeness."""
    verdict = audit(replace(cinema, rq_workers=()))
    assert verdict.level is Level.NEUTRAL
    assert "Complete" not in verdict.headline


def test_remarks_name_what_else_is_wrong(cinema: Snapshot) -> None:
    """Hook errors, dropped series and reconciled executions each get a remark, and only then."""
    assert remarks(cinema) == ()
    found = remarks(replace(cinema, handler_errors={"record": 1, "start": 0}, dropped={"x": 2}, reconciled=1))
    assert [remark.headline for remark in found] == [
        "1 error inside jobtelemetry's own hooks",
        "2 observations without a series of their own",
        "1 execution counted by the reconciler",
    ]
    assert found[0].detail.startswith("In record; "), "only hooks that had errors are named"


def test_wrong_clocks_are_told_where_they_mislead(cinema: Snapshot) -> None:
    """Whose clock is wrong, by how much and in which direction; one that differs by a moment does not matter."""
    clocks = (WrongClock("producer", "12", "web-1", -600.0), WrongClock("rq_worker", "pool-1", "host", 1.5))
    (remark,) = remarks(replace(cinema, clocks=clocks, reconciled=0))
    assert remark.headline == "1 wrong clock: web-1, where process 12 enqueues, is 10 min behind Redis's"


def test_many_queues_are_few_words_and_blocked_jobs_stand_with_the_deferred(cinema: Snapshot) -> None:
    """A worker on fifty queues does not fill the page, and what will never run is seen in its queue's row."""
    seen = {Series("shop.jobs.mail", f"tenant-{i:02}"): 0.0 for i in range(50)}
    queues = (QueueState("mail", {"deferred": 9}, blocked=5, blocked_by=("b waits for a (canceled)",)),)
    page = Page(render(replace(cinema, seen=cinema.seen | seen, queues=queues), now=cinema.taken_at))
    assert "tenant-00, tenant-01, tenant-02, tenant-03, tenant-04 and 45 more" in page.row("mailtenant")[0]
    assert "95 blocked" in next(row for row in page.rows if row[0] == "mail")
    assert any(one.get("title") == "b waits for a (canceled)" for one in page.attributes("span"))


def test_while_redis_is_away_the_last_figures_stay(cinema: Snapshot) -> None:
    """The page says that Redis is away, why, and how old the figures are that it still shows."""
    text = render(cinema, error="Error 111 connecting to redis:6379.", now=cinema.taken_at + 35)
    assert "Redis is away: Error 111 connecting to redis:6379." in text
    assert "from 35 s ago" in text
    assert Page(text).row("process_showtime")[1] == "738"


def test_without_any_figures_only_the_outage_is_shown() -> None:
    """An exporter that never reached Redis shows why, and no empty tables."""
    text = render(None, error="no answer within 1.8 s", now=0.0)
    assert "Redis is away: no answer within 1.8 s" in text
    assert Page(text).rows == []


def test_the_first_visit_explains_how_to_begin() -> None:
    """Where no job was ever seen the page says which command changes that."""
    text = render(Snapshot(taken_at=1.0), now=1.0)
    assert "jobtelemetry worker default" in text
    assert "jobtelemetry.instrument()" in text
    assert Page(text).rows == []


def test_everything_is_escaped(cinema: Snapshot) -> None:
    """Names and errors from outside cannot put markup into the page."""
    evil = "<script>alert('x')</script>\"&"
    series = Series(evil, evil)
    snapshot = replace(
        cinema,
        seen={series: 1.0},
        executions={(series, state): Counter(1, 1.0) for state in State},
        durations={},
        last_completed={series: 1.0},
        running=(),
        queues=(QueueState(evil),),
        rq_workers=(RQWorkerState(evil, (evil,), evil, False, 1),),
        handler_errors={evil: 1},
    )
    text = render(snapshot, error=evil, now=2.0) + render(snapshot, now=2.0)
    assert "<script" not in text
    assert "alert(" in text
    assert {name for name, _ in Page(render(snapshot, now=2.0)).tags}.isdisjoint({"script", "iframe", "img", "object"})


def test_it_needs_nothing_from_outside(cinema: Snapshot) -> None:
    """No script, no address of another place, not even an icon; every link is relative, so a proxy's path is kept."""
    text = render(cinema, now=cinema.taken_at)
    page = Page(text)
    assert not re.search(r"://|url\(|@import", text)
    links = [str(attributes["href"]) for attributes in page.attributes("a")]
    assert {"./", "metrics", "api/v1", "queues", "worker/cinema.jobs.MovieDetailJob"} <= set(links)
    assert not [link for link in links if link.startswith("/")]
    assert not page.attributes("script")
    assert not page.attributes("link")


def test_browsers_phones_and_screen_readers_are_served(cinema: Snapshot) -> None:
    """Language, width, both colour schemes and the reload are declared; every table is one for a screen reader."""
    text = render(cinema, now=cinema.taken_at)
    page = Page(text)
    assert page.attributes("html") == [{"lang": "en"}]
    metas = page.attributes("meta")
    assert {"http-equiv": "refresh", "content": "5"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme: dark" in text
    assert len(page.attributes("caption")) == len(page.attributes("table")) == 2
    assert [len(page.attributes(landmark)) for landmark in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    assert all(picture.get("aria-label") for picture in page.attributes("svg"))
    assert {head.get("scope") for head in page.attributes("th")} == {"col", "row"}
    assert all(cell.get("data-label") for cell in page.attributes("td"))


def test_cancelled_is_never_red() -> None:
    """What a job ended on purpose has the colour of no failure, in light and in dark."""
    text = render(Snapshot(taken_at=1.0), now=1.0)
    hues = dict(re.findall(r"^\.([a-z]+) { color: var\(--([a-z]+)\); }", text, re.MULTILINE))
    schemes = [dict(re.findall(r"--([a-z]+): #([0-9a-f]{6})", scheme)) for scheme in re.findall(r"--green:[^}]*", text)]
    assert len(schemes) == 2
    for colours in schemes:
        red, green, blue = (int(colours[hues["cancelled"]][i : i + 2], 16) for i in (0, 2, 4))
        assert blue > green > red
        assert hues["cancelled"] not in (hues["discard"], hues["failure"])


@pytest.mark.parametrize("count", [1, 3])
def test_a_single_worker_needs_no_totals(cinema: Snapshot, count: int) -> None:
    """The totals row is there where it adds something."""
    seen = dict(list(cinema.seen.items())[:count])
    only = {key: value for key, value in cinema.executions.items() if key[0] in seen}
    snapshot = replace(cinema, seen=seen, executions=only, durations={}, last_completed={}, running=())
    names = [row[0] for row in Page(render(snapshot, now=cinema.taken_at)).rows]
    assert ("Total" in names) == (count > 1)


def test_deploys_are_lines_in_the_trends_and_words_beside_them(cinema: Snapshot) -> None:
    """A deploy within the chart is drawn, named in the legend and told to who hears the page; an older one is not."""
    now = cinema.taken_at
    marks = (Deploy("old", now - 90_000), Deploy("v1.2.3<b>", now - 600, "CI"))
    trends = Trends()
    for minute in (10, 5, 0):
        trends.add(replace(cinema, taken_at=now - 60 * minute))
    page = Page(overview.render(Look(replace(cinema, deploys=marks), now, "", trends)))
    drawn = [one["d"] for one in page.attributes("path") if one.get("class") == "deploy"]
    assert [len(re.findall("M", path or "")) for path in drawn] == [1, 1]
    said = [one["aria-label"] or "" for one in page.attributes("svg")]
    assert all("deployed: v1.2.3<b> at " in text for text in said)
    assert not any("old" in text for text in said)
