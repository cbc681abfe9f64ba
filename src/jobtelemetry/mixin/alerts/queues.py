"""Alerts on queues, the RQ workers that listen on them, and the scheduler."""

from __future__ import annotations

from jobtelemetry import contract
from jobtelemetry.mixin import names
from jobtelemetry.mixin.durations import seconds, spoken
from jobtelemetry.mixin.names import Board
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.rules import Alert

_QUEUED = 'status="queued"'
_SCHEDULED = 'status="scheduled"'
_BUSY = 'status="busy"'


def alerts(q: PromQL) -> tuple[Alert, ...]:
    """All alerts of this group."""
    return (
        stalled(q),
        without_workers(q),
        oldest_job_too_old(q),
        scheduler_down(q),
        scheduled_overdue(q),
        jobs_blocked(q),
        workers_restarting(q),
        workers_idle(q),
        rate_limit_starves(q),
    )


def stalled(q: PromQL) -> Alert:
    """Jobs wait, RQ workers exist, nothing is taken from the queue and nothing ends.

    RQ workers that are all busy with executions of a usual length are no reason: that is a backlog.
    """
    window = q.config.stalled_window
    ended = names.increase("queue", contract.JOB_EXECUTIONS, window)
    return Alert(
        "QueueStalled",
        f"{names.waiting(window)} > 0\nand {names.RQ_WORKERS} > 0\n"
        f"unless {names.taken(window)} > 0\nunless {ended} > 0\n"
        f"unless ({names.RQ_WORKERS_FREE} == 0 unless on ({q.by()}) {names.RUNNING_TOO_LONG})",
        "page",
        "Jobs wait on a queue, RQ workers listen, and nothing is done.",
        f"At least {{{{ $value }}}} job(s) have been waiting on queue {{{{ $labels.queue }}}} for {spoken(window)}. "
        "RQ workers listen on it, but no job was taken from it and no execution ended.",
        Board.QUEUES,
        variables=("queue",),
    )


def without_workers(q: PromQL) -> Alert:
    """Jobs wait on a queue that no RQ worker listens on."""
    by = q.by("queue")
    waiting = f"max by ({by}) ({q.raw(contract.QUEUE_JOBS, _QUEUED)}) > 0"
    workers = f"sum by ({by}) ({q.of(contract.RQ_WORKERS)}) > 0"
    return Alert(
        "QueueWithoutWorkers",
        f"({waiting})\nunless on ({by}) ({workers})",
        "page",
        "Jobs wait on a queue that no RQ worker listens on.",
        "{{ $value }} job(s) wait on queue {{ $labels.queue }}, and no RQ worker listens on it.",
        Board.QUEUES,
        q.config.no_workers_hold,
        ("queue",),
    )


def oldest_job_too_old(q: PromQL) -> Alert:
    """The job at the head of a queue has waited too long."""
    oldest = f"min by ({q.by('queue')}) ({q.raw(contract.QUEUE_OLDEST_JOB)})"
    return Alert(
        "QueueOldestJobTooOld",
        f"time() - {oldest} > {seconds(q.config.oldest_job_age)}",
        "ticket",
        "Jobs wait too long on a queue.",
        "The job at the head of queue {{ $labels.queue }} has waited for {{ $value | humanizeDuration }}; "
        f"{spoken(q.config.oldest_job_age)} are allowed.",
        Board.QUEUES,
        q.config.oldest_job_hold,
        ("queue",),
    )


def scheduler_down(q: PromQL) -> Alert:
    """Jobs are scheduled, or wait for a retry, and no scheduler runs."""
    by = q.by("queue")
    scheduled = f"max by ({by}) ({q.raw(contract.QUEUE_JOBS, _SCHEDULED)}) > 0"
    return Alert(
        "QueueSchedulerDown",
        f"({scheduled})\nand on ({by}) (max by ({by}) ({q.raw(contract.SCHEDULER_UP)}) == 0)",
        "page",
        "Scheduled jobs have no scheduler.",
        "{{ $value }} scheduled job(s) of queue {{ $labels.queue }} have no RQ scheduler that would start them; "
        "delayed retries are among them.",
        Board.QUEUES,
        q.config.scheduler_hold,
        ("queue",),
    )


def scheduled_overdue(q: PromQL) -> Alert:
    """A scheduler holds the lock and does not move what is due."""
    by = q.by("queue")
    overdue = f"max by ({by}) ({q.raw(contract.QUEUE_OVERDUE_SCHEDULED)}) > 0"
    return Alert(
        "QueueScheduledOverdue",
        f"({overdue})\nand on ({by}) (max by ({by}) ({q.raw(contract.SCHEDULER_UP)}) == 1)",
        "ticket",
        "Scheduled jobs are overdue, although a scheduler runs.",
        "{{ $value }} scheduled job(s) of queue {{ $labels.queue }} are overdue: their time has come, and nothing "
        "moved them to the queue.",
        Board.QUEUES,
        q.config.overdue_hold,
        ("queue",),
    )


def jobs_blocked(q: PromQL) -> Alert:
    """Deferred jobs wait for a job that will never complete."""
    return Alert(
        "QueueJobsBlocked",
        f"max by ({q.by('queue')}) ({q.raw(contract.QUEUE_BLOCKED_JOBS)}) > 0",
        "ticket",
        "Deferred jobs wait for a job that will never complete.",
        "{{ $value }} deferred job(s) of queue {{ $labels.queue }} depend on a job that was cancelled, failed for good "
        "or is gone: nothing lets them run.",
        Board.QUEUES,
        q.config.blocked_hold,
        ("queue",),
    )


def workers_restarting(q: PromQL) -> Alert:
    """RQ workers are born all the time, and were not at the same hours before: they crash and are restarted."""
    window = q.config.births_window
    births = names.births(window)
    before = "\n".join(f"unless {births} offset {then} >= 2" for then in q.config.baselines)
    return Alert(
        "QueueWorkersRestarting",
        f"{births} >= 2\n{before}",
        "ticket",
        "RQ workers of a queue are restarted again and again.",
        f"For {spoken(window)}, at least {{{{ $value }}}} RQ workers of queue {{{{ $labels.queue }}}} were born in "
        "each fifth of that time: they end soon after their start.",
        Board.QUEUES,
        variables=("queue",),
    )


def workers_idle(q: PromQL) -> Alert:
    """RQ workers wait for jobs beside a queue on which jobs wait, and others work.

    A healthy one takes a job that waits within milliseconds. Where nobody works, the queue is stalled.
    """
    config, by = q.config, q.by("queue")
    age = seconds(config.idle_age)
    idle = f"time() - min by ({by}) ({q.raw(contract.RQ_WORKER_LONGEST_IDLE)})"
    oldest = f"time() - min by ({by}) ({q.raw(contract.QUEUE_OLDEST_JOB)})"
    taken = f"max by ({by}) (changes({q.raw(contract.QUEUE_OLDEST_JOB)}[{config.idle_hold}]))"
    busy = f"sum by ({by}) ({q.of(contract.RQ_WORKERS, _BUSY)})"
    return Alert(
        "QueueWorkersIdle",
        f"{idle} > {age}\nand on ({by}) ({oldest} > {age})\nand on ({by}) ({taken} > 0\n  or {busy} > 0)",
        "ticket",
        "RQ workers idle beside a queue on which jobs wait.",
        "An RQ worker that listens on queue {{ $labels.queue }} has taken nothing for {{ $value | humanizeDuration }}, "
        f"although jobs have been waiting there for {spoken(config.idle_age)} and others are served.",
        Board.QUEUES,
        config.idle_hold,
        ("queue",),
    )


def rate_limit_starves(q: PromQL) -> Alert:
    """A rate limit of RQ's holds a job back for too long."""
    config = q.config
    held = f"min by ({q.by('rate_limit')}) ({q.raw(contract.RATE_LIMIT_OLDEST_JOB)})"
    return Alert(
        "QueueRateLimitStarves",
        f"time() - {held} > {seconds(config.held_age)}",
        "ticket",
        "A rate limit holds jobs back for too long.",
        "RQ's rate limit {{ $labels.rate_limit }} has held a job back for {{ $value | humanizeDuration }}; "
        f"{spoken(config.held_age)} are allowed.",
        Board.QUEUES,
        config.held_hold,
    )
