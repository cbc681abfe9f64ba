"""The page at ``/``: the whole state at one look, rendered on the server, without script or outside assets."""

from __future__ import annotations

from importlib import resources

from jobtelemetry._version import __version__
from jobtelemetry.exporter import formats, tables
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.exporter.verdict import Level, Verdict, audit, remarks
from jobtelemetry.hues import Hue
from jobtelemetry.outcomes import RATIOS, State
from jobtelemetry.store.snapshot import Snapshot

#: Seconds between two loads of the page by the browser.
REFRESH = 5

#: The page needs its own styles and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

_GLOSSARY = {
    **{state.value: state.row.meaning for state in State},
    **{ratio.name: ratio.formula for ratio in RATIOS},
    "p50, p95": "run time of all ended executions, estimated from the histogram",
}
_MARKS = {Level.GOOD: "✓", Level.NEUTRAL: "i", Level.WARNING: "!", Level.BAD: "!"}


def _style() -> Markup:
    """The style sheet, with a variable for every hue and a class for every state."""
    light = " ".join(f"--{hue}: {hue.value.light};" for hue in Hue)
    dark = " ".join(f"--{hue}: {hue.value.dark};" for hue in Hue)
    states = "\n".join(f".{state} {{ color: var(--{state.row.hue}); }}" for state in State)
    colours = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{states}\n"
    return Markup(colours + resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8"))


_STYLE = _style()


def render(snapshot: Snapshot | None, *, error: str | None = None, now: float) -> str:
    """The page.

    Args:
        snapshot: What to show; the last known one, or ``None``, where Redis cannot be read.
        error: Why Redis cannot be read.
        now: Unix time in seconds that "ago" counts from.
    """
    verdict = _away(error, snapshot, now) if error or snapshot is None else audit(snapshot)
    body = [_header(snapshot), _banner(verdict, "status")]
    if snapshot is not None:
        body += [_banner(remark, "note") for remark in remarks(snapshot)]
        body += [tables.suspects(snapshot), *_sections(snapshot, now)]
    document = element("html", _head(verdict), element("body", element("main", *body), _footer()), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _head(verdict: Verdict) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{verdict.headline.partition(':')[0]} · jobtelemetry"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="refresh", content=str(REFRESH)),
        element("style", _STYLE),
    )


def _header(snapshot: Snapshot | None) -> Markup:
    links = element("a", "/metrics", href="metrics")
    when = Markup("")
    if snapshot is not None:
        iso = formats.iso(snapshot.taken_at)
        when = join("as of ", element("time", f"{iso[11:19]} UTC", datetime=iso, title=iso), " · ")
    return element("header", element("h1", "jobtelemetry"), element("p", when, links))


def _banner(verdict: Verdict, role: str) -> Markup:
    mark = element("span", _MARKS[verdict.level], class_="mark", aria_hidden="true")
    said = [element("strong", verdict.headline)]
    if verdict.detail:
        said.append(element("span", verdict.detail))
    return element("div", mark, element("p", *said), class_=f"banner {verdict.level.value}", role=role)


def _away(error: str | None, snapshot: Snapshot | None, now: float) -> Verdict:
    """What to say while Redis cannot be read."""
    detail = "This page and /metrics recover by themselves as soon as it answers."
    if snapshot is not None:
        detail = f"The figures below are from {formats.ago(now - snapshot.taken_at)}. {detail}"
    return Verdict(Level.BAD, f"Redis is away: {error or 'it was not read'}", detail)


def _sections(snapshot: Snapshot, now: float) -> list[Markup]:
    sections = [tables.workers(snapshot, now) if snapshot.seen or snapshot.running else _first_run()]
    if snapshot.queues:
        sections.append(tables.queues(snapshot, now))
    if snapshot.rate_limited:
        waiting = f"{formats.number(snapshot.rate_limited)} jobs of all queues wait for a rate limit."
        sections.append(element("p", waiting, class_="aside"))
    if snapshot.rq_workers:
        sections.append(tables.rq_workers(snapshot))
    return sections


def _first_run() -> Markup:
    return element(
        "section",
        element("h2", "No job has been seen yet"),
        element("p", "Redis answers, and the figures appear here with the first job. Start an instrumented RQ worker:"),
        element("pre", element("code", "jobtelemetry worker default")),
        element("p", "or switch it on in code that starts RQ workers or enqueues jobs:"),
        element("pre", element("code", "import jobtelemetry\n\njobtelemetry.instrument()")),
        class_="empty",
    )


def _footer() -> Markup:
    terms = [element("div", element("dt", term), element("dd", meaning)) for term, meaning in _GLOSSARY.items()]
    version = element("p", f"jobtelemetry {__version__} · reloads every {REFRESH} s")
    return element("footer", element("dl", *terms), version)
