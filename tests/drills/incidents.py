"""The incidents: each causes one thing, waits for its alerts, mends it, and waits until they are gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from rq import Queue, RateLimit, Retry
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import StartedJobRegistry

from drills.site import Site
from jobtelemetry.store.clocks import CLOCK_MEMORY
from jobtelemetry.store.keys import Keys
from support.waiting import eventually

_PATIENCE = 120.0


@dataclass(frozen=True)
class Drill:
    """One incident.

    Args:
        name: Of the test.
        alerts: Exactly those that must reach the Alertmanager, from the beginning to the end.
        cause: Makes the healthy site ill.
        mend: Makes it healthy again.
        prepare: What comes before, in a healthy site.
        settings: Of the mixin, besides those of every drill.
        followed_by: Alerts that are as true where the machine takes long to mend it; minutes, as the rules are shipped.
    """

    name: str
    alerts: frozenset[str]
    cause: Callable[[Site], None]
    mend: Callable[[Site], None]
    prepare: Callable[[Site], None]
    settings: tuple[str, ...] = ()
    followed_by: frozenset[str] = frozenset()

    def run(self, site: Site) -> None:
        """Prepare, cause, wait for the alerts, mend, wait for the end of them."""
        self.prepare(site)
        assert site.active() == set(), f"alerts before the incident: {sorted(site.seen)}"
        self.cause(site)
        if self.alerts:
            eventually(
                lambda: site.active() >= self.alerts, f"{sorted(self.alerts)}, seen {sorted(site.seen)}", _PATIENCE
            )
        self.mend(site)
        eventually(lambda: site.active() == set(), "an end of all alerts", _PATIENCE)
        seen = site.seen - self.followed_by
        assert seen == self.alerts, f"expected {sorted(self.alerts)}, seen {sorted(site.seen)}"
        if not self.alerts:
            assert site.fired() == set(), "a healthy site raises nothing, however short"


def two_workers(site: Site) -> None:
    """Two RQ workers, and enough ordinary jobs that a ratio means something."""
    site.start_worker()
    site.start_worker()
    eventually(
        lambda: site.redis.scard(Keys("rq").rq_workers) == 2, "two RQ workers", 60
    )  # jobs must not wait for them
    site.run("show", 25, lambda: site.ended("show") >= 25)


def nothing(site: Site) -> None:
    """Nothing to do."""


def ordinary(site: Site) -> None:
    """Ordinary work."""
    site.run("show", 130, lambda: site.query("max(jobtelemetry_up offset 45s)") == 1)


def only_cancelling(site: Site) -> None:
    """A worker that does nothing but cancel."""
    two_workers(site)
    site.run("filter_out", 25, lambda: site.ended("filter_out") >= 25)


def storm(site: Site) -> None:
    """Far more of the same."""
    site.run("filter_out", 150, lambda: site.ended("filter_out") >= 150, at_once=10)


def bad_deploy(site: Site) -> None:
    """Every execution of one class fails."""
    site.set("show", "bad")
    site.run("show", 1, site.active)


def good_deploy(site: Site) -> None:
    """The class is mended, and works again."""
    site.set("show", "")
    site.run("show", 1, lambda: not site.active())


def kill_workers(site: Site) -> None:
    """The machine of the pool is gone; jobs go on to come."""
    for worker in site.workers:
        worker.kill()
    eventually(lambda: site.redis.info("clients")["blocked_clients"] == 0, "the end of their connections")
    site.enqueue("show", *range(5))


def stop_workers(site: Site) -> None:
    """The pool is scaled to nothing; jobs go on to come."""
    for worker in site.workers:
        worker.terminate()
    site.enqueue("show", *range(5))


def new_worker(site: Site) -> None:
    """Another RQ worker."""
    site.start_worker()


def killed_horses(site: Site) -> None:
    """The work-horse is killed at the first attempt; the second one completes."""
    site.enqueue("grow", 1, 2, retry=Retry(2))


def little_memory(site: Site) -> None:
    """RQ workers that have little memory, and jobs that know it."""
    for _ in range(2):
        site.start_worker(JOBTELEMETRY_MEMORY_LIMIT="150000000")
    known = "min(jobtelemetry_job_memory_limit_bytes)"
    eventually(lambda: site.query(known) > 0, "the limit that they know", _PATIENCE)
    site.run("show", 25, lambda: site.ended("show") >= 25)
    site.run("hold", 5, lambda: site.ended("hold") >= 5)


def nearly_all_memory(site: Site) -> None:
    """A job takes nearly all of it."""
    site.set("hold", "much")
    site.enqueue("hold", 1)


def fast_feeds(site: Site) -> None:
    """A worker whose executions are known to be short."""
    two_workers(site)
    known = 'max(worker_queue:jobtelemetry_job_duration_seconds:p99_2m{worker="drill_jobs.feed"}) < 5'
    site.run("feed", 10, lambda: site.query(known) >= 0)


def hang(site: Site) -> None:
    """One execution never ends."""
    site.set("feed", "hung")
    site.enqueue("feed", 0)


def stop_hung(site: Site) -> None:
    """An operator stops it."""
    site.set("feed", "")
    for job_id in StartedJobRegistry("default", connection=site.redis).get_job_ids():
        send_stop_job_command(site.redis, job_id)


def with_scheduler(site: Site) -> None:
    """The only RQ worker runs the scheduler, too."""
    site.start_worker("--with-scheduler")
    site.run("show", 5, lambda: site.query("max(jobtelemetry_scheduler_up)") == 1)


def scheduler_gone(site: Site) -> None:
    """A deploy forgets --with-scheduler, and scheduled jobs become due."""
    site.workers.pop().terminate()
    site.start_worker()
    queue = Queue("default", connection=site.redis)
    for _ in range(3):
        queue.enqueue_in(timedelta(seconds=2), "drill_jobs.show", 1)


def scheduler_back(site: Site) -> None:
    """The next deploy has it."""
    site.start_worker("--with-scheduler")


def plain_worker(site: Site) -> None:
    """Somebody starts RQ's own worker command, and it runs jobs."""
    for worker in site.workers:
        worker.terminate()
    site.start_worker(instrumented=False)
    site.enqueue("show", *range(5))


def restart_instrumented(site: Site) -> None:
    """It is restarted with ours."""
    site.workers.pop().terminate()
    site.start_worker()


def kill_exporter(site: Site) -> None:
    """The exporter is gone."""
    site.exporter.kill()


def kill_redis(site: Site) -> None:
    """The server is gone."""
    site.server.kill()


def restart_redis(site: Site) -> None:
    """It comes back with all it had."""
    site.server.restart()


def steady_matches(site: Site) -> None:
    """A worker that finds three of four, for longer than the baseline is away."""
    two_workers(site)
    known = 'count(worker:jobtelemetry_job_match:ratio15s{worker="drill_jobs.match"} offset 20s)'
    site.run("match", 60, lambda: site.query(known) >= 1)


def collapse(site: Site) -> None:
    """Nothing is found any more."""
    site.set("match", "collapsed")
    site.run("match", 1, site.active)


def matches_again(site: Site) -> None:
    """Everything is found again."""
    site.set("match", "")
    site.run("match", 1, lambda: not site.active())


def poison(site: Site) -> None:
    """One job fails at every attempt, until its retries are used up."""
    site.enqueue("poison", 1, retry=Retry(3))


def backlog(site: Site) -> None:
    """More jobs come than two RQ workers can run in time."""
    site.enqueue("slow", *range(110))


def more_workers(site: Site) -> None:
    """Two more help."""
    site.start_worker()
    site.start_worker()


def impatient_worker(site: Site) -> None:
    """Beside the pool, an RQ worker that RQ gives up soon after its last heartbeat."""
    two_workers(site)
    site.start_worker("--worker-class", "drill_workers.ImpatientWorker", queue="imports")


def machine_lost(site: Site) -> None:
    """An RQ worker and its work-horse are gone in the middle of an execution."""
    site.set("feed", "hung")
    site.enqueue("feed", 1, queue="imports", retry=Retry(1))
    eventually(lambda: site.query('max(jobtelemetry_executions_running{queue="imports"})') == 1, "its start", 60)
    site.workers.pop().kill()


def machine_back(site: Site) -> None:
    """Another one cleans up after it as RQ does, and the job's second attempt completes."""
    site.set("feed", "")
    site.start_worker(queue="imports")
    eventually(lambda: site.ended("feed") == 2, "the second attempt", 60)


def rate_limited(site: Site) -> None:
    """The other side turns everything away; the jobs are tried again and again."""
    site.set("ask", "limited")
    site.enqueue("ask", *range(4), retry=Retry(1000))


def within_the_limit(site: Site) -> None:
    """It answers again, and the jobs complete."""
    site.set("ask", "")
    eventually(site.at_rest, "the end of the jobs", 60)


def long_known_reason(site: Site) -> None:
    """A worker that has cancelled for one reason for longer than a reason is new."""
    two_workers(site)
    known = 'sum(jobtelemetry_job_executions_total{worker="drill_jobs.filter_out"} offset 20s)'
    site.run("filter_out", 25, lambda: site.query(known) >= 10)


def another_reason(site: Site) -> None:
    """A deploy brings a new rule."""
    site.set("filter_out", "cinema_closed")
    site.run("filter_out", 1)


def periodic(site: Site) -> None:
    """A worker that completes again and again, for longer than it takes to be known as periodic."""
    two_workers(site)
    known = 'max(jobtelemetry_job_last_completed_timestamp_seconds{worker="drill_jobs.feed"} offset 40s)'
    site.run("feed", 10, lambda: site.query(known) > 0)


def run_once_more(site: Site) -> None:
    """Somebody starts it by hand."""
    site.run("feed", 1)


def scheduler(site: Site) -> int:
    """The scheduler's process: the one child that the RQ worker has when its work-horse is gone."""
    worker = site.workers[0]
    eventually(lambda: len(worker.children) == 1, "the scheduler alone")
    return worker.children[0]


def scheduler_hangs(site: Site) -> None:
    """The scheduler's process stands still, and scheduled jobs become due."""
    os.kill(scheduler(site), signal.SIGSTOP)
    queue = Queue("default", connection=site.redis)
    for _ in range(3):
        queue.enqueue_in(timedelta(seconds=1), "drill_jobs.show", 1)


def scheduler_goes_on(site: Site) -> None:
    """It comes to life again."""
    os.kill(scheduler(site), signal.SIGCONT)


def log_forbidden(site: Site) -> None:
    """Somebody narrows the permissions of the workers' Redis user, and forgets the execution log."""
    site.redis.acl_setuser("default", enabled=True, commands=["-xadd"], selectors=[("+xadd", "~rq:results:*")])
    site.run("show", 1, site.active)


def log_allowed(site: Site) -> None:
    """The permission is given back."""
    site.redis.acl_setuser("default", enabled=True, commands=["+xadd"])


def little_room(site: Site) -> None:
    """RQ workers that have room for five label sets in a family."""
    site.start_worker(JOBTELEMETRY_MAX_LABEL_SETS="5")
    site.run("show", 25, lambda: site.ended("show") >= 25)


def ids_as_reasons(site: Site) -> None:
    """A deploy puts ids into a label."""
    site.enqueue("cancel_with_id", *range(8))


def every_first_attempt_fails(site: Site) -> None:
    """A lock that two jobs want: the first attempt fails, the second one completes."""
    site.enqueue("flaky", *range(60), retry=Retry(1))


def known_run_time(site: Site) -> None:
    """A worker that has run for long enough that its run time is known."""
    two_workers(site)
    known = 'count(worker:jobtelemetry_job_duration_seconds:mean_before_10s{worker="drill_jobs.think"})'
    site.run("think", 60, lambda: site.query(known) >= 1)


def slower_deploy(site: Site) -> None:
    """A deploy makes the job slow; nothing fails."""
    site.set("think", "slow")
    site.run("think", 1, site.active)


def fast_again(site: Site) -> None:
    """It is rolled back."""
    site.set("think", "")
    site.run("think", 1, lambda: not site.active())


def known_rate(site: Site) -> None:
    """A producer that has worked at a steady rate for long enough that the rate is known."""
    two_workers(site)
    known = 'count(worker:jobtelemetry_jobs_enqueued:most30s{worker="drill_jobs.show"})'
    site.run("show", 60, lambda: site.query(known) >= 1)


def flood(site: Site) -> None:
    """A loop in the producer enqueues as fast as it can."""
    site.enqueue("show", *range(400))


def late_jobs(site: Site) -> None:
    """A burst of jobs of which most wait for seconds."""
    site.enqueue("slow", *range(45))


def growing_queue(site: Site) -> None:
    """More jobs come than two RQ workers can run for a while."""
    site.enqueue("slow", *range(60))


def evict_label_set(site: Site) -> None:
    """Redis throws away what was counted for one worker, as it does when it is full and may."""
    keys = Keys("rq")
    (labels,) = site.redis.zrange(keys.sets, 0, -1)
    assert site.redis.delete(keys.label_set(labels.decode())) == 1
    site.run("show", 5)


def empty_redis(site: Site) -> None:
    """Somebody empties Redis under live RQ workers, which go on."""
    site.redis.flushall()
    site.run("show", 5)


def replace_workers(site: Site) -> None:
    """RQ's own record of them is gone, too: they are replaced."""
    for worker in tuple(site.workers):
        site.start_worker()
        worker.terminate()


def exporter_that_only_shows(site: Site) -> None:
    """The only exporter has no reconciler, so nothing is repaired."""
    two_workers(site)
    site.replace_exporter(reconcile_interval="0")
    eventually(lambda: site.query("count(jobtelemetry_reconciler_up)") == -1, "an exporter without a reconciler")


def delete_accounts(site: Site) -> None:
    """Somebody deletes a key that nobody seems to need."""
    assert site.redis.delete(Keys("rq").accounts) == 1


def exporter_that_may_only_read(site: Site) -> None:
    """The exporter is given a user without the right to write."""
    commands = ["+@read", "+@connection", "+@transaction", "+info", "+time"]
    site.redis.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=commands)
    site.replace_exporter(user="reader:secret")


def exporter_with_all_rights(site: Site) -> None:
    """The exporter is what it was."""
    site.replace_exporter()


def write_foreign_value(site: Site) -> None:
    """Another program takes a key of ours for its own."""
    site.redis.hset(Keys("rq").running, "session:1", "3")


def delete_foreign_value(site: Site) -> None:
    """It has a database of its own now."""
    site.redis.hdel(Keys("rq").running, "session:1")


def wrong_clock(site: Site) -> None:
    """A host that enqueues is three minutes ahead, and nobody is instrumented there."""
    site.run_module("drill_producer")


def clock_behind(site: Site) -> None:
    """A host that enqueues is three minutes behind."""
    site.run_module("drill_producer", "-180", "instrumented")


def an_hour_later(site: Site) -> None:
    """Its clock was set right, and the hour passes for which that is told: what was noted is as old as then."""
    keys = Keys("rq")
    for field, value in site.redis.hgetall(keys.meta).items():
        if field.startswith(b"clock|"):
            ahead, at = value.split()
            site.redis.hset(keys.meta, field, b"%s %d" % (ahead, int(at) - int(CLOCK_MEMORY) - 2))


def worker_with_a_wrong_clock(site: Site) -> None:
    """The clock of a host that runs RQ workers is four minutes behind."""
    site.start_worker_behind(240)
    site.run("show", 5)


def stop_that_worker(site: Site) -> None:
    """That host is taken out."""
    site.workers.pop().terminate()


def deaf_worker(site: Site) -> None:
    """The connection of an RQ worker that waits is lost and it does not notice, while many jobs come."""
    victim = site.workers.pop()
    os.kill(victim.pid, signal.SIGSTOP)
    pid = str(victim.pid)
    (key,) = [key for key in site.redis.smembers("rq:workers") if site.redis.hget(key, "pid").decode() == pid]
    for client in site.redis.client_list():
        if client["cmd"] in ("blmove", "blpop") and client["name"] == key.decode().removeprefix("rq:worker:"):
            site.redis.client_kill_filter(_id=client["id"])
    site.stopped = victim
    site.enqueue("slow", *range(40))


def without_it(site: Site) -> None:
    """It is killed, and RQ forgets it."""
    site.stopped.kill()
    for key in site.redis.smembers("rq:workers"):
        if site.redis.hget(key, "pid").decode() == str(site.stopped.pid):
            site.redis.delete(key)
    eventually(site.at_rest, "the end of the jobs", 120)


def starving_limit(site: Site) -> None:
    """A job hangs in the only slot of a rate limit, and others wait for it."""
    site.set("feed", "hung")
    queue, limit = Queue("default", connection=site.redis), RateLimit("api", 1)
    queue.enqueue("drill_jobs.feed", 0, rate_limit=limit)
    for number in range(3):
        queue.enqueue("drill_jobs.show", number, rate_limit=limit)


def limit_let_go(site: Site) -> None:
    """It ends."""
    site.set("feed", "")
    eventually(site.at_rest, "the end of the jobs", 60)


def cancel_dependency(site: Site) -> None:
    """A job that another one waits for cancels itself."""
    queue = Queue("default", connection=site.redis)
    parent = queue.enqueue("drill_jobs.filter_out", 1)
    queue.enqueue("drill_jobs.show", 1, depends_on=parent, job_id="waiting")


def delete_dependent(site: Site) -> None:
    """Nobody wants the other one any more."""
    Job.fetch("waiting", connection=site.redis).delete()


def known_births(site: Site) -> None:
    """A pool that has stood for longer than the window of births."""
    two_workers(site)
    known = 'count(jobtelemetry_rq_worker_newest_birth_timestamp_seconds{queue="default"} offset 50s)'
    eventually(lambda: site.query(known) >= 1, "RQ workers of known age", _PATIENCE)


def crash_loop(site: Site) -> None:
    """Beside them one that ends soon after its start and is started anew, again and again."""
    born = "max(jobtelemetry_rq_worker_newest_birth_timestamp_seconds)"

    def crash() -> bool:
        before = site.query(born)
        worker = site.start_worker()
        eventually(lambda: site.query(born) > before, "its birth", 60)
        worker.terminate()
        return "QueueWorkersRestarting" in site.active()

    eventually(crash, "QueueWorkersRestarting", _PATIENCE * 2)


def rolling_deploy(site: Site) -> None:
    """Every RQ worker is replaced, one after the other, while jobs run."""
    site.enqueue("slow", *range(20))
    for worker in tuple(site.workers):
        site.start_worker()
        worker.terminate()
    site.run("show", 60, for_long(site))


def redis_restarts(site: Site) -> None:
    """Redis is restarted between two jobs; RQ itself gives up a worker that is busy then."""
    site.server.restart()
    site.run("show", 60, for_long(site))


def exporter_restarts(site: Site) -> None:
    """The exporter is replaced while jobs run."""
    site.enqueue("slow", *range(6))
    site.exporter.kill()
    site.start_exporter()
    site.run("show", 60, for_long(site))


def quiet_night(site: Site) -> None:
    """The evening's jobs end, nothing happens for longer than any window, and the morning's jobs come."""
    asleep = 'min(time() - jobtelemetry_job_last_completed_timestamp_seconds{worker="drill_jobs.show"})'
    eventually(lambda: site.query(asleep) > 45 or site.active(), "the night", _PATIENCE)
    site.run("show", 50, lambda: site.ended("show") >= 50)


def new_class(site: Site) -> None:
    """The first jobs of classes that nobody knew complete, one at its second attempt, or cancel."""
    site.enqueue("feed", 1)
    site.enqueue("filter_out", 1)
    site.enqueue("flaky", 1, retry=Retry(1))
    site.run("show", 60, for_long(site))


def for_long(site: Site) -> Callable[[], bool]:
    """A condition that comes true when every window of the drills has passed."""
    begin = site.now()
    return lambda: site.now() - begin > 40


def drill(
    name: str,
    *alerts: str,
    cause: Callable[[Site], None],
    mend: Callable[[Site], None] = nothing,
    prepare: Callable[[Site], None] = two_workers,
    settings: tuple[str, ...] = (),
    followed_by: str = "",
) -> Drill:
    """A drill."""
    return Drill(name, frozenset(alerts), cause, mend, prepare, settings, frozenset(followed_by.split()))


#: A day of the periodic alert is nine seconds, and a week has four of them.
_PERIODIC = ("periodic_window=36s", "periodic_offset=9s", "periodic_min_age=5s")


#: The job that hangs in the slot runs for minutes elsewhere, too.
_HELD = ("held_age=5s", "held_hold=2s", "running_min_age=5m")


DRILLS = (
    drill("healthy run", cause=ordinary),
    drill("rolling deploy", cause=rolling_deploy),
    drill("Redis restarted", cause=redis_restarts),
    drill("exporter restarted", cause=exporter_restarts),
    drill("quiet night", cause=quiet_night, settings=_PERIODIC),
    drill("first jobs of new classes", cause=new_class),
    drill("cancel storm", prepare=only_cancelling, cause=storm),
    drill("bad deploy of one class", "JobErrorBudgetBurn", cause=bad_deploy, mend=good_deploy),
    drill("dead pool", "QueueStalled", cause=kill_workers, mend=new_worker),
    drill(
        "pool scaled to nothing",
        "QueueWithoutWorkers",
        cause=stop_workers,
        mend=new_worker,
        followed_by="QueueStalled",
    ),
    drill("killed horses", "JobWorkHorseKilled", cause=killed_horses),
    drill("nearly all memory", "JobNearMemoryLimit", prepare=little_memory, cause=nearly_all_memory),
    drill("hung job", "JobRunningTooLong", prepare=fast_feeds, cause=hang, mend=stop_hung),
    drill("scheduler gone", "QueueSchedulerDown", prepare=with_scheduler, cause=scheduler_gone, mend=scheduler_back),
    drill(
        "uninstrumented worker",
        "JobTelemetryWorkersUninstrumented",
        cause=plain_worker,
        mend=restart_instrumented,
        followed_by="JobTelemetryUnrecordedExecutions",
    ),
    drill("exporter killed", "JobTelemetryExporterDown", cause=kill_exporter, mend=Site.start_exporter),
    drill("Redis away", "JobTelemetryRedisDown", cause=kill_redis, mend=restart_redis),
    drill("match ratio collapse", "JobMatchRatioDropped", prepare=steady_matches, cause=collapse, mend=matches_again),
    drill("poison job with retries", "JobDiscardedLowTraffic", cause=poison),
    drill(
        "RQ worker and its horse killed",
        "JobAbandoned",
        prepare=impatient_worker,
        cause=machine_lost,
        mend=machine_back,
    ),
    drill("rate limit", "JobRateLimitStorm", cause=rate_limited, mend=within_the_limit),
    drill("new cancel reason", "JobNewCancelReason", prepare=long_known_reason, cause=another_reason),
    drill(
        "periodic job missed",
        "JobPeriodicMissed",
        prepare=periodic,
        cause=nothing,
        mend=run_once_more,
        settings=_PERIODIC,
    ),
    drill(
        "scheduler hangs",
        "QueueScheduledOverdue",
        prepare=with_scheduler,
        cause=scheduler_hangs,
        mend=scheduler_goes_on,
    ),
    drill("execution log forbidden", "JobTelemetryHandlerErrors", cause=log_forbidden, mend=log_allowed),
    drill("ids in a label", "JobTelemetrySeriesDropped", prepare=little_room, cause=ids_as_reasons),
    drill(
        "every first attempt fails",
        "JobRetryStorm",
        cause=every_first_attempt_fails,
        settings=("retry_window=20s", "retry_min_executions=20", "retry_hold=2s", "baselines=10m"),
    ),
    drill(
        "slower deploy",
        "JobRunTimeRegressed",
        prepare=known_run_time,
        cause=slower_deploy,
        mend=fast_again,
        settings=(
            "regression_window=10s",
            "regression_baselines=20s",
            "regression_min_executions=5",
            "regression_hold=1s",
        ),
    ),
    drill(
        "flood",
        "JobFlooded",
        prepare=known_rate,
        cause=flood,
        settings=(
            "flood_window=10s",
            "flood_past_window=30s",
            "flood_offset=15s",
            "flood_min_jobs=200",
            "flood_factor=3",
            "baselines=20s",
        ),
    ),
    drill(
        "jobs start late",
        "QueueJobsStartLate",
        cause=late_jobs,
        settings=("latency_target=1s", "latency_burn_rates=2:20s/5s:ticket:2s", "latency_min_jobs=5", "baselines=10m"),
    ),
    drill(
        "growing queue",
        "QueueDrainsTooSlowly",
        cause=growing_queue,
        settings=("drain_window=10s", "drain_min_jobs=10", "drain_max_age=10s", "drain_hold=1s", "baselines=10m"),
    ),
    drill("backlog", "QueueOldestJobTooOld", cause=backlog, mend=more_workers),
    drill("label set evicted", "JobTelemetryCountsLost", cause=evict_label_set, settings=("lost_memory=20s",)),
    drill(
        "Redis emptied",
        "JobTelemetryCountsLost",
        cause=empty_redis,
        mend=replace_workers,
        settings=("lost_memory=20s",),
    ),
    drill(
        "accounts deleted",
        "JobTelemetryAccountsDiffer",
        "JobTelemetryCountsLost",
        "JobTelemetryUnrecordedExecutions",  # what RQ counted for its live workers is in no account any more
        prepare=exporter_that_only_shows,
        cause=delete_accounts,
        mend=exporter_with_all_rights,
        settings=("lost_memory=20s",),
    ),
    drill(
        "exporter that may only read",
        "JobTelemetryReconcilerDown",
        cause=exporter_that_may_only_read,
        mend=exporter_with_all_rights,
    ),
    drill("foreign value", "JobTelemetryValuesRejected", cause=write_foreign_value, mend=delete_foreign_value),
    drill("clock of a producer", "JobTelemetryClockSkew", cause=wrong_clock, mend=an_hour_later),
    drill("clock of a producer behind", "JobTelemetryClockSkew", cause=clock_behind, mend=an_hour_later),
    drill(
        "clock of an RQ worker's host",
        "JobTelemetryClockSkew",
        cause=worker_with_a_wrong_clock,
        mend=stop_that_worker,
    ),
    drill(
        "RQ worker that takes nothing",
        "QueueWorkersIdle",
        cause=deaf_worker,
        mend=without_it,
        settings=("idle_age=4s", "idle_hold=3s", "oldest_job_age=10m", "baselines=10m"),
    ),
    drill("rate limit that starves", "QueueRateLimitStarves", cause=starving_limit, mend=limit_let_go, settings=_HELD),
    drill("dependency cancelled", "QueueJobsBlocked", cause=cancel_dependency, mend=delete_dependent),
    drill(
        "RQ workers crash",
        "QueueWorkersRestarting",
        prepare=known_births,
        cause=crash_loop,
        settings=("births_window=50s", "baselines=10m"),
    ),
)

#: Alerts without a drill, and what their incident would take; their cases on promtool's clock are all there is.
WITHOUT_DRILL: dict[str, str] = {}
