"""What is wrong with the jobs, in one sentence and then one by one. Pure.

Whether the numbers can be trusted is another question, and ``verdict`` answers it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobtelemetry.exporter.formats import cut, duration, iso, number, percent, short_names
from jobtelemetry.exporter.logbook import Failed
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
_ONE_DAY = 86400.0
_NONE_KNOWN = Failed()
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
        queue: Whether it is about queues, which have a page.
    """

    level: Level
    text: str
    worker: str = ""
    lost: int = 0
    queue: bool = False


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


def jobs(snapshot: Snapshot, lately: Lately, failed: Failed = _NONE_KNOWN) -> Trouble:
    """Judge the jobs of the last hour; of all time where the exporter has not read for an hour yet.

    Args:
        snapshot: The state of the moment.
        lately: What ended in the last hour, as far as it is known.
        failed: What failed lately, which tells whether it began with a deploy.
    """
    figures = summarise(snapshot)
    short = short_names(line.worker for line in figures)
    names = {worker: cut(name, _LONGEST_NAME) for worker, name in short.items()}
    lost = _lost(snapshot, figures, lately, names, _begun_with(snapshot, failed))
    found = [*lost, *_failing(lately, names), *_queues(snapshot), *_held_back(snapshot)]
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
    snapshot: Snapshot,
    figures: tuple[WorkerFigures, ...],
    lately: Lately,
    names: Mapping[str, str],
    begun: Mapping[str, str],
) -> Iterator[Finding]:
    limited = Tally[str]()
    for series, counter in snapshot.rate_limited_executions.items():
        limited[series.worker] += counter.value
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
        text = f"{name} lost {number(lost)} of {number(of)} jobs ({percent(1 - ratio)}) {when}{newly}"
        if met := limited[line.worker]:
            text += f"; {_many(met, 'attempt')} met a rate limit"
        yield Finding(level, f"{text}{begun.get(line.worker, '')}", line.worker, lost)


def _begun_with(snapshot: Snapshot, failed: Failed) -> Mapping[str, str]:
    """Of whom no failure is known from before the newest deploy, although failures from before it would be."""
    if not snapshot.deploys or failed.since is None:
        return {}
    deploy = max(snapshot.deploys, key=lambda one: one.at)
    if failed.since >= deploy.at:
        return {}
    before = {entry.worker for entry in failed.entries if entry.ended_at < deploy.at}
    said = f"; none failed before the deploy of {cut(deploy.version, 40)} at {iso(deploy.at)[11:16]} UTC"
    if snapshot.taken_at - deploy.at > _ONE_DAY:
        said = said.replace(" at ", f" on {iso(deploy.at)[:10]} at ")
    return {entry.worker: said for entry in failed.entries if entry.worker not in before}


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
    blocked = [queue for queue in snapshot.queues if queue.blocked]
    if unheard:
        jobs, age = sum(queue.jobs["queued"] for queue in unheard), max(_age(snapshot, queue) for queue in unheard)
        since = f", the oldest for {duration(age)}" if age >= 1 else ""
        text = f"{_jobs(jobs)} on {_named(unheard)}{since}, and no RQ worker listens there"
        yield Finding(Level.BAD, text, lost=jobs, queue=True)
    if slow:
        age = max(_age(snapshot, queue) for queue in slow)
        yield Finding(Level.WARNING, f"A job has waited for {duration(age)} on {_named(slow)}", queue=True)
    if overdue:
        count = sum(queue.overdue_scheduled for queue in overdue)
        jobs_are = "1 scheduled job is" if count == 1 else f"{number(count)} scheduled jobs are"
        text = f"{jobs_are} overdue on {_named(overdue)}: no scheduler moves them; start a worker with --with-scheduler"
        yield Finding(Level.WARNING, text, queue=True)
    if blocked:
        count = sum(queue.blocked or 0 for queue in blocked)
        example = next((cut(one, 150) for queue in blocked for one in queue.blocked_by), "")
        text = f"{_many(count, 'deferred job')} on {_named(blocked)} will never run{f': {example}' if example else ''}"
        yield Finding(Level.WARNING, f"{text}{', …' if count > 1 and example else ''}", queue=True)
    if snapshot.rq_workers and all(worker.status == "suspended" for worker in snapshot.rq_workers):
        yield Finding(Level.WARNING, "All RQ workers are suspended: no job starts until “rq resume”")


def _held_back(snapshot: Snapshot) -> Iterator[Finding]:
    """What a rate limit of RQ's has held back for as long as a job may wait."""
    for limit in snapshot.rate_limits:
        age = 0.0 if limit.oldest is None else snapshot.taken_at - limit.oldest
        if limit.held and age >= _LONG_WAIT:
            name = cut(limit.key, _LONGEST_NAME)
            text = f"RQ's rate limit {name} holds back {_many(limit.held, 'job')}, the oldest for {duration(age)}"
            yield Finding(Level.WARNING, text)


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


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{number(count)} jobs wait"
