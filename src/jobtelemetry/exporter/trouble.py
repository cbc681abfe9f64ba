"""What is wrong with the jobs, in one sentence and then one by one. Pure.

Whether the numbers can be trusted is another question, and ``verdict`` answers it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobtelemetry.exporter.formats import cut, duration, iso, number, percent, short_names
from jobtelemetry.exporter.trends import Lately
from jobtelemetry.exporter.verdict import Level
from jobtelemetry.figures import WorkerFigures, success_ratio, summarise
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import QueueState, Snapshot

#: Lost jobs of a worker, as a share of those that completed or were lost, from which on it is not a detail.
_MANY_LOST = 0.01
#: Failed attempts, of all that ended, from which on a worker is in trouble although its jobs are tried again.
_MANY_FAILED = 0.2
_FEW = 5
#: Seconds that are "lately", and that a job may wait where RQ workers listen.
LATELY = 3600.0
_LONG_WAIT = 600.0
#: Seconds by which the last hour may be too short or too long, since it is read once a minute.
_SLACK = 120.0
_MOST = 8
_LONGEST_NAME = 60
_ORDER = (Level.BAD, Level.WARNING, Level.NEUTRAL, Level.GOOD)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        level: How bad.
        text: What, in one sentence.
        worker: The worker it is about; empty if none.
        lost: Jobs lost, for the order.
    """

    level: Level
    text: str
    worker: str = ""
    lost: int = 0


@dataclass(frozen=True)
class Trouble:
    """All of it.

    Args:
        level: That of the worst.
        headline: The answer in one line; the worst of the findings where there is one.
        detail: What stands behind a good one.
        findings: What is wrong, the worst first.
    """

    level: Level
    headline: str
    detail: str = ""
    findings: tuple[Finding, ...] = ()


def jobs(snapshot: Snapshot, lately: Lately) -> Trouble:
    """Judge the jobs of the last hour; of all time where the exporter has not read for an hour yet.

    Args:
        snapshot: The state of the moment.
        lately: What ended in the last hour, as far as it is known.
    """
    figures = summarise(snapshot)
    short = short_names(line.worker for line in figures)
    names = {worker: cut(name, _LONGEST_NAME) for worker, name in short.items()}
    found = [*_lost(snapshot, figures, lately, names), *_failing(lately, names), *_queues(snapshot)]
    found.sort(key=lambda finding: (_ORDER.index(finding.level), -finding.lost, finding.text))
    if found:
        more = len(found) - _MOST
        rest = (Finding(found[_MOST].level, f"and {number(more)} more"),) if more > 0 else ()
        return Trouble(found[0].level, found[0].text, "", (*found[:_MOST], *rest))
    if not any(line.ended for line in figures):
        return Trouble(Level.NEUTRAL, "No job has ended yet")
    return _fine(snapshot, figures, lately)


def _fine(snapshot: Snapshot, figures: tuple[WorkerFigures, ...], lately: Lately) -> Trouble:
    known = lately.seconds >= LATELY - _SLACK
    lost = sum(line.counts[State.DISCARD] for line in figures)
    completed = sum(line.counts[State.COMPLETED] for line in figures)
    since = f"since {iso(snapshot.created)[:16].replace('T', ' ')} UTC" if snapshot.created else "so far"
    cancelled = sum(line.counts[State.CANCELLED] for line in figures)
    on_purpose = f", {number(cancelled)} cancelled on purpose" if cancelled else ""
    if not known:
        return Trouble(Level.GOOD, f"No job was lost {since}", f"{number(completed)} completed{on_purpose}.")
    ended = sum(sum(states.values()) for states in lately.counts.values())
    headline = f"No job was lost in the last {_last(lately)}"
    if not ended:
        headline = f"No job has ended in the last {_last(lately)}, and none was lost"
    detail = f"All in all {number(completed)} completed{on_purpose} and {number(lost)} lost {since}."
    return Trouble(Level.NEUTRAL if lost else Level.GOOD, headline, detail)


def _lost(
    snapshot: Snapshot, figures: tuple[WorkerFigures, ...], lately: Lately, names: Mapping[str, str]
) -> Iterator[Finding]:
    short = lately.seconds < LATELY - _SLACK
    since = f"since {iso(snapshot.created)[:16].replace('T', ' ')} UTC" if snapshot.created else "so far"
    window = f"in the last {_last(lately)}"
    for line in figures:
        counts, when = (line.counts, since) if short else (lately.counts.get(line.worker, {}), window)
        lost = counts.get(State.DISCARD, 0)
        if not lost:
            continue
        ratio = success_ratio(counts) or 0.0
        level = Level.BAD if 1 - ratio >= _MANY_LOST else Level.WARNING
        of = counts.get(State.COMPLETED, 0) + lost
        newly = ""
        if short and (recent := lately.counts.get(line.worker, {}).get(State.DISCARD, 0)):
            newly = f", {number(recent)} of them {window}"
        name = names.get(line.worker, line.worker)
        share = percent(1 - ratio)
        yield Finding(
            level, f"{name} lost {number(lost)} of {number(of)} jobs ({share}) {when}{newly}", line.worker, lost
        )


def _failing(lately: Lately, names: Mapping[str, str]) -> Iterator[Finding]:
    for worker, counts in lately.counts.items():
        failed, ended = counts.get(State.FAILURE, 0), sum(counts.values())
        if failed >= _FEW and failed / ended >= _MANY_FAILED:
            yield Finding(
                Level.WARNING,
                f"{names.get(worker, worker)} failed in {number(failed)} of {number(ended)} attempts in the last "
                f"{_last(lately)}; they are tried again",
                worker,
            )


def _queues(snapshot: Snapshot) -> Iterator[Finding]:
    heard = {queue for worker in snapshot.rq_workers for queue in worker.queues}
    waiting = [queue for queue in snapshot.queues if queue.jobs.get("queued", 0)]
    unheard = [queue for queue in waiting if queue.name not in heard]
    slow = [queue for queue in waiting if queue.name in heard and _age(snapshot, queue) >= _LONG_WAIT]
    overdue = [queue for queue in snapshot.queues if queue.overdue_scheduled]
    if unheard:
        jobs, age = sum(queue.jobs["queued"] for queue in unheard), max(_age(snapshot, queue) for queue in unheard)
        since = f", the oldest for {duration(age)}" if age >= 1 else ""
        text = f"{_jobs(jobs)} on {_named(unheard)}{since}, and no RQ worker listens there"
        yield Finding(Level.BAD, text, lost=jobs)
    if slow:
        age = max(_age(snapshot, queue) for queue in slow)
        yield Finding(Level.WARNING, f"A job has waited for {duration(age)} on {_named(slow)}")
    if overdue:
        count = sum(queue.overdue_scheduled for queue in overdue)
        jobs_are = "1 scheduled job is" if count == 1 else f"{number(count)} scheduled jobs are"
        text = f"{jobs_are} overdue on {_named(overdue)}: no scheduler moves them; start a worker with --with-scheduler"
        yield Finding(Level.WARNING, text)
    if snapshot.rq_workers and all(worker.status == "suspended" for worker in snapshot.rq_workers):
        yield Finding(Level.WARNING, "All RQ workers are suspended: no job starts until “rq resume”")


def _age(snapshot: Snapshot, queue: QueueState) -> float:
    oldest = queue.oldest_enqueued_at
    return 0.0 if oldest is None else snapshot.taken_at - oldest


def _named(queues: list[QueueState]) -> str:
    """``queue mail``, ``queues mail and movies``, ``345 queues (mail, movies, …)``."""
    names = [cut(queue.name, _LONGEST_NAME) for queue in queues]
    if len(names) <= 2:
        return f"queue{'s' if len(names) > 1 else ''} {' and '.join(names)}"
    return f"{number(len(names))} queues ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def _last(lately: Lately) -> str:
    return "hour" if abs(lately.seconds - LATELY) <= _SLACK else duration(lately.seconds)


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{number(count)} jobs wait"
