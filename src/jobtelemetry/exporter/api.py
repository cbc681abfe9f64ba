"""The same as JSON, for who builds on it: version 1, read only, strict JSON (no ``NaN``, no ``Infinity``).

Every answer has ``taken_at`` (Unix time in seconds, by Redis's clock), ``since`` (from when on is counted) and
``data``; an error has ``error`` alone. Fields are added, never changed or taken away, as long as the version is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from jobtelemetry.exporter.logbook import Failed
from jobtelemetry.exporter.pages.frame import Look
from jobtelemetry.exporter.pages.tables import worst_first
from jobtelemetry.exporter.reasons import Reasons, reasons
from jobtelemetry.exporter.trends import Chart
from jobtelemetry.exporter.verdict import Verdict, audit, remarks
from jobtelemetry.figures import WorkerFigures, summarise
from jobtelemetry.outcomes import State
from jobtelemetry.questions.failures import group_failures
from jobtelemetry.questions.own_metrics import own_metrics
from jobtelemetry.questions.rq_workers import RQWorker
from jobtelemetry.questions.story import Story
from jobtelemetry.store.snapshot import Snapshot
from jobtelemetry.text import json_text

OK, NOT_FOUND, AWAY = HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE
BAD = HTTPStatus.BAD_REQUEST
_MOST_FAILURES = 2000
_MOST_SERIES = 100

#: Path below ``/api/v1`` -> what it answers.
PLACES = {
    "status": "what is wrong with the jobs, and whether the telemetry is complete",
    "workers": "figures, errors and cancel reasons of every worker, the worst first",
    "workers/NAME": "the same of one worker, with its run times",
    "queues": "jobs by status, oldest job, rates per second, time until empty; of every queue",
    "rq-workers": "what every RQ worker does",
    "failures": "failures grouped by worker, error type and message; ?worker=NAME",
    "failures/newest": "failed executions, the newest first; ?worker=NAME and ?limit=100",
    "jobs/ID": "the story of one job, with the traceback that RQ kept",
    "deploys": "when which version of the application began to run, the newest first",
    "own-metrics": f"users' own metrics with their totals and the {_MOST_SERIES} largest series of each",
    "own-metrics/NAME": "one of them, with all of its series",
    "trends": "executions that ended by state and jobs that waited, in bars; ?worker=NAME or ?queue=NAME",
}

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Sources:
    """Where an answer comes from.

    Args:
        look: The state.
        failed: Reads what failed.
        rq_workers: Reads what the RQ workers do.
        story: Reads the story of a job.
        redis: The name of the Redis server, where there are several.
    """

    look: Look
    failed: Callable[[], Failed]
    rq_workers: Callable[[], tuple[RQWorker, ...]]
    story: Callable[[str], Story]
    redis: str = ""

    @property
    def root(self) -> str:
        """What stands before every path of this version."""
        return f"/redis/{self.redis}/api/v1" if self.redis else "/api/v1"


def answer(sources: Sources, path: str, wanted: Mapping[str, str]) -> tuple[HTTPStatus, Body]:
    """Status and body.

    Args:
        sources: Where the answer comes from.
        path: What stands behind ``/api/v1/``.
        wanted: The query's parameters.
    """
    status, body = _answer(sources, path, wanted)
    return status, {"redis": sources.redis, **body} if sources.redis else body


def _answer(sources: Sources, path: str, wanted: Mapping[str, str]) -> tuple[HTTPStatus, Body]:
    if not path:
        return OK, {"version": 1, "places": {f"{sources.root}/{place}": said for place, said in PLACES.items()}}
    look = sources.look
    if look.snapshot is None or look.error:
        return AWAY, {"error": f"Redis cannot be read: {look.error or 'it was never read'}"}
    snapshot, (place, _, name) = look.snapshot, path.partition("/")
    if place == "failures":
        return _failures(sources, snapshot, name, wanted)
    if name:
        return _one(sources, snapshot, place, name)
    listed: dict[str, Callable[[], Any]] = {
        "status": lambda: _status(look, snapshot),
        "workers": lambda: _workers(snapshot),
        "queues": lambda: [line.as_dict() for line in look.queues()],
        "rq-workers": lambda: [worker.as_dict() for worker in sources.rq_workers()],
        "deploys": lambda: [one._asdict() for one in reversed(snapshot.deploys)],
        "own-metrics": lambda: [metric.as_dict(_MOST_SERIES) for metric in own_metrics(snapshot.own)],
        "trends": lambda: _trends(look, wanted),
    }
    return (OK, _body(snapshot, listed[place]())) if place in listed else _nothing(sources, path)


def dumps(body: Any) -> str:
    """Strict JSON: what is no number is ``null``."""
    return f"{json_text(body)}\n"


def _body(snapshot: Snapshot, data: Any, **more: Any) -> Body:
    return {"taken_at": snapshot.taken_at, "since": snapshot.created or None, **more, "data": data}


def _one(sources: Sources, snapshot: Snapshot, place: str, name: str) -> tuple[HTTPStatus, Body]:
    if place == "workers":
        return _one_worker(snapshot, name)
    if place == "own-metrics":
        family = next((family for family in snapshot.own if family.name == name), None)
        return (OK, _body(snapshot, own_metrics([family])[0].as_dict())) if family else _unknown("metric", name)
    if place == "jobs":
        story = sources.story(name)
        return (OK, _body(snapshot, story.as_dict())) if story.known else _unknown("job", name)
    return _nothing(sources, f"{place}/{name}")


def _status(look: Look, snapshot: Snapshot) -> Body:
    trouble = look.trouble()
    return {
        "jobs": {
            "level": trouble.level.value,
            "headline": trouble.headline,
            "detail": trouble.detail or None,
            "findings": [
                {"level": one.level.value, "text": one.text, "worker": one.worker or None} for one in trouble.findings
            ],
        },
        "telemetry": {
            **_verdict(audit(snapshot)),
            "proven": snapshot.proven,
            "reconciler_problem": look.reconciler_problem or None,
            "remarks": [_verdict(remark) for remark in remarks(snapshot, look.reconciler_problem)],
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"level": verdict.level.value, "headline": verdict.headline, "detail": verdict.detail or None}


def _workers(snapshot: Snapshot) -> list[Body]:
    why = reasons(snapshot)
    return [_worker(line, why.get(line.worker, Reasons())) for line in worst_first(summarise(snapshot))]


def _worker(line: WorkerFigures, why: Reasons) -> dict[str, Any]:
    return {
        "worker": line.worker,
        "queues": line.queues,
        "executions": {state.value: line.counts[state] for state in State},
        "success_ratio": line.success,
        "match_ratio": line.match,
        "duration_p50": line.run_time_quantile(0.5),
        "duration_p95": line.run_time_quantile(0.95),
        "running": line.running,
        "last_completed": line.last_completed,
        "errors": dict(why.errors),
        "cancellations": dict(why.cancellations),
    }


def _one_worker(snapshot: Snapshot, name: str) -> tuple[HTTPStatus, Body]:
    line = next((line for line in summarise(snapshot) if line.worker == name), None)
    if line is None:
        return _unknown("worker", name)
    told = _worker(line, reasons(snapshot).get(name, Reasons()))
    return OK, _body(snapshot, {**told, "duration_buckets": dict(line.run_time)})


def _failures(sources: Sources, snapshot: Snapshot, name: str, wanted: Mapping[str, str]) -> tuple[HTTPStatus, Body]:
    if name not in ("", "newest"):
        return _nothing(sources, f"failures/{name}")
    failed = sources.failed()
    if worker := wanted.get("worker"):
        failed = failed.of(worker)
    if not name:
        data = [group.as_dict() for group in group_failures(failed.entries)]
        return OK, _body(snapshot, data, complete_since=failed.since)
    limit = wanted.get("limit", "100")
    if not limit.isdecimal() or not 0 < int(limit) <= _MOST_FAILURES:
        return BAD, {"error": f"limit must be a whole number from 1 to {_MOST_FAILURES}, got {limit[:50]!r}"}
    data = [entry.as_dict() for entry in failed.entries[: int(limit)]]
    return OK, _body(snapshot, data, complete_since=failed.since)


def _trends(look: Look, wanted: Mapping[str, str]) -> Body:
    worker, queue = wanted.get("worker"), wanted.get("queue")
    told: dict[str, Any] = {}
    if queue is None:
        told["ended"] = _chart(look.trends.ended(look.now, worker))
    if worker is None:
        told["waiting"] = _chart(look.trends.waiting(look.now, queue))
    return told


def _chart(chart: Chart | None) -> Body | None:
    return None if chart is None else asdict(chart)


def _unknown(what: str, name: str) -> tuple[HTTPStatus, Body]:
    return NOT_FOUND, {"error": f"no {what} is called {name[:200]!r}"}


def _nothing(sources: Sources, path: str) -> tuple[HTTPStatus, Body]:
    places = ", ".join(f"{sources.root}/{place}" for place in PLACES)
    return NOT_FOUND, {"error": f"nothing at {sources.root}/{path[:200]}; there is {places}"}
