"""The incidents: each causes one thing, waits for its alerts, mends it, and waits until they are gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.registry import StartedJobRegistry

from drills.site import Site
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
    """

    name: str
    alerts: frozenset[str]
    cause: Callable[[Site], None]
    mend: Callable[[Site], None]
    prepare: Callable[[Site], None]

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
        assert site.seen == self.alerts, f"expected {sorted(self.alerts)}, seen {sorted(site.seen)}"


def two_workers(site: Site) -> None:
    """Two RQ workers, and enough ordinary jobs that a ratio means something."""
    site.start_worker()
    site.start_worker()
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


def drill(
    name: str,
    *alerts: str,
    cause: Callable[[Site], None],
    mend: Callable[[Site], None] = nothing,
    prepare: Callable[[Site], None] = two_workers,
) -> Drill:
    """A drill."""
    return Drill(name, frozenset(alerts), cause, mend, prepare)


DRILLS = (
    drill("healthy run", cause=ordinary),
    drill("cancel storm", prepare=only_cancelling, cause=storm),
    drill("bad deploy of one class", "JobErrorBudgetBurn", cause=bad_deploy, mend=good_deploy),
    drill("dead pool", "QueueStalled", cause=kill_workers, mend=new_worker),
    drill("pool scaled to nothing", "QueueWithoutWorkers", cause=stop_workers, mend=new_worker),
    drill("killed horses", "JobWorkHorseKilled", cause=killed_horses),
    drill("hung job", "JobRunningTooLong", prepare=fast_feeds, cause=hang, mend=stop_hung),
    drill("scheduler gone", "QueueSchedulerDown", prepare=with_scheduler, cause=scheduler_gone, mend=scheduler_back),
    drill(
        "uninstrumented worker",
        "JobTelemetryWorkersUninstrumented",
        "JobTelemetryUnrecordedExecutions",
        cause=plain_worker,
        mend=restart_instrumented,
    ),
    drill("exporter killed", "JobTelemetryExporterDown", cause=kill_exporter, mend=Site.start_exporter),
    drill("Redis away", "JobTelemetryRedisDown", cause=kill_redis, mend=restart_redis),
    drill("match ratio collapse", "JobMatchRatioDropped", prepare=steady_matches, cause=collapse, mend=matches_again),
    drill("poison job with retries", "JobDiscardedLowTraffic", cause=poison),
    drill("backlog", "QueueOldestJobTooOld", cause=backlog, mend=more_workers),
)
