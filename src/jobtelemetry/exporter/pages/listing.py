"""The whole of one table: all workers, all queues, all RQ workers, all kinds of failures."""

from __future__ import annotations

from collections.abc import Sequence

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element
from jobtelemetry.exporter.pages import charts, tables
from jobtelemetry.exporter.pages.frame import SLOW_REFRESH, Look, document, problem
from jobtelemetry.questions.failures import FailureGroup
from jobtelemetry.questions.rq_workers import RQWorker

#: Rows of a table; the JSON has them all.
MOST = 1000


def workers(look: Look) -> str:
    """All workers."""
    shown = [tables.workers(look, look.snapshot, MOST)] if look.snapshot and look.snapshot.seen else [_none("worker")]
    return _page(look, "Workers", "workers", *shown)


def queues(look: Look) -> str:
    """All queues, and how many jobs waited on them."""
    lines = look.queues()
    shown = [tables.queues(look, lines, MOST)] if lines else [_none("queue")]
    chart = element("div", charts.waiting(look.trends.waiting(look.now), "Jobs that wait"), class_="charts")
    return _page(look, "Queues", "queues", chart, *shown)


def rq_workers(look: Look, found: Sequence[RQWorker]) -> str:
    """All RQ workers."""
    live = len(look.snapshot.rq_workers) if look.snapshot else 0
    return _page(
        look, "RQ workers", "rq-workers", tables.rq_workers(look, found, live) if found else _none("live RQ worker")
    )


def failures(look: Look, groups: Sequence[FailureGroup], since: float | None) -> str:
    """All kinds of failures that are known here.

    Args:
        look: What else the page shows.
        groups: The newest first.
        since: From when on all failures are in them, Unix time; ``None`` where the log is empty.
    """
    whole = f"Failures{tables._of(MOST, len(groups)) if len(groups) > MOST else ''}"  # noqa: SLF001 - a sibling
    shown = [tables.failures(look, groups[:MOST], f"{whole}, the newest first")] if groups else [_none("failure")]
    return _page(look, "Failures", "failures", *shown, reach(since))


def reach(since: float | None) -> Markup:
    """From when on failures are known here, and who knows more."""
    if since is None:
        said = "The execution log is empty."
    else:
        said = (
            f"All that the execution log recorded since {formats.iso(since)[:19].replace('T', ' ')} UTC; "
            "“jobtelemetry failures” reads all of the log."
        )
    return element("p", said, class_="aside")


def _none(what: str) -> Markup:
    return element("section", element("p", f"No {what} is known here."), class_="empty")


def _page(look: Look, title: str, place: str, *body: str) -> str:
    return document(look, title, place, element("h1", title), *problem(look), *body, refresh=SLOW_REFRESH)
