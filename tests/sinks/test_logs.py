"""The log: what each ending says, as records, as text and as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from typing import Any

import pytest
from rq import Retry

from jobtelemetry.demo import jobs as demo
from jobtelemetry.demo.titles import Titles
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.logformat import FORMATS, formatter
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.sinks.logs import LogSink
from sinks import sentry_jobs as jobs
from sinks.conftest import Scene


def an_event(state: State, **facts: Any) -> ExecutionEvent:
    outcome = Outcome(state, facts.pop("reason", ""), facts.pop("error_type", ""))
    return ExecutionEvent("e1", "j1", "shop.jobs.mail", "default", "w1", outcome, attempt=2, max_attempts=3, **facts)


@pytest.mark.parametrize(
    ("state", "level", "message"),
    [
        (State.COMPLETED, logging.INFO, "job completed"),
        (State.CANCELLED, logging.INFO, "job cancelled"),
        (State.SNOOZED, logging.INFO, "job snoozed"),
        (State.STOPPED, logging.INFO, "job stopped"),
        (State.FAILURE, logging.ERROR, "job failed and will be retried"),
        (State.DISCARD, logging.ERROR, "job failed"),
    ],
)
def test_each_state_has_its_level_and_one_message(
    caplog: pytest.LogCaptureFixture, state: State, level: int, message: str
) -> None:
    """Only what failed is an ERROR; a message is constant and the facts are fields."""
    with caplog.at_level(logging.INFO, "jobtelemetry"):
        LogSink()(an_event(state, reason="because", trace_id="ab" * 16, duration=0.5, retry_after=3.0))
    (record,) = caplog.records
    assert (record.levelno, record.msg, record.args) == (level, message, ())
    facts = vars(record)
    assert (facts["worker"], facts["queue"], facts["job_id"]) == ("shop.jobs.mail", "default", "j1")
    assert (facts["state"], facts["reason"], facts["attempt"]) == (state.value, "because", 2)
    assert (facts["max_attempts"], facts["duration"], facts["retry_after"]) == (3, 0.5, 3.0)
    assert facts["trace_id"] == "ab" * 16


@pytest.mark.parametrize(
    ("state", "reason", "level"),
    [
        (State.CANCELLED, "unspecified", logging.WARNING),
        (State.CANCELLED, "invalid_reason", logging.WARNING),
        (State.DISCARD, "invalid_reason", logging.ERROR),
    ],
)
def test_a_mistake_with_a_reason_has_a_hint(
    caplog: pytest.LogCaptureFixture, state: State, reason: str, level: int
) -> None:
    """One record, at least a warning, which tells the developer the rule."""
    with caplog.at_level(logging.INFO, "jobtelemetry"):
        LogSink()(an_event(state, reason=reason))
    (record,) = caplog.records
    assert record.levelno == level
    assert "identifier of at most 64 letters" in vars(record)["hint"]


def test_a_hostile_job_breaks_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Line ends, escapes and bidi marks in names and errors stay in their line; numbers that are none are null."""
    with caplog.at_level(logging.INFO, "jobtelemetry"):
        LogSink()(
            an_event(State.DISCARD, error_type="A\x1b[31m", message="x\x9b2J\u2028y\u202e", retry_after=float("inf"))
        )
        try:
            int("a\x9b2Jb")
        except ValueError:
            logging.getLogger("jobtelemetry").exception("it went\x1b[31m wrong")
    for record in caplog.records:
        text, line = formatter("text").format(record), formatter("json").format(record)
        assert all(letter.isprintable() for letter in text.replace("\n", ""))
        assert line.isprintable()
        json.loads(line, parse_constant=pytest.fail)
    assert len(formatter("text").format(caplog.records[0]).splitlines()) == 1


def test_text_has_the_facts_that_there_are(caplog: pytest.LogCaptureFixture) -> None:
    """A line of text has each fact with a value, quoted where it has spaces."""
    with caplog.at_level(logging.INFO, "jobtelemetry"):
        LogSink()(an_event(State.CANCELLED, reason="movie_not_matched", message="no such film", duration=0.25))
    line = formatter("text").format(caplog.records[0])
    assert " INFO job cancelled worker=shop.jobs.mail " in line
    assert "reason=movie_not_matched detail='no such film' attempt=2" in line
    assert "duration=0.250" in line
    assert "error_type" not in line


def test_json_has_every_fact(caplog: pytest.LogCaptureFixture) -> None:
    """A line of JSON is one object with time, level, logger, message and all facts."""
    with caplog.at_level(logging.INFO, "jobtelemetry"):
        LogSink()(an_event(State.DISCARD, error_type="KeyError", message="zwölf"))
    entry = json.loads(formatter("json").format(caplog.records[0]))
    assert (entry["level"], entry["logger"], entry["message"]) == ("ERROR", "jobtelemetry", "job failed")
    assert (entry["error_type"], entry["detail"], entry["wait"]) == ("KeyError", "zwölf", None)
    assert entry["timestamp"].endswith("+00:00")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_record_fills_a_disk(kind: str) -> None:
    """What a job's error says in a megabyte is shortened, in the message, in a field and in a traceback."""
    try:
        raise type("L" * 1_000_000, (Exception,), {})("m" * 1_000_000)  # noqa: TRY301
    except Exception:
        record = logging.LogRecord("rq.worker", logging.ERROR, "x", 1, "%s", ("w" * 1_000_000,), sys.exc_info())
    record.detail = "d" * 1_000_000
    assert len(formatter(kind).format(record)) < 300_000


def log_of(scene: Scene, *options: str) -> list[dict[str, Any]]:
    """What a worker of our command writes as JSON: every line of it."""
    scene.finish(scene.command("worker", "--url", scene.redis.url, "--burst", "--log-json", *options))
    return [json.loads(line) for line in scene.output.splitlines()]


@pytest.mark.parametrize("worker_class", ["rq.worker.Worker", "rq.worker.SimpleWorker"])
def test_a_cancelled_job_is_information_with_its_reason(scene: Scene, worker_class: str) -> None:
    """Cancelled jobs leave one INFO record each, with the reason, and not one ERROR, neither ours nor RQ's."""
    scene.queue.enqueue(jobs.raises_cancel, retry=Retry(max=3))
    scene.queue.enqueue(jobs.returns_cancel)
    entries = log_of(scene, "--worker-class", worker_class)
    ours = [entry for entry in entries if entry["logger"] == "jobtelemetry"]
    assert [(entry["level"], entry["reason"]) for entry in ours] == [("INFO", "movie_not_matched")] * 2
    assert ours[0]["detail"] == "no film of that name"
    assert {entry["level"] for entry in entries} == {"INFO"}


def test_everything_that_a_worker_says_is_json(scene: Scene) -> None:
    """With --log-json, RQ's records and tracebacks are JSON too, and each ending has its own record."""
    scene.queue.enqueue(jobs.fails, retry=Retry(max=1))
    scene.queue.enqueue(jobs.limited_by_status)
    entries = log_of(scene)
    assert {"rq.worker", "jobtelemetry"} <= {entry["logger"] for entry in entries}
    ends = [entry for entry in entries if entry["logger"] == "jobtelemetry"]
    told = [(end["message"], end["attempt"], end["max_attempts"], end["rate_limited"]) for end in ends]
    assert sorted(told) == [
        ("job failed", 1, 1, True),
        ("job failed", 2, 2, False),
        ("job failed and will be retried", 1, 2, False),
    ]
    assert [end["retry_after"] for end in ends if end["rate_limited"]] == [12.0]


def test_our_command_logs_text_by_default(scene: Scene) -> None:
    """Without an option, our command writes a line per ending beside RQ's own log."""
    scene.queue.enqueue(jobs.raises_cancel)
    scene.finish(scene.command("worker", "--url", scene.redis.url, "--burst"))
    assert "INFO job cancelled worker=sinks.sentry_jobs.raises_cancel" in scene.output


@pytest.mark.parametrize("worker_class", ["rq.worker.Worker", "rq.worker.SimpleWorker"])
def test_a_broken_sink_is_logged_once_counted_always_and_harms_nobody(scene: Scene, worker_class: str) -> None:
    """A sink that raises is logged once a minute however many work-horses meet it; Sentry and jobs go on."""
    done = [scene.queue.enqueue(jobs.returns) for _ in range(4)]
    scene.queue.enqueue(jobs.fails)
    scene.finish(scene.program(worker_class, "before", broken=True))
    assert scene.output.count("jobtelemetry hook failed") == 1
    assert {job.get_status() for job in done} == {"finished"}
    assert len([event for event in scene.sentry.events if "execution" in event["contexts"]]) == 1
    counted = int(scene.connection.hget("rq:telemetry:meta", "handler_errors|sink_logsink") or 0)
    assert counted >= 4


def test_the_log_of_the_demo_has_its_cancellations_and_not_one_error(scene: Scene) -> None:
    """The demo's 536 showtimes without a film are 536 INFO records with the reason; nothing is an ERROR."""
    demo.enqueue(scene.connection, demo.SCRAPING, [demo.SyncJob(Titles.POLISH)])
    entries = log_of(scene, "--worker-class", "rq.worker.SimpleWorker", *demo.QUEUES)
    showtimes = [entry for entry in entries if entry.get("worker", "").endswith("ShowtimeProcessJob")]
    assert Counter((entry["level"], entry["state"], entry["reason"]) for entry in showtimes) == {
        ("INFO", "completed", ""): 738,
        ("INFO", "cancelled", "movie_not_matched"): 536,
    }
    assert {entry["level"] for entry in entries} == {"INFO"}
    assert scene.sentry.events == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_traceback_in_the_log_has_no_password(kind: str) -> None:
    """What an exception says of a Redis URL is shown without its password."""
    try:
        int("redis://user:s3cret@host:6379/0")
    except ValueError:
        record = logging.LogRecord("jobtelemetry", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = formatter(kind).format(record)
    assert "ValueError" in line
    assert "s3cret" not in line
