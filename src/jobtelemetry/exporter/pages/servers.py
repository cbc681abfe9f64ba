"""The page at ``/`` where one exporter reads several Redis servers: how each is, and the way to it."""

from __future__ import annotations

from collections.abc import Mapping

from jobtelemetry.exporter import formats
from jobtelemetry.exporter.markup import Markup, element, join
from jobtelemetry.exporter.pages.frame import Look, away, banner, document
from jobtelemetry.exporter.verdict import Level, Verdict, audit, remarks


def render(now: float, looks: Mapping[str, Look]) -> str:
    """The page.

    Args:
        now: Unix time in seconds.
        looks: What is known of each server, by its name.
    """
    down = [name for name, look in looks.items() if look.error or look.snapshot is None]
    title = f"{len(looks)} Redis servers" + (f", away: {', '.join(down)}" if down else "")
    body = [element("h1", title, class_="hidden")]
    for name, look in looks.items():
        body += [element("h2", element("a", name, href=f"redis/{name}/")), *_said(look)]
    return document(Look(None, now), title, None, *body)


def _said(look: Look) -> list[Markup]:
    if look.error or look.snapshot is None:
        return [banner(away(look), "status", "Telemetry")]
    snapshot, trouble = look.snapshot, look.trouble()
    worst = trouble.findings[0].text if trouble.findings else trouble.headline
    more = f"and {len(trouble.findings) - 1} more" if len(trouble.findings) > 1 else trouble.detail
    found = [
        banner(Verdict(trouble.level, worst, more), "status", "Jobs"),
        banner(audit(snapshot), "status", "Telemetry"),
    ]
    found += [
        banner(remark, "note")
        for remark in remarks(snapshot, look.reconciler_problem)
        if remark.level is not Level.GOOD
    ]
    waiting = sum(queue.jobs.get("queued", 0) for queue in snapshot.queues)
    figures = (
        f"{formats.number(waiting)} waiting · {formats.number(len(snapshot.running))} running · "
        f"{formats.number(len(snapshot.rq_workers))} RQ workers · {formats.number(len(snapshot.queues))} queues"
    )
    return [*found, element("p", join(figures), class_="aside")]
