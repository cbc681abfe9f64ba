"""Is anything wrong with the jobs?"""

from __future__ import annotations

from dataclasses import replace

from jobtelemetry.exporter.logbook import Failed
from jobtelemetry.exporter.trends import Lately
from jobtelemetry.exporter.trouble import jobs
from jobtelemetry.exporter.verdict import Level
from jobtelemetry.outcomes import State
from jobtelemetry.questions.entries import LogEntry
from jobtelemetry.store.snapshot import Counter, Deploy, QueueState, RateLimitState, RQWorkerState, Series, Snapshot

HOUR = 3600.0


def test_what_was_lost_before_the_hour_is_told_but_is_no_alarm(cinema: Snapshot) -> None:
    """An hour without a loss is no red page, and what was lost before is not hidden by green."""
    found = jobs(cinema, Lately(HOUR))
    assert (found.level, found.headline) == (Level.NEUTRAL, "No job has ended in the last hour, and none was lost")
    assert "1 lost since 2026-02-02 02:30 UTC" in found.detail


def test_a_fresh_exporter_judges_by_all_that_was_counted(cinema: Snapshot) -> None:
    """A restart of the exporter does not make a loss good; the headline says since when it counts."""
    found = jobs(cinema, Lately())
    assert found.level is Level.BAD
    assert found.headline == "MovieDetailJob lost 1 of 39 jobs (2.6 %) since 2026-02-02 02:30 UTC"


def test_the_worst_comes_first(cinema: Snapshot) -> None:
    """A worker that loses many jobs stands before one that loses few, and that before what is tried again."""
    lately = Lately(
        HOUR,
        {
            "cinema.jobs.CinemaDateJob": {State.COMPLETED: 999, State.DISCARD: 1},
            "cinema.jobs.SyncJob": {State.COMPLETED: 1, State.FAILURE: 9},
            "cinema.jobs.MovieDetailJob": {State.COMPLETED: 20, State.DISCARD: 10},
        },
    )
    found = jobs(cinema, lately)
    assert [(one.level, one.text) for one in found.findings] == [
        (Level.BAD, "MovieDetailJob lost 10 of 30 jobs (33.3 %) in the last hour"),
        (Level.WARNING, "CinemaDateJob lost 1 of 1,000 jobs (0.1 %) in the last hour"),
        (Level.WARNING, "SyncJob failed in 9 of 10 attempts in the last hour; they are tried again"),
    ]


def test_cancelled_jobs_are_never_trouble(cinema: Snapshot) -> None:
    """However many are cancelled on purpose, nothing is lost."""
    lately = Lately(HOUR, {"cinema.jobs.process_showtime": {State.CANCELLED: 536, State.COMPLETED: 1}})
    assert jobs(cinema, lately).level is Level.NEUTRAL
    clean = {key: counter if key[1] is not State.DISCARD else Counter(0) for key, counter in cinema.executions.items()}
    found = jobs(replace(cinema, executions=clean), lately)
    assert (found.level, found.headline) == (Level.GOOD, "No job was lost in the last hour")


def test_jobs_that_nobody_will_run_are_trouble(cinema: Snapshot) -> None:
    """A queue without an RQ worker, one that waits too long, and overdue schedules are named; many are one finding."""
    now = cinema.taken_at
    queues = (
        QueueState("mail", {"queued": 12}, now - 3000),
        QueueState("default", {"queued": 3}, now - 900),
        QueueState("movies", {"queued": 3}, now - 5, overdue_scheduled=2),
    )
    found = jobs(replace(cinema, queues=queues), Lately(HOUR))
    assert (found.level, [one.text for one in found.findings]) == (
        Level.BAD,
        [
            "12 jobs wait on queue mail, the oldest for 50 min, and no RQ worker listens there",
            (
                "2 scheduled jobs are overdue on queue movies: no scheduler moves them; start a worker with "
                "--with-scheduler"
            ),
            "A job has waited for 15 min on queue default",
        ],
    )
    many = tuple(QueueState(f"q{i}", {"queued": 1}, now - 5) for i in range(1000))
    (one,) = jobs(replace(cinema, queues=many), Lately(HOUR)).findings
    assert (
        one.text
        == "1,000 jobs wait on 1,000 queues (q0, q1, q2, …), the oldest for 5.0 s, and no RQ worker listens there"
    )


def test_whether_it_began_with_a_deploy_is_said(cinema: Snapshot) -> None:
    """Where the log reaches back before the newest deploy and has no failure of the worker from then, that is told."""
    now, worker = cinema.taken_at, "cinema.jobs.MovieDetailJob"
    deployed = replace(cinema, deploys=(Deploy("v1", now - 900), Deploy("v2", now - 600)))
    lately = Lately(HOUR, {worker: {State.COMPLETED: 20, State.DISCARD: 10}})
    new = LogEntry("2-0", "b", worker, "movies", State.DISCARD, ended_at=now - 300)
    old = replace(new, entry_id="1-0", ended_at=now - 700)

    def said(*entries: LogEntry, since: float = now - 800) -> str:
        return jobs(deployed, lately, Failed(entries, since)).headline

    assert said(new) == (
        "MovieDetailJob lost 10 of 30 jobs (33.3 %) in the last hour; none failed before the deploy of v2 at 02:30 UTC"
    )
    assert "deploy" not in said(new, old)
    assert "deploy" not in said(new, since=now - 500)  # the log does not reach so far


def test_jobs_that_wait_for_ever_and_rate_limits_are_trouble(cinema: Snapshot) -> None:
    """What doctor and the metrics know, the page says too: blocked dependents, a rate limit that starves, HTTP 429."""
    now = cinema.taken_at
    queues = (QueueState("mail", {"deferred": 9}, blocked=5, blocked_by=("b waits for a (canceled)",)),)
    limits = (RateLimitState("smtp", 1, 1, ("x",), 3, now - 700), RateLimitState("fax", 1, 1, ("y",), 3, now - 7))
    limited = {Series("cinema.jobs.MovieDetailJob", "movies"): Counter(4)}
    troubled = replace(cinema, queues=queues, rate_limits=limits, rate_limited_executions=limited)
    found = jobs(troubled, Lately()).findings
    assert [one.text for one in found] == [
        "MovieDetailJob lost 1 of 39 jobs (2.6 %) since 2026-02-02 02:30 UTC; 4 attempts met a rate limit",
        "5 deferred jobs on queue mail will never run: b waits for a (canceled), …",
        "RQ's rate limit smtp holds back 3 jobs, the oldest for 11 min 40 s",
    ]
    assert [one.queue for one in found] == [False, True, False]


def test_suspended_workers_and_nothing_at_all(cinema: Snapshot) -> None:
    """A suspended RQ is said; where nothing has ended nothing is judged."""
    asleep = replace(cinema, queues=(), rq_workers=(RQWorkerState("one", ("default",), "suspended"),))
    assert "suspended" in jobs(asleep, Lately(HOUR)).headline
    assert jobs(Snapshot(taken_at=1.0), Lately()).level is Level.NEUTRAL
