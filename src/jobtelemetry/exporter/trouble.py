"""What is wrong with the jobs, in one sentence and then one by one. Pure.

Whether the numbers can be trusted is another question, and ``verdict`` answers it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobtelemetry.exporter.formats import duration, iso, number, percent, short_names
from jobtelemetry.exporter.trends import Lately
from jobtelemetry.exporter.verdict import Level
from jobtelemetry.figures import WorkerFigures, success_ratio, summarise
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Snapshot

#: Lost jobs of a worker, as a share of those that completed or were lost, from which on it is not a detail.
_MANY_LOST = 0.01
#: Failed attempts, of all that ended, from which on a worker is in trouble although its jobs are tried again.
_MANY_FAILED = 0.2
_FEW = 5
#: Seconds that are "lately", and that a job may wait where RQ workers listen.
LATELY = 3600.0
_LONG_WAIT = 600.0
_MOST = 8
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
        headline: The answer in one line.
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
    names = short_names(line.worker for line in figures)
    found = [*_lost(snapshot, figures, lately, names), *_failing(lately, names), *_queues(snapshot)]
    found.sort(key=lambda finding: (_ORDER.index(finding.level), -finding.lost, finding.text))
    if found:
        more = len(found) - _MOST
        rest = (Finding(found[_MOST].level, f"and {number(more)} more"),) if more > 0 else ()
        return Trouble(found[0].level, _headline(found), "", (*found[:_MOST], *rest))
    if not any(line.ended for line in figures):
        return Trouble(Level.NEUTRAL, "No job has ended yet")
    return _fine(snapshot, figures, lately)


def _headline(found: list[Finding]) -> str:
    worst = found[0]
    others = len(found) - 1
    return f"{worst.text}{f', and {number(others)} more to look at' if others else ''}"


def _fine(snapshot: Snapshot, figures: tuple[WorkerFigures, ...], lately: Lately) -> Trouble:
    known = lately.seconds >= LATELY - 120
    lost = sum(line.counts[State.DISCARD] for line in figures)
    completed = sum(line.counts[State.COMPLETED] for line in figures)
    since = f"since {iso(snapshot.created)[:16].replace('T', ' ')} UTC" if snapshot.created else "so far"
    all_time = f"{number(completed)} completed and {number(lost)} lost {since}."
    if not known:
        return Trouble(Level.GOOD, f"No job was lost {since}", f"{number(completed)} completed.")
    ended = sum(sum(states.values()) for states in lately.counts.values())
    headline = f"No job was lost in the last {duration(lately.seconds)}"
    if not ended:
        headline = f"No job has ended in the last {duration(lately.seconds)}, and none was lost"
    return Trouble(Level.NEUTRAL if lost else Level.GOOD, headline, f"All in all {all_time}")


def _lost(
    snapshot: Snapshot, figures: tuple[WorkerFigures, ...], lately: Lately, names: Mapping[str, str]
) -> Iterator[Finding]:
    short = lately.seconds < LATELY - 120
    since = f"since {iso(snapshot.created)[:16].replace('T', ' ')} UTC" if snapshot.created else "so far"
    window = f"in the last {duration(lately.seconds)}"
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
                f"{duration(lately.seconds)}; they are tried again",
                worker,
            )


def _queues(snapshot: Snapshot) -> Iterator[Finding]:
    heard = {queue for worker in snapshot.rq_workers for queue in worker.queues}
    for queue in snapshot.queues:
        waiting, oldest = queue.jobs.get("queued", 0), queue.oldest_enqueued_at
        age = snapshot.taken_at - oldest if oldest is not None else 0.0
        if waiting and queue.name not in heard:
            since = f", the oldest for {duration(age)}" if age >= 1 else ""
            yield Finding(
                Level.BAD,
                f"{_jobs(waiting)} on queue {queue.name}{since}, and no RQ worker listens there",
                lost=waiting,
            )
        elif waiting and age >= _LONG_WAIT:
            yield Finding(
                Level.WARNING, f"A job has waited for {duration(age)} on queue {queue.name}, before {_others(waiting)}"
            )
        if queue.overdue_scheduled:
            yield Finding(
                Level.WARNING,
                f"{number(queue.overdue_scheduled)} scheduled job{'s' if queue.overdue_scheduled > 1 else ''} overdue "
                f"on queue {queue.name}: no scheduler moves them; start a worker with --with-scheduler",
            )
    if snapshot.rq_workers and all(worker.status == "suspended" for worker in snapshot.rq_workers):
        yield Finding(Level.WARNING, "All RQ workers are suspended: no job starts until 'rq resume'")


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{number(count)} jobs wait"


def _others(waiting: int) -> str:
    return "no other" if waiting == 1 else f"{number(waiting - 1)} other{'s' if waiting > 2 else ''}"
