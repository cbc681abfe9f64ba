"""Queues, RQ workers, the scheduler."""

from __future__ import annotations

from jobtelemetry import contract
from mixin.cases.jobs import durations, running
from mixin.series import Case, Series, alive, executions, firing, flat, name, queue, values


def scheduled(jobs: float, *, up: float, overdue: str = "0+0x600") -> Series:
    """A queue with scheduled jobs."""
    return {
        name(contract.QUEUE_JOBS.name, queue="q", status="scheduled"): flat(jobs),
        name(contract.SCHEDULER_UP.name, queue="q"): flat(up),
        name(contract.QUEUE_OVERDUE_SCHEDULED.name, queue="q"): overdue,
    }


def idle_beside(
    since: str, *, oldest: str, busy: float = 1, queued: float = 40, idle: float = 1, done: str = "0+2x90"
) -> Series:
    """A queue on which jobs wait, RQ workers that work, and one that has been idle."""
    return (
        alive()
        | executions(completed=done)
        | queue(flat(queued), busy=busy, idle=idle, oldest=oldest)
        | {name(contract.RQ_WORKER_LONGEST_IDLE.name, queue="q"): since}
    )


def held(oldest: str, jobs: float = 9) -> Series:
    """A rate limit of RQ's that holds jobs back."""
    return alive() | {
        name(contract.RATE_LIMIT_JOBS.name, rate_limit="api", status="held"): flat(jobs),
        name(contract.RATE_LIMIT_JOBS.name, rate_limit="api", status="allowed"): flat(2),
        name(contract.RATE_LIMIT_OLDEST_JOB.name, rate_limit="api"): oldest,
    }


BLOCKED, RESTARTING = "QueueJobsBlocked", "QueueWorkersRestarting"
IDLE, STARVES = "QueueWorkersIdle", "QueueRateLimitStarves"
_STALLED = firing("QueueStalled", "page", queue="q")

CASES = (
    Case(
        "QueueStalled",
        "jobs that nobody takes from a queue although RQ workers are idle page",
        alive() | executions(completed=flat(9)) | queue(flat(5), idle=2, oldest=flat(0)),
        "12m",
        (_STALLED,),
    ),
    Case(
        "QueueStalled",
        "a hung job on the only RQ worker pages for the jobs behind it",
        alive() | executions() | durations("1.0") | running(flat(0)) | queue(flat(5), busy=1, oldest=flat(0)),
        "13m",
        (_STALLED, firing("JobRunningTooLong", worker="w", queue="q")),
    ),
    Case(
        "QueueStalled",
        "a backlog behind RQ workers that are busy for their usual time is not stalled",
        alive() | executions() | durations("600.0") | running(flat(0)) | queue(flat(5), busy=1, oldest=flat(0)),
        "12m",
    ),
    Case(
        "QueueStalled",
        "a queue whose head moves is not stalled, even if nothing that runs is recorded",
        alive() | executions() | queue(flat(5), idle=2, oldest="0+60x60"),
        "14m",
    ),
    Case(
        "QueueStalled",
        "an empty queue is not stalled",
        alive() | executions(completed=flat(9)) | queue(flat(0), idle=2),
        "60m",
    ),
    Case(
        "QueueStalled",
        "an exporter that has just restarted says nothing about the last ten minutes",
        alive(away=(0, 20))
        | executions(completed=values([None] * 20 + [9] * 60))
        | queue(values([None] * 20 + [5] * 60), idle=2, oldest=values([None] * 20 + [1200] * 60)),
        "24m",
    ),
    Case(
        "QueueStalled",
        "a queue that empties within the window is not stalled, though jobs wait again and again",
        alive() | executions() | queue("5+0x4 0+0x0 5+0x60", idle=2, oldest="0+0x4 _ 300+0x60"),
        "13m",
    ),
    Case(
        "QueueStalled",
        "the first job after a night without traffic is not stalled",
        alive() | executions(completed=flat(9)) | queue("0+0x60 1+0x60", idle=2, oldest="_x61 3600+0x60"),
        "63m",
    ),
    Case(
        "QueueWithoutWorkers",
        "jobs on a queue that no RQ worker listens on page",
        alive() | queue(flat(5), oldest=flat(0)),
        "5m",
        (firing("QueueWithoutWorkers", "page", queue="q"),),
    ),
    Case(
        "QueueWithoutWorkers",
        "a pool that restarts within the hold raises nothing",
        alive() | queue("0+0x5 4+0x1 0+0x60"),
        "8m",
    ),
    Case(
        "QueueWithoutWorkers",
        "an exporter that restarts says nothing about the time before",
        alive(away=(20, 26)) | queue(values([5] * 1 + [0] * 19 + [None] * 6 + [5] * 60)),
        "28m",
    ),
    Case("QueueWithoutWorkers", "an empty queue needs no RQ worker", alive() | queue(flat(0)), "60m"),
    Case(
        "QueueOldestJobTooOld",
        "a backlog whose oldest job has waited too long is a ticket",
        alive() | executions(completed="0+1x60") | queue(flat(900), busy=2, oldest="-1200+60x60"),
        "10m",
        (firing("QueueOldestJobTooOld", queue="q"),),
    ),
    Case(
        "QueueOldestJobTooOld",
        "a long queue that moves fast enough raises nothing",
        alive() | executions(completed="0+90x60") | queue(flat(900), busy=2, oldest="-300+60x60"),
        "30m",
    ),
    Case(
        "QueueOldestJobTooOld",
        "a job that waits a little less than is allowed raises nothing",
        alive() | executions(completed="0+1x60") | queue(flat(9), busy=2, oldest="-880+60x60"),
        "30m",
    ),
    Case(
        "QueueOldestJobTooOld",
        "an empty queue has no oldest job, however long the night",
        alive() | executions(completed=flat(9)) | queue(flat(0, 900), idle=2, oldest="0 stale"),
        "5h",
    ),
    Case(
        "QueueSchedulerDown",
        "scheduled jobs without a scheduler page",
        alive() | scheduled(3, up=0),
        "7m",
        (firing("QueueSchedulerDown", "page", queue="q"),),
    ),
    Case(
        "QueueSchedulerDown", "a queue without scheduled jobs needs no scheduler", alive() | scheduled(0, up=0), "60m"
    ),
    Case(
        "QueueSchedulerDown",
        "a scheduler that is replaced within the hold raises nothing",
        alive() | scheduled(3, up=1) | {name(contract.SCHEDULER_UP.name, queue="q"): "1+0x5 0+0x1 1+0x60"},
        "9m",
    ),
    Case("QueueSchedulerDown", "scheduled jobs with a scheduler raise nothing", alive() | scheduled(3, up=1), "60m"),
    Case(
        "QueueScheduledOverdue",
        "overdue jobs although a scheduler holds the lock are a ticket",
        alive() | scheduled(3, up=1, overdue=flat(2)),
        "7m",
        (firing("QueueScheduledOverdue", queue="q"),),
    ),
    Case(
        "QueueScheduledOverdue",
        "a job that is overdue for a moment raises nothing",
        alive() | scheduled(3, up=1, overdue="0+0x3 1+0x1 0+0x3 2+0x0 0+0x60"),
        "9m",
    ),
    Case(
        "QueueScheduledOverdue",
        "overdue jobs without a scheduler are the scheduler's alert alone",
        alive() | scheduled(3, up=0, overdue=flat(2)),
        "9m",
        (firing("QueueSchedulerDown", "page", queue="q"),),
    ),
    Case(
        BLOCKED,
        "deferred jobs that wait for a cancelled one are a ticket",
        alive() | {name(contract.QUEUE_BLOCKED_JOBS.name, queue="q"): "0+0x20 3+0x60"},
        "40m",
        (firing(BLOCKED, queue="q"),),
    ),
    Case(
        BLOCKED,
        "deferred jobs that somebody lets run within minutes raise nothing",
        alive() | {name(contract.QUEUE_BLOCKED_JOBS.name, queue="q"): "0+0x20 3+0x8 0+0x60"},
        "40m",
        also=("30m",),
    ),
    Case(
        BLOCKED,
        "no deferred job raises nothing",
        alive() | {name(contract.QUEUE_BLOCKED_JOBS.name, queue="q"): flat(0)},
        "40m",
    ),
    Case(
        RESTARTING,
        "RQ workers that are born every minute are a ticket",
        alive() | {name(contract.RQ_WORKER_NEWEST_BIRTH.name, queue="q"): "0+0x30 1800+60x90"},
        "62m",
        (firing(RESTARTING, queue="q"),),
    ),
    Case(
        RESTARTING,
        "a rolling deploy of a large pool raises nothing",
        alive() | {name(contract.RQ_WORKER_NEWEST_BIRTH.name, queue="q"): "0+0x30 1800+60x12 2520+0x90"},
        "44m",
        also=("40m", "55m", "60m"),
    ),
    Case(
        RESTARTING,
        "RQ workers that are born every minute at these hours of every day raise nothing",
        alive() | {name(contract.RQ_WORKER_NEWEST_BIRTH.name, queue="q"): "0+60x200"},
        "150m",
        settings=("baselines=1h",),
    ),
    Case(
        IDLE,
        "an RQ worker that takes nothing while others work off a queue is a ticket within minutes",
        idle_beside("_x20 1200+0x60", oldest="-300+60x90"),
        "26m",
        (firing(IDLE, queue="q"),),
    ),
    Case(
        IDLE,
        "the same where what the others run is not recorded",
        idle_beside("1200+0x60", oldest="-300+60x90", busy=0, idle=2, done=flat(0)),
        "26m",
        (firing(IDLE, queue="q"),),
    ),
    Case(
        IDLE,
        "where nobody works, the queue is stalled, and that is the only alert",
        alive()
        | executions(completed="0+9x20 180+0x90")
        | queue("0+0x20 5+0x90", idle=2, oldest="_x21 1200+0x90")
        | {name(contract.RQ_WORKER_LONGEST_IDLE.name, queue="q"): "0+60x20 1200+0x90"},
        "36m",
        (_STALLED,),
    ),
    Case(
        IDLE,
        "where all stop at once, nothing fires until it is known that the queue is stalled",
        alive()
        | executions(completed="0+9x20 180+0x90")
        | queue("0+0x20 5+0x90", idle=2, oldest="_x21 1200+0x90")
        | {name(contract.RQ_WORKER_LONGEST_IDLE.name, queue="q"): "0+60x20 1200+0x90"},
        "28m",
        also=("24m", "26m"),
    ),
    Case(
        IDLE,
        "a pool that idles beside an empty queue raises nothing, however long the night",
        idle_beside(flat(0), oldest="0 stale", queued=0, busy=0, done=flat(9)),
        "3h",
    ),
    Case(
        IDLE,
        "a pool that is busy behind a backlog, each a moment idle between two jobs, raises nothing",
        idle_beside("0+60x90", oldest="-600+60x90"),
        "40m",
        also=("20m", "60m"),
    ),
    Case(
        IDLE,
        "an RQ worker that idled for long and takes the burst that comes raises nothing",
        idle_beside("0+0x30 1800+60x60", oldest="_x30 1800+60x60"),
        "33m",
        also=("31m", "45m"),
    ),
    Case(
        STARVES,
        "a rate limit that has held a job back for too long is a ticket",
        held("_x10 600+0x90"),
        "33m",
        (firing(STARVES, rate_limit="api"),),
    ),
    Case(
        STARVES,
        "a rate limit that lets one job go after the other raises nothing, however many it holds",
        held("-720+60x120", jobs=5000),
        "90m",
        also=("40m",),
    ),
    Case(
        STARVES,
        "one that holds a job for a little longer than is allowed, and then lets it go, raises nothing",
        held("0+0x17 1080+60x60"),
        "19m",
        also=("21m", "40m"),
    ),
    Case(STARVES, "a rate limit that holds nothing raises nothing", held("0 stale", jobs=0), "2h"),
)
