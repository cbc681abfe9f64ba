"""How Sentry may be set up, or not at all, or not answer."""

from __future__ import annotations

import json
import re

import pytest
from rq import Retry

from sinks import sentry_jobs as jobs
from sinks.conftest import Scene, job_of, said

WORKER, SIMPLE = "rq.worker.Worker", "rq.worker.SimpleWorker"
SECRET = "xyzzy-4711"


@pytest.mark.parametrize("worker_class", [WORKER, SIMPLE])
def test_without_sentry_it_is_never_imported(scene: Scene, worker_class: str) -> None:
    """A worker whose user has not imported sentry_sdk does not import it, whatever fails."""
    scene.queue.enqueue(jobs.fails)
    scene.finish(scene.program(worker_class, "never"))
    assert scene.sentry.raw == []


def test_our_commands_start_sentry_only_with_a_dsn(scene: Scene) -> None:
    """Without SENTRY_DSN, our command reports nothing and ends well."""
    scene.queue.enqueue(jobs.fails)
    scene.finish(scene.start("-m", "jobtelemetry", "worker", "--url", scene.redis.url, "--burst"))
    assert scene.sentry.raw == []


@pytest.mark.parametrize("worker_class", [WORKER, SIMPLE])
@pytest.mark.parametrize("personal", [False, True], ids=["not personal", "personal"])
def test_arguments_are_sent_only_with_send_default_pii(scene: Scene, worker_class: str, personal: bool) -> None:
    """Neither event nor stack carries a job's arguments unless the user allows personal data."""
    scene.queue.enqueue(jobs.fails, SECRET)
    init = {"send_default_pii": personal, "traces_sample_rate": 1.0}
    scene.finish(scene.program(worker_class, "before", sentry=init))
    assert (len(scene.sentry.events), len(scene.sentry.transactions)) == (1, 1)
    assert (SECRET in json.dumps(scene.sentry.events)) is personal


def test_the_transactions_of_the_sdk_stay_as_they_are(scene: Scene) -> None:
    """What the SDK itself sends is its own: with RQ's description, and its own word for arguments that it keeps."""
    scene.queue.enqueue(jobs.fails, SECRET)
    scene.finish(scene.program(WORKER, "before", sentry={"traces_sample_rate": 1.0}))
    (transaction,) = scene.sentry.transactions
    assert transaction["extra"]["rq-job"]["args"] == "[Filtered]"
    assert SECRET in transaction["extra"]["rq-job"]["description"]


def test_the_integration_keeps_its_transaction_and_job(scene: Scene) -> None:
    """The event belongs to the transaction of Sentry's own integration and has the job that it adds."""
    job = scene.queue.enqueue(jobs.fails)
    scene.finish(scene.program(WORKER, "after", sentry={"traces_sample_rate": 1.0}))
    (event,), (transaction,) = scene.sentry.events, scene.sentry.transactions
    assert event["contexts"]["trace"]["trace_id"] == transaction["contexts"]["trace"]["trace_id"]
    assert event["transaction"] == transaction["transaction"] == "sinks.sentry_jobs.fails"
    assert event["extra"]["rq-job"]["job_id"] == job.id


def test_a_sentry_that_hangs_costs_a_horse_its_time_limit_and_nobody_else_anything(scene: Scene) -> None:
    """Work-horses of jobs that are reported wait for the time limit; other jobs and the parent do not."""
    scene.sentry.answering.clear()
    names = ["fails", "is_killed", "is_killed", "returns", "returns"]
    order = [scene.queue.enqueue(getattr(jobs, name)) for name in names]
    scene.environment["JOBTELEMETRY_FLUSH_TIMEOUT"] = "6"
    scene.finish(scene.program(WORKER, "before"))
    assert [job.get_status() for job in order] == ["failed"] * 3 + ["finished"] * 2
    begun = [started(scene, job.id) for job in order]
    assert begun[1] - begun[0] >= 6
    assert begun[-1] - begun[1] < 6


def started(scene: Scene, job_id: str) -> float:
    """When an execution started, by the execution log: its end less its duration."""
    for _, entry in scene.connection.xrange("rq:telemetry:log"):
        if entry[b"job"] == job_id.encode():
            return float(entry[b"ended"]) - float(entry.get(b"duration", 0)) / 1e6
    raise AssertionError(job_id)


def test_what_the_parent_is_still_sending_is_not_sent_again_by_its_horses(scene: Scene) -> None:
    """A work-horse that is forked while its parent's event waits for a slow Sentry leaves that event alone."""
    scene.queue.enqueue(jobs.is_killed, job_id="killed")
    for number in range(3):
        scene.queue.enqueue(jobs.fails, job_id=f"fails-{number}")
    scene.sentry.slowness = 0.3
    scene.finish(scene.program(WORKER, "before"))
    assert sorted(map(job_of, scene.sentry.events)) == ["fails-0", "fails-1", "fails-2", "killed"]


def test_settings_change_the_policy_for_all_jobs_and_for_one(scene: Scene) -> None:
    """The number of attempts and the word on one job are settings; the word is stronger than a decorator."""
    scene.environment["JOBTELEMETRY_SENTRY_AFTER_ATTEMPTS"] = "2"
    scene.environment["JOBTELEMETRY_SENTRY_REPORTS"] = (
        "sinks.sentry_jobs.discards=never, sinks.sentry_jobs.reported_never=always"
    )
    for job in (jobs.fails, jobs.discards, jobs.reported_never):
        scene.queue.enqueue(job, job_id=job.__name__, retry=Retry(max=2))
    scene.finish(scene.program(WORKER, "before"))
    told = {name: [said(e)[1:3] for e in scene.sentry.events if job_of(e) == name] for name in ("fails", "discards")}
    assert told == {"fails": [("failure", "2"), ("discard", "3")], "discards": []}
    always = [said(event)[1:3] for event in scene.sentry.events if job_of(event) == "reported_never"]
    assert always == [("failure", "1"), ("failure", "2"), ("discard", "3")]


def test_a_setting_that_makes_no_sense_is_named(scene: Scene) -> None:
    """A wrong word for a job's reports is said at the start, with the words that there are."""
    worker = scene.command("worker", "--url", scene.redis.url, JOBTELEMETRY_SENTRY_REPORTS="a.b=sometimes")
    assert worker.wait(60) == 2
    assert "JOBTELEMETRY_SENTRY_REPORTS must be" in scene.output


def test_a_worker_that_cannot_record_leaves_the_choice_to_sentry(scene: Scene) -> None:
    """Where jobtelemetry is off, Sentry's own integration reports what it would without us."""
    scene.connection.set("rq:telemetry:meta", "of another program")
    scene.queue.enqueue(jobs.fails)
    scene.finish(scene.program(WORKER, "before"))
    (event,) = [event for event in scene.sentry.events if "exception" in event]
    assert event["exception"]["values"][0]["mechanism"]["type"] == "rq"
    assert [event["logger"] for event in scene.sentry.events if "logger" in event] == ["jobtelemetry"]  # says so


@pytest.mark.parametrize("worker_class", [WORKER, SIMPLE])
def test_an_event_leads_to_its_trace(scene: Scene, worker_class: str) -> None:
    """With tracing, every event has the id of its execution's trace as a tag, also that of a killed work-horse."""
    names = ["fails"] if worker_class == SIMPLE else ["fails", "is_killed"]
    for name in names:
        scene.queue.enqueue(getattr(jobs, name), job_id=name)
    scene.finish(scene.program(worker_class, "before", traced=True))
    assert [job_of(event) for event in scene.sentry.events] == names
    for event in scene.sentry.events:
        assert re.fullmatch("[0-9a-f]{32}", event["tags"]["trace_id"])


def test_a_worker_class_with_its_own_handling_of_exceptions(scene: Scene) -> None:
    """The exception is known also where a user's worker class leaves out RQ's own handling."""
    scene.queue.enqueue(jobs.fails)
    scene.queue.enqueue(jobs.discards, retry=Retry(max=1))
    scene.queue.enqueue(jobs.raises_cancel)
    scene.finish(scene.program("sinks.sentry_jobs.OwnHandling", "before"))
    assert [said(event)[1:] for event in scene.sentry.events] == [
        ("discard", "1", "ValueError"),
        ("discard", "1", "bad_payload"),
    ]


def test_what_is_reported_can_be_found_again(scene: Scene) -> None:
    """An event names the job, the execution, the RQ worker and how long it ran."""
    job = scene.queue.enqueue(jobs.limited_by_status, retry=Retry(max=1))
    scene.finish(scene.program(SIMPLE, "before"))
    facts = scene.sentry.events[0]["contexts"]["execution"]
    assert (facts["job_id"], facts["max_attempts"], facts["retry_after"]) == (job.id, 2, 12.0)
    assert {"execution_id", "rq_worker", "duration", "wait", "started_at"} <= set(facts)
    assert json.dumps(facts)


HEARD = """
import logging, sys
import sentry_sdk
import jobtelemetry

sentry_sdk.init(dsn=sys.argv[1])
jobtelemetry.instrument()
for name, message in (
    ("rq.registry", "Failed to enqueue ready job %s; leaving in ReadyJobRegistry"),
    ("rq.registry", "%s cleanup: failure callback for job %s raised"),
    ("rq.registry", "%s cleanup: %s %s"),
    ("rq.job", "Job %s: error while executing stopped callback"),
    ("jobtelemetry", "jobtelemetry hook failed; the job is not affected"),
):
    logging.getLogger(name).error(message, *("x" for _ in range(message.count("%s"))))
logging.getLogger("jobtelemetry").error("job failed", extra={"execution_id": "e"})
for context in (None, KeyError("the job's own")):
    error = ValueError("of the callback")
    error.__context__ = context
    logging.getLogger("rq.job").error("Job %s: error while executing failure callback", "x", exc_info=error)
if sys.argv[2] == "taken out":
    jobtelemetry.uninstrument()
    logging.getLogger("rq.registry").error("%s cleanup: %s %s", "x", "y", "after")
    logging.getLogger("jobtelemetry").error("job failed", extra={"execution_id": "e"})
sentry_sdk.capture_message("last")
sentry_sdk.flush()
"""


@pytest.mark.parametrize("taken_out", [False, True], ids=["instrumented", "taken out"])
def test_sentry_hears_what_is_no_ending(scene: Scene, taken_out: bool) -> None:
    """Only what tells of an ending is dropped, it stays a breadcrumb, and nothing is dropped after uninstrument()."""
    scene.finish(scene.start("-c", HEARD, scene.sentry.dsn, "taken out" if taken_out else "in"))
    said = [event.get("message") or event["logentry"]["message"] for event in scene.sentry.events]
    after = ["%s cleanup: %s %s", "job failed"] if taken_out else []
    assert said == [
        "Failed to enqueue ready job %s; leaving in ReadyJobRegistry",
        "%s cleanup: failure callback for job %s raised",
        "Job %s: error while executing stopped callback",
        "jobtelemetry hook failed; the job is not affected",
        "Job %s: error while executing failure callback",
        *after,
        "last",
    ]
    crumbs = [crumb["message"] for crumb in scene.sentry.events[-1]["breadcrumbs"]["values"]]
    assert sum(crumb.startswith("job failed") for crumb in crumbs) == 1 + taken_out
    assert "x cleanup: x x" in crumbs
