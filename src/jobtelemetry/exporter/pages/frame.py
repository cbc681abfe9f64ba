"""What every page has around its content: the head, the ways to the other pages, what is wrong, the footer."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from urllib.parse import quote

from jobtelemetry._version import __version__
from jobtelemetry.exporter import formats, trouble
from jobtelemetry.exporter.logbook import Failed
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.exporter.trends import Lately, Trends
from jobtelemetry.exporter.trouble import Trouble
from jobtelemetry.exporter.verdict import Level, Verdict
from jobtelemetry.hues import Hue
from jobtelemetry.outcomes import State
from jobtelemetry.questions.queues import QueueLine, queue_lines
from jobtelemetry.store.snapshot import Snapshot

#: Seconds between two loads of a page by the browser: of figures, and of what one reads at leisure.
REFRESH = 5
SLOW_REFRESH = 30

#: The pages need their own styles and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

_MARKS = {Level.GOOD: "✓", Level.NEUTRAL: "i", Level.WARNING: "!", Level.BAD: "!"}
_PLACES = (
    ("", "Overview"),
    ("failures", "Failures"),
    ("workers", "Workers"),
    ("queues", "Queues"),
    ("rq-workers", "RQ workers"),
    ("own-metrics", "Own metrics"),
)


def _style() -> Markup:
    """The style sheet, with a variable for every hue and a class for every state."""
    light = " ".join(f"--{hue}: {hue.value.light};" for hue in Hue)
    dark = " ".join(f"--{hue}: {hue.value.dark};" for hue in Hue)
    states = "\n".join(f".{state} {{ color: var(--{state.row.hue}); }}" for state in State)
    colours = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{states}\n"
    return Markup(colours + resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8"))


_STYLE = _style()


@dataclass(frozen=True)
class Look:
    """What a page shows.

    Args:
        snapshot: The state; the last known one, or ``None``, where Redis cannot be read.
        now: Unix time in seconds that "ago" counts from.
        error: Why Redis cannot be read; empty if it can.
        trends: What was read in the last day.
        root: What leads from this page to the one at ``/``: empty, or ``../``.
        trace_url: Where a trace is shown, with ``{trace_id}``; empty for nowhere.
        reconciler_problem: Why this exporter's reconciler cannot write; empty if it can, or if there is none.
        redis: The name of the Redis server, where there are several.
        failed: What failed lately.
    """

    snapshot: Snapshot | None
    now: float
    error: str = ""
    trends: Trends = field(default_factory=Trends)
    root: str = ""
    trace_url: str = ""
    reconciler_problem: str = ""
    redis: str = ""
    failed: Failed = field(default_factory=Failed)

    @property
    def lately(self) -> Lately:
        """What ended in the last hour."""
        return self.trends.lately(self.snapshot) if self.snapshot else Lately()

    def trouble(self) -> Trouble:
        """What is wrong with the jobs."""
        if self.snapshot is None:
            return Trouble(Level.BAD, "Nobody knows: Redis was never read")
        return trouble.jobs(self.snapshot, self.lately, self.failed)

    def queues(self) -> tuple[QueueLine, ...]:
        """The queues with their rates, what needs a look first."""
        return queue_lines(self.snapshot, self.trends.before(self.snapshot)) if self.snapshot else ()

    def worker_link(self, worker: str, text: str, **attributes: str) -> Markup:
        """A link to the page of a worker."""
        return element("a", text, href=f"{self.root}worker/{quote(worker, safe='')}", **attributes)

    def metric_link(self, name: str) -> Markup:
        """A link to the page of one of the user's own metrics."""
        return element("a", formats.cut(name), href=f"{self.root}own-metrics/{quote(name, safe='')}", class_="name")

    def job_link(self, job: str) -> Markup:
        """A link to the page of a job."""
        return element("a", formats.cut(job, 60), href=f"{self.root}job/{quote(job, safe='')}", title=formats.cut(job))

    def trace_link(self, trace: str, *, whole: bool = False) -> Markup:
        """A link to a trace where it is known who shows them; else its id, or the beginning of it."""
        if not trace:
            return element("span", formats.NOTHING)
        shown = formats.cut(trace, 64) if whole else f"{trace[:8]}…"
        if not self.trace_url:
            return element("span", shown, class_="id", title=formats.cut(trace, 64))
        target = self.trace_url.replace("{trace_id}", quote(trace, safe=""))
        return element("a", shown, href=target, rel="noreferrer", class_="id", title=f"trace {formats.cut(trace, 64)}")


def document(look: Look, title: str, place: str | None, *body: str, refresh: int = REFRESH) -> str:
    """A whole page.

    Args:
        look: What it shows.
        title: For the browser's tab.
        place: Which of the places it is; empty for the one at ``/``, ``None`` where there are no others beside it.
        body: What stands in its middle.
        refresh: Seconds after which the browser loads it again.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", " · ".join(filter(None, (formats.cut(title, 120), look.redis, "jobtelemetry")))),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="refresh", content=str(refresh)),
        element("style", _STYLE),
    )
    content = element("main", *body, id="content")
    skip = element("a", "Skip to the content", href="#content", class_="skip")
    page = element(
        "html", head, element("body", skip, _header(look, place), content, _footer(look, refresh)), lang="en"
    )
    return f"<!DOCTYPE html>\n{page}\n"


def banner(verdict: Verdict, role: str, about: str = "") -> Markup:
    """One judgement, in its colour; ``about`` says of what."""
    return _banner(verdict.level, role, _said(about, verdict.headline, verdict.detail))


def trouble_banner(look: Look, trouble: Trouble) -> Markup:
    """The first thing to know: is anything wrong with the jobs?"""
    worst, *others = trouble.findings or (None,)
    headline = _finding(look, worst) if worst else trouble.headline
    said = [element("p", "Jobs", class_="about"), element("h2", headline)]
    if trouble.detail:
        said.append(element("p", trouble.detail))
    if others:
        said.append(element("ul", *(element("li", _finding(look, one)) for one in others if one)))
    return _banner(trouble.level, "status", *said)


def away(look: Look) -> Verdict:
    """What to say while Redis cannot be read."""
    detail = "This page and /metrics recover by themselves as soon as it answers."
    if look.snapshot is not None:
        detail = f"The figures below are from {formats.ago(look.now - look.snapshot.taken_at)}. {detail}"
    return Verdict(Level.BAD, f"Redis is away: {formats.cut(look.error) or 'it was not read'}", detail)


def problem(look: Look) -> list[Markup]:
    """A banner where the figures are not of this moment."""
    return [banner(away(look), "status", "Telemetry")] if look.error or look.snapshot is None else []


def section(title: str, *content: str, aside: str = "") -> Markup:
    """A part of a page with a heading of its own."""
    parts = [element("h2", title), *content]
    if aside:
        parts.append(element("p", aside, class_="aside"))
    return element("section", *parts)


def _banner(level: Level, role: str, *said: str) -> Markup:
    mark = element("span", _MARKS[level], class_="mark", aria_hidden="true")
    return element("div", mark, element("div", *said, class_="said"), class_=f"banner {level.value}", role=role)


def _said(about: str, headline: str, detail: str) -> Markup:
    said = [element("span", about, class_="about")] if about else []
    said.append(element("strong", formats.cut(headline, 500)))
    if detail:
        said.append(element("span", formats.cut(detail, 1000)))
    return element("p", *said)


def _finding(look: Look, finding: trouble.Finding) -> Markup:
    text = formats.cut(finding.text, 400)
    if finding.queue:
        return element("a", text, href=f"{look.root}queues")
    return look.worker_link(finding.worker, text) if finding.worker else element("span", text)


def _header(look: Look, place: str | None) -> Markup:
    links = []
    if look.redis:
        links.append(element("a", "All Redis servers", href=f"{look.root}../../"))
        links.append(element("strong", look.redis))
    for path, name in _PLACES if place is not None else ():
        if path == "own-metrics" and not (look.snapshot and look.snapshot.own) and place != path:
            continue  # most have none
        here = {"aria_current": "page"} if path == place else {}
        links.append(element("a", name, href=f"{look.root}{path}" or "./", **here))
    when = Markup("")
    if look.snapshot is not None:
        iso = formats.iso(look.snapshot.taken_at)
        when = join("as of ", element("time", f"{iso[11:19]} UTC", datetime=iso, title=iso))
        if look.snapshot.created:
            since = formats.iso(look.snapshot.created)
            when = join("counting since ", element("time", f"{since[:16].replace('T', ' ')} UTC", datetime=since),
                        " · ", when)  # fmt: skip
    name = element("a", "jobtelemetry", href=look.root or "./", class_="brand")
    return element("header", name, element("nav", *links, aria_label="Pages"), element("p", when))


def _footer(look: Look, refresh: int) -> Markup:
    metrics = f"{look.root}../../metrics" if look.redis else f"{look.root}metrics"
    links = [element("a", "/metrics", href=metrics), " · ", element("a", "/api/v1", href=f"{look.root}api/v1")]
    version = element("p", f"jobtelemetry {__version__} · reloads every {refresh} s · reads only · ", *links)
    return element("footer", version)
