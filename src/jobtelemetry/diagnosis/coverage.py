"""The doctor on completeness: RQ workers, the audit, our own errors, and whether the clocks agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

from jobtelemetry.diagnosis.findings import Finding, Level, many
from jobtelemetry.store.snapshot import RateLimitState, RQWorkerState, Snapshot, WrongClock

#: Seconds by which clocks may differ before times in the log and on dashboards mislead.
_MOST_SKEW = 2.0
_MOST_NAMED = 5
#: Seconds that an RQ worker may wait beside jobs that wait, and that a rate limit may hold a job back.
_LONG_IDLE, _LONG_HOLD = 60.0, 300.0
#: What an RQ worker says of itself, and how people call it.
_PACKAGES = {"jobtelemetry": "jobtelemetry", "rq": "RQ", "redis": "redis-py"}


def check_coverage(snapshot: Snapshot) -> Iterator[Finding]:
    """Everything that a snapshot tells."""
    yield rq_workers(snapshot)
    if snapshot.rq_workers:
        yield versions(snapshot)
    yield audit(snapshot)
    yield books(snapshot)
    if snapshot.rejected:
        yield values(snapshot)
    yield own_errors(snapshot)
    if snapshot.own or snapshot.own_unwritten or snapshot.own_left_out:
        yield own_metrics(snapshot)
    if overdue := sum(queue.overdue_scheduled for queue in snapshot.queues):
        advice = "Start a worker with --with-scheduler: nothing else moves them to their queue."
        yield Finding("scheduler", Level.WARNING, f"{many(overdue, 'scheduled job')} overdue", advice)
    if any(queue.blocked for queue in snapshot.queues):
        yield dependents(snapshot)
    if beside := _idle_beside_jobs(snapshot):
        yield idle(beside)
    if any(_held_for(limit, snapshot.taken_at) > _LONG_HOLD for limit in snapshot.rate_limits):
        yield rate_limits(snapshot)


def rq_workers(snapshot: Snapshot) -> Finding:
    """Whether every live RQ worker is instrumented."""
    workers = snapshot.rq_workers
    if not workers:
        advice = "Start one: jobtelemetry worker or jobtelemetry worker-pool."
        return Finding("workers", Level.WARNING, "no RQ worker is running", advice)
    blind = [f"{worker.name} ({_why_blind(worker)})" for worker in workers if not worker.instrumented]
    if not blind:
        return Finding("workers", Level.OK, f"all of {many(len(workers), 'RQ worker')} instrumented")
    advice = (
        "Restart them with jobtelemetry worker or jobtelemetry worker-pool, or call jobtelemetry.instrument() where "
        "they are started. One that says it is instrumented may have found at its start that it cannot record."
    )
    summary = f"{len(blind)} of {many(len(workers), 'RQ worker')} not recorded: {_some(blind)}"
    seen = {queue for worker in workers if worker.instrumented for queue in worker.queues}
    if dark := sorted({queue for worker in workers for queue in worker.queues} - seen):
        summary += f"; nothing that runs on {_some(dark)} is recorded"
    return Finding("workers", Level.PROBLEM, summary, advice)


def versions(snapshot: Snapshot) -> Finding:
    """Which RQ, redis-py and jobtelemetry the live RQ workers have, whether they agree and are known to fit."""
    having: dict[str, dict[str, list[str]]] = {name: {} for name in _PACKAGES}
    for worker in snapshot.rq_workers:
        for name in _PACKAGES:
            if version := worker.versions.get(name):
                having[name].setdefault(version, []).append(worker.name)
    listed = [f"{title} {' and '.join(_of_whom(having[name]))}" for name, title in _PACKAGES.items() if having[name]]
    if not listed:
        return Finding("versions", Level.OK, "no live RQ worker says which it has")
    strange, advice = [], []
    if any(len(found) > 1 for found in having.values()):
        strange.append("RQ workers differ")
        advice.append("Finish the roll-out, so that all have the same.")
    if untested := [worker.name for worker in snapshot.rq_workers if worker.untested]:
        strange.append(f"RQ newer than jobtelemetry was tested with: {_some(untested)}")
        advice.append("Look for a newer jobtelemetry; until then watch the audit.")
    if lacking := sorted({hook for worker in snapshot.rq_workers for hook in worker.lacking}):
        strange.append(f"RQ lacks {_some(lacking)}")
        advice.append("The logs of those RQ workers say what is off without it; executions are counted.")
    if strange:
        return Finding("versions", Level.WARNING, f"{'; '.join(strange)}: {', '.join(listed)}", " ".join(advice))
    return Finding("versions", Level.OK, ", ".join(listed))


def _of_whom(found: dict[str, list[str]]) -> list[str]:
    if len(found) == 1:
        return list(found)
    return [f"{version} ({_some(names)})" for version, names in sorted(found.items())]


def _why_blind(worker: RQWorkerState) -> str:
    return f"its RQ lacks what counting needs: {_some(list(worker.missing))}" if worker.missing else "not instrumented"


def audit(snapshot: Snapshot) -> Finding:
    """Whether RQ and jobtelemetry counted the same for the live RQ workers."""
    counted = sum(worker.counted_by_rq for worker in snapshot.rq_workers)
    if not counted:
        return Finding(
            "audit", Level.OK, "nothing to compare: RQ counts for live RQ workers only, and these ran nothing"
        )
    if not snapshot.unrecorded:
        return Finding("audit", Level.OK, f"all of {many(counted, 'execution')} that RQ counted are recorded")
    gaps = sorted(snapshot.rq_workers, key=lambda worker: -worker.unrecorded)
    names = [f"{worker.name} ({worker.unrecorded:,})" for worker in gaps if worker.unrecorded]
    summary = f"{snapshot.unrecorded:,} of {many(counted, 'execution')} not recorded: {_some(names)}"
    advice = "Look for warnings of jobtelemetry in the logs of these RQ workers."
    return Finding("audit", Level.PROBLEM, summary, advice)


def books(snapshot: Snapshot) -> Finding:
    """Whether the two entries of every counted execution agree, and nothing of them is known to be lost."""
    if snapshot.counts_lost_at is not None:
        known = many(snapshot.counts_lost, "execution") if snapshot.counts_lost else "an unknown number of executions"
        when = datetime.fromtimestamp(snapshot.counts_lost_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        advice = (
            "Look for evictions (maxmemory-policy), a restore or a fail-over of Redis, or somebody who deleted keys. "
            "When that is understood: jobtelemetry reset --losses."
        )
        summary = f"counts are missing since {when}: {known}; {snapshot.counts_lost_why}"
        if snapshot.accounts_difference:
            summary += f"; {_difference(snapshot.accounts_difference)}"
        return Finding("books", Level.PROBLEM, summary, advice)
    if snapshot.accounts_difference:
        advice = "Somebody edited or deleted keys of jobtelemetry, or Redis restored a part of them."
        return Finding("books", Level.PROBLEM, _difference(snapshot.accounts_difference), advice)
    return Finding("books", Level.OK, "both entries of every execution agree, and nothing is known to be lost")


def values(snapshot: Snapshot) -> Finding:
    """What stands under our keys and is not ours."""
    names = _some(list(snapshot.rejected_names), of=snapshot.rejected)
    summary = f"{many(snapshot.rejected, 'value')} under jobtelemetry's keys not its own or without sense: {names}"
    advice = "They are passed over. Another program may use these keys, or somebody has edited them."
    return Finding("values", Level.WARNING, summary, advice)


def dependents(snapshot: Snapshot) -> Finding:
    """Deferred jobs that nothing will ever let run."""
    found = [queue for queue in snapshot.queues if queue.blocked]
    count = sum(queue.blocked or 0 for queue in found)
    named = [one for queue in found for one in queue.blocked_by]
    where = f" of {_some([queue.name for queue in found])}"
    summary = f"{many(count, 'deferred job')}{where} will never run: {_some(named, of=count)}"
    advice = (
        "Requeue the job that they wait for, or release them with queue.enqueue_dependents(job, "
        "exclude_job_id=job.id); the next ones run by Cancel(..., enqueue_dependents=True) or allow_failure=True."
    )
    return Finding("dependents", Level.WARNING, summary, advice)


def _idle_beside_jobs(snapshot: Snapshot) -> dict[str, list[RQWorkerState]]:
    """By queue the RQ workers that take none of the jobs that have been waiting there for long."""
    late = {
        queue.name
        for queue in snapshot.queues
        if queue.oldest_enqueued_at is not None and snapshot.taken_at - queue.oldest_enqueued_at > _LONG_IDLE
    }
    found: dict[str, list[RQWorkerState]] = {}
    for worker in snapshot.rq_workers:
        if worker.idle_since is not None and snapshot.taken_at - worker.idle_since > _LONG_IDLE:
            for queue in late.intersection(worker.queues):
                found.setdefault(queue, []).append(worker)
    return found


def idle(beside: Mapping[str, Sequence[RQWorkerState]]) -> Finding:
    """RQ workers that wait for jobs although there are some."""
    workers = {worker.name: worker for found in beside.values() for worker in found}
    named = [f"{worker.name} on {worker.host or 'an unknown host'}" for worker in workers.values()]
    summary = f"jobs wait on {_some(sorted(beside))}, and {many(len(workers), 'RQ worker')} take none: {_some(named)}"
    advice = "Look at these processes and at the network between their hosts and Redis, then restart them."
    return Finding("idle", Level.WARNING, summary, advice)


def rate_limits(snapshot: Snapshot) -> Finding:
    """Rate limits that hold jobs back for long, and who has their slots."""
    told = [
        f"{limit.key} has held {many(limit.held, 'job')} back, the first for {held:,.0f} s, and {limit.allowed} of "
        f"{limit.slots} may run: {_some(list(limit.allowed_jobs), of=limit.allowed) or 'none'}"
        for limit in snapshot.rate_limits
        if (held := _held_for(limit, snapshot.taken_at)) > _LONG_HOLD
    ]
    advice = (
        "See with jobtelemetry show what those that may run do: one that hangs keeps its slot. Where all is well, the "
        "limit is too low for what comes."
    )
    return Finding("rate limits", Level.WARNING, _some(told), advice)


def _held_for(limit: RateLimitState, now: float) -> float:
    return 0.0 if limit.oldest is None else now - limit.oldest


def own_errors(snapshot: Snapshot) -> Finding:
    """Whether jobtelemetry's own hooks failed."""
    errors = sum(snapshot.handler_errors.values())
    notes = []
    if snapshot.reconciled:
        notes.append(f"{many(snapshot.reconciled, 'execution')} of dead RQ workers counted by the reconciler")
    if snapshot.late:
        notes.append(f"{many(snapshot.late, 'ending')} came after that")
    after = f"; {'; '.join(notes)}" if notes else ""
    if not errors:
        return Finding("hooks", Level.OK, f"no error in jobtelemetry's own hooks{after}")
    hooks = ", ".join(f"{hook} ({number:,})" for hook, number in sorted(snapshot.handler_errors.items()) if number)
    summary = f"{many(errors, 'error')} in jobtelemetry's own hooks since the beginning: {hooks}{after}"
    return Finding("hooks", Level.WARNING, summary, "No job was affected; the RQ workers' logs say what happened.")


def own_metrics(snapshot: Snapshot) -> Finding:
    """Whether the application's own metrics are complete, and defined in one way."""
    series = sum(len(family.series) for family in snapshot.own)
    summary = f"{many(len(snapshot.own), 'metric')} of your own with {series:,} series"
    strange, advice = [], []
    if differing := [f"{one.name} ({one.definitions} ways)" for one in snapshot.own if one.definitions > 1]:
        strange.append(f"defined differently by different deploys: {_some(differing)}")
        advice.append("The newest definition is shown; see docs/own-metrics.md on changing one.")
    if unserved := [
        f"{one.name} ({one.unserved:,} series, shown as {one.kind.value})" for one in snapshot.own if one.unserved
    ]:
        strange.append(f"of two types: {_some(unserved)}")
        advice.append("Give one of them another name, or remove the metric: jobtelemetry reset --metric NAME.")
    names = {one.name for one in snapshot.own} | {"__other__"}
    if full := {name: number for name, number in snapshot.dropped.items() if number and name in names}:
        strange.append(f"had no room for: {_some([f'{name} ({number:,})' for name, number in sorted(full.items())])}")
        advice.append(
            "Labels are for what is bounded; JOBTELEMETRY_MAX_LABEL_SETS and _MAX_OWN_METRICS are the bounds."
        )
    if snapshot.own_left_out:
        strange.append(f"{many(snapshot.own_left_out, 'observation')} left out")
        advice.append("A process had no room, or the number was not finite; its log says which.")
    if snapshot.own_unwritten:
        summary += f"; what {many(snapshot.own_unwritten, 'execution')} measured died with its work-horse"
    if strange:
        return Finding("own metrics", Level.WARNING, f"{summary}; {'; '.join(strange)}", " ".join(advice))
    return Finding("own metrics", Level.OK, summary)


def check_clocks(server: float, before: float, after: float, clocks: Iterable[WrongClock]) -> Finding:
    """Whether the clocks of Redis, of this machine, of the RQ workers and of those who enqueue agree.

    Args:
        server: Redis' clock, Unix time.
        before: This machine's clock just before Redis was asked.
        after: And just after.
        clocks: Those that are known to be wrong, the worst first.
    """
    here = max(0.0, before - server, server - after) * (1 if server > after else -1)
    wrong = [_whose(clock) for clock in clocks if abs(clock.ahead) > _MOST_SKEW]
    if abs(here) > _MOST_SKEW:
        wrong.insert(0, f"Redis {_signed(here)} as seen from here")
    if wrong:
        advice = (
            "Keep the clocks of these hosts by NTP (chrony, systemd-timesyncd): RQ dates by them, so what they "
            "schedule runs at another time, and waits are wrong by as much."
        )
        return Finding("clocks", Level.WARNING, f"clocks differ from Redis's: {_some(wrong)}", advice)
    return Finding("clocks", Level.OK, f"no clock is known to differ from Redis's by more than {_MOST_SKEW:g} s")


def _whose(clock: WrongClock) -> str:
    return f"{clock.where} {_signed(clock.ahead)}"


def _difference(difference: int) -> str:
    more = "accounts of the RQ workers" if difference > 0 else "figures"
    return f"the two entries of {many(abs(difference), 'execution')} differ: the {more} have more"


def _signed(seconds: float) -> str:
    return f"{seconds:+.1f} s"


def _some(names: list[str], *, of: int = 0) -> str:
    """A few names; there are ``of``, if that is more than these."""
    more = max(len(names), of) - len(names[:_MOST_NAMED])
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
