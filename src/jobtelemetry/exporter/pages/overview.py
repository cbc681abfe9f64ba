"""The page at ``/``: is anything wrong, with the jobs and with the telemetry; then everything at one look."""

from __future__ import annotations

from collections.abc import Sequence

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element
from jobtelemetry.exporter.pages import charts, own, tables
from jobtelemetry.exporter.pages.frame import Look, banner, document, problem, trouble_banner
from jobtelemetry.exporter.verdict import audit, remarks
from jobtelemetry.figures import summarise
from jobtelemetry.outcomes import RATIOS, State
from jobtelemetry.questions.failures import FailureGroup
from jobtelemetry.questions.own_metrics import own_metrics
from jobtelemetry.questions.rq_workers import RQWorker, most_telling
from jobtelemetry.store.snapshot import RQWorkerState, Snapshot

#: Rows of a table here; a page of its own has them all.
MOST_WORKERS = 100
MOST_QUEUES = 25
MOST_RQ_WORKERS = 25
MOST_FAILURES = 5
MOST_OWN_METRICS = 10

_GLOSSARY = {
    **{state.value: state.row.meaning for state in State},
    **{ratio.name: ratio.formula for ratio in RATIOS},
    "p50, p95": "run time of all ended executions, estimated from the histogram",
    "in, out": "jobs put on the queue, as far as instrumented producers tell, and executions ended; lately",
    "blocked": "deferred jobs that will never run: what they depend on was cancelled, failed for good or is gone",
    "empty in": "waiting jobs / how many fewer there are per second",
}


def shown_rq_workers(snapshot: Snapshot) -> list[RQWorkerState]:
    """The RQ workers that have a row here."""
    return most_telling(snapshot.rq_workers)[:MOST_RQ_WORKERS]


def render(look: Look, rq_workers: Sequence[RQWorker] = (), groups: Sequence[FailureGroup] = ()) -> str:
    """The page.

    Args:
        look: What it shows.
        rq_workers: What the RQ workers of :func:`shown_rq_workers` do.
        groups: What failed lately.
    """
    snapshot = look.snapshot
    if snapshot is None:
        return document(look, "Redis is away", "", *problem(look))
    trouble = look.trouble()
    telemetry = problem(look) or [banner(audit(snapshot), "status", "Telemetry")]
    body = [
        element("h1", "Overview", class_="hidden"),
        trouble_banner(look, trouble),
        *telemetry,
        *(banner(remark, "note") for remark in remarks(snapshot, look.reconciler_problem)),
        tables.suspects(look, snapshot),
        *_sections(look, snapshot, rq_workers, groups),
    ]
    title = "Redis is away" if look.error else trouble.headline
    return document(look, title, "", *body)


def _sections(
    look: Look, snapshot: Snapshot, rq_workers: Sequence[RQWorker], groups: Sequence[FailureGroup]
) -> list[Markup]:
    sections = []
    if snapshot.seen or snapshot.running:
        sections += [
            element("div", charts.ended(look.trends.ended(look.now), "Executions that ended", snapshot.deploys),
                    charts.waiting(look.trends.waiting(look.now), "Jobs that wait", snapshot.deploys),
                    class_="charts"),
            tables.workers(look, snapshot, MOST_WORKERS),
            _more(look, "workers", len(summarise(snapshot)), MOST_WORKERS, "workers"),
        ]  # fmt: skip
    else:
        sections.append(_first_run())
    if groups:
        sections.append(tables.failures(look, groups[:MOST_FAILURES], "What failed last"))
        sections.append(_more(look, "failures", len(groups), MOST_FAILURES, "kinds of failures"))
    if snapshot.queues:
        sections.append(tables.queues(look, look.queues(), MOST_QUEUES))
        sections.append(_more(look, "queues", len(snapshot.queues), MOST_QUEUES, "queues"))
    if snapshot.rate_limited:
        waiting = f"{formats.number(snapshot.rate_limited)} jobs of all queues wait for a rate limit."
        sections.append(element("p", waiting, class_="aside"))
    if rq_workers:
        sections.append(tables.rq_workers(look, rq_workers, len(snapshot.rq_workers)))
        sections.append(_more(look, "rq-workers", len(snapshot.rq_workers), MOST_RQ_WORKERS, "RQ workers"))
    if snapshot.own:
        sections.append(own.listed(look, own_metrics(snapshot.own), MOST_OWN_METRICS))
        sections.append(_more(look, "own-metrics", len(snapshot.own), MOST_OWN_METRICS, "metrics of your own"))
    if snapshot.seen:
        sections.append(glossary())
    return sections


def glossary() -> Markup:
    """What the words mean, and what the trends are."""
    terms = [element("div", element("dt", term), element("dd", meaning)) for term, meaning in _GLOSSARY.items()]
    trends = (
        "Trends hold what this exporter has read since it started, a day at most; a restart begins anew. "
        "A shade marks the time of which nothing is known."
    )
    return element("section", element("h2", "Words", class_="hidden"), element("dl", *terms), element("p", trends),
                   class_="glossary")  # fmt: skip


def _more(look: Look, place: str, whole: int, shown: int, what: str) -> Markup:
    if whole <= shown:
        return Markup("")
    link = element("a", f"All {formats.number(whole)} {what}", href=f"{look.root}{place}")
    return element("p", link, class_="aside")


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
