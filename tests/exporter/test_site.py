"""What a click leads to and the JSON beside it, over real HTTP, of executions that were really recorded."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import jobtelemetry
from jobtelemetry.config import Config
from jobtelemetry.contract import Kind
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import ConfigError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.exporter.api import PLACES
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.questions.own_metrics import own_metrics
from jobtelemetry.questions.queues import QueueLine
from jobtelemetry.questions.rq_workers import RQWorker
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.own import Change, Definition, Measurements, measure_command
from jobtelemetry.store.record import Booking, Limits, append_finish
from jobtelemetry.store.scripts import execute, run
from jobtelemetry.store.snapshot import OwnFamily, QueueState
from support.mounted import ask_asgi, ask_wsgi

TRACE = "0af7651916cd43dd8448eb211c80319c"
WORKER = "cinema.jobs.MovieDetailJob"
EVIL = "<script>alert('x')</script>/\"&ü?#"
NUMBERS = count()
Record = Callable[..., str]


@pytest.fixture
def record(redis_server: EmbeddedServer) -> Record:
    """``record(state, **facts)`` -> the job of an execution that ended so."""
    connection, keys = redis_server.connection(), Keys()

    def write(state: State = State.COMPLETED, **facts: Any) -> str:
        number = next(NUMBERS)
        outcome = Outcome(state, facts.pop("reason", ""), facts.pop("error_type", ""))
        known = {"worker": WORKER, "queue": "movies", "rq_worker": "pool-1", "job_id": f"job-{number}", "attempt": 1}
        known |= {"outcome": outcome, "ended_at": time.time(), "duration": 0.2, "wait": 1.5} | facts
        event = ExecutionEvent(**known, execution_id=f"execution-{number}")
        pipe = connection.pipeline(transaction=False)
        append_finish(
            pipe, keys, event, job_key=keys.job(event.job_id), rq_worker_key=keys.rq_worker("nobody"),
            limits=Limits(1000, 10_000), booking=Booking(),
        )  # fmt: skip
        execute(pipe)
        return event.job_id

    return write


@pytest.fixture
def url(redis_server: EmbeddedServer, serve: Callable[..., ExporterServer]) -> str:
    """A running exporter that knows where traces are shown."""
    config = Config(trace_url="https://traces.example/trace/{trace_id}?view=1")
    return serve(redis_server.url, config=config).url


def strictly(text: str) -> Any:
    """JSON without what JSON does not have."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_from_the_red_number_to_the_job(url: str, record: Record, fetch: Callable[..., Any]) -> None:
    """The page links to the worker, the worker's page to its failed jobs and their traces, and these have the story."""
    for number in range(3):
        job = record(
            State.DISCARD, error_type="KeyError", message=f"no title {number}", attempt=2, trace_id=TRACE,
            attributes={"film": "4124"},
        )  # fmt: skip
    page = fetch(f"{url}/").text
    assert f'href="worker/{WORKER}"' in page
    assert "no title #" in page
    worker = fetch(f"{url}/worker/{WORKER}").text
    assert "MovieDetailJob lost 3 of 3 jobs" in worker
    assert re.search(r"KeyError</span></th>.*?>3<", worker)
    assert f'href="https://traces.example/trace/{TRACE}?view=1"' in worker
    assert f'href="../job/{job}"' in worker
    story = fetch(f"{url}/job/{job}").text
    assert all(said in story for said in ("no title 2", "film=4124", f"jobtelemetry show {job}", "discard"))


def test_names_of_any_kind_have_a_page(url: str, record: Record, fetch: Callable[..., Any]) -> None:
    """Slashes, markup and letters of the world are quoted in addresses and escaped in pages."""
    job = f"job {EVIL}"
    record(State.DISCARD, worker=EVIL, queue=EVIL, error_type="E", message=EVIL, job_id=job, rq_worker=EVIL)
    for path in ("", "failures", "workers", f"worker/{quote(EVIL, safe='')}", f"job/{quote(job, safe='')}"):
        answer = fetch(f"{url}/{path}")
        assert answer.status == 200, path
        assert "<script" not in answer.text
        assert "alert(" in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    links = re.findall(r'href="([^"]*worker/[^"]+)"', fetch(f"{url}/").text)
    assert set(links) == {f"worker/{quote(EVIL, safe='')}"}


@pytest.mark.parametrize(
    ("moment", "ended"),
    [
        ("9999-12-31T23:59:59.999999Z", "253402300799"),
        ("0001-01-01T00:00:00.000000Z", "0"),
        ("1969-12-31T23:00:00.000000Z", "-3600"),
        ("2100-01-01T00:00:00.000000Z", "1770000000000"),
        ("nonsense", "1e18"),
    ],
)
def test_a_clock_that_is_wrong_takes_no_page_down(
    redis_server: EmbeddedServer, url: str, record: Record, fetch: Callable[..., Any], moment: str, ended: str
) -> None:
    """Whatever the hosts' clocks and Redis's own said, every page and the metrics answer, and show no invented age."""
    connection, keys = redis_server.connection(), Keys()
    job = record(State.DISCARD, error_type="E")
    (entry_id, entry) = connection.xrevrange(keys.log, count=1)[0]
    connection.xdel(keys.log, entry_id)
    connection.xadd(keys.log, {**entry, b"ended": ended})
    dated = ("created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat")
    connection.hset(keys.job(job), mapping={"origin": "movies", "status": "queued", **dict.fromkeys(dated, moment)})
    connection.sadd(keys.queues, keys.queue("movies"))
    connection.rpush(keys.queue("movies"), job)
    connection.sadd(keys.rq_workers, keys.rq_worker("wrong"))
    worker = {"state": "idle", "queues": "movies", "hostname": "h", "birth": moment, "last_heartbeat": moment}
    connection.hset(keys.rq_worker("wrong"), mapping=worker)
    paths = ("", "failures", f"worker/{WORKER}", f"job/{job}", "api/v1/failures", f"api/v1/jobs/{job}", "metrics")
    for path in (*paths, "api/v1/queues", "api/v1/rq-workers"):
        answer = fetch(f"{url}/{path}")
        assert answer.status == 200, path
        if path.startswith("api"):
            strictly(answer.text)
    assert "\njobtelemetry_up 1" in fetch(f"{url}/metrics").text


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
def test_inside_another_application_it_is_the_same(
    redis_server: EmbeddedServer, record: Record, ask: Callable[..., Any]
) -> None:
    """Below a mount point a name of any letters is found, whether the server hands on its bytes or its text."""
    name = "zeit.grüße"
    record(worker=name)
    make = jobtelemetry.wsgi_app if ask is ask_wsgi else jobtelemetry.asgi_app
    application = make(redis_server.connection(), Config())
    path = f"/worker/{name}".encode().decode("latin-1") if ask is ask_wsgi else f"/worker/{name}"
    status, _, body = ask(application, path, "/jobs")
    assert str(status)[:3] == "200"
    assert "grüße" in body
    _, headers, body = ask(application, "/api/v1/workers", "/jobs")
    assert {key.lower(): value for key, value in headers.items()}["content-type"] == "application/json"
    assert strictly(body)["data"][0]["worker"] == name
    assert str(ask(application, "/worker/nobody", "/jobs")[0])[:3] == "404"


def test_long_texts_are_bounded(url: str, record: Record, fetch: Callable[..., Any]) -> None:
    """Whatever a job says, the page does not grow with it."""
    record(State.DISCARD, error_type="E", message="ä" * 100_000, attributes={"a": "b" * 100_000})
    assert max(len(fetch(f"{url}/{path}").body) for path in ("", "failures", f"worker/{WORKER}")) < 60_000


@pytest.mark.parametrize("path", ["worker/nobody", "job/nobody", "worker/", "nowhere", "api/v2"])
def test_what_is_not_there_is_404(url: str, fetch: Callable[..., Any], path: str) -> None:
    """An unknown worker, job or place is not found, in words."""
    answer = fetch(f"{url}/{path}")
    assert answer.status == 404
    assert answer.text


def test_everything_is_there_as_json(
    url: str, record: Record, redis_server: EmbeddedServer, fetch: Callable[..., Any]
) -> None:
    """Each place answers strict JSON with the moment and since when it counts; the index names them all."""
    job = record(State.DISCARD, error_type="KeyError", message="no title", duration=1e9)
    assert set(strictly(fetch(f"{url}/api/v1").text)["places"]) == {f"/api/v1/{place}" for place in PLACES}
    measure(redis_server, "site_things_total", 1.0)
    for place in PLACES:
        path = place.replace("NAME", "site_things_total" if place.startswith("own") else WORKER).replace("ID", job)
        answer = fetch(f"{url}/api/v1/{path}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), path
        told = strictly(answer.text)
        assert {"taken_at", "since", "data"} <= set(told), path
    status = strictly(fetch(f"{url}/api/v1/status").text)["data"]
    assert (status["jobs"]["level"], status["telemetry"]["level"]) == ("bad", "neutral")
    (worker,) = strictly(fetch(f"{url}/api/v1/workers").text)["data"]
    assert (worker["executions"]["discard"], worker["match_ratio"], worker["errors"]) == (1, None, {"KeyError": 1})
    (failure,) = strictly(fetch(f"{url}/api/v1/failures?worker={WORKER}").text)["data"]
    assert (failure["count"], failure["example"]["job"]) == (1, job)
    assert strictly(fetch(f"{url}/api/v1/failures/newest?worker=other").text)["data"] == []


def test_metrics_of_your_own_have_a_page(
    url: str, record: Record, redis_server: EmbeddedServer, fetch: Callable[..., Any]
) -> None:
    """Who has no Prometheus sees them all the same: from the overview to a metric and its series, and as JSON."""
    record()
    measure(redis_server, "site_tickets_total", 7.0, film=EVIL)
    assert 'href="own-metrics/site_tickets_total"' in fetch(url).text
    for path, wanted in (("own-metrics", "site_tickets_total"), ("own-metrics/site_tickets_total", "film=&lt;script")):
        text = fetch(f"{url}/{path}").text
        assert wanted in text, path
        assert EVIL not in text
    (metric,) = strictly(fetch(f"{url}/api/v1/own-metrics").text)["data"]
    assert (metric["total"], metric["series"]) == ({"value": 7.0}, [{"labels": {"film": EVIL}, "value": 7.0}])
    assert [fetch(f"{url}/{path}own-metrics/nothing").status for path in ("", "api/v1/")] == [404, 404]


def measure(server: EmbeddedServer, name: str, amount: float, **labels: str) -> None:
    """What a process outside of jobs measured."""
    definition = Definition(name, Kind.COUNTER, "Tickets that were sold.", tuple(labels))
    change = Change(definition, definition.series(labels.values()), 1, add={"value": repr(amount)})
    command = measure_command(Keys(), Measurements([change]), writer=name, batch=1, families=100, series=1000)
    run(server.connection(), command)


def test_the_json_is_documented(url: str, record: Record, fetch: Callable[..., Any]) -> None:
    """Every place, and every field of what the tables show, stands in docs/page.md."""
    record(State.DISCARD, error_type="KeyError")
    page = (Path(__file__).parents[2] / "docs" / "page.md").read_text("utf-8")
    assert all(f"`/api/v1/{place}`" in page for place in PLACES)
    for place in ("workers", "failures"):
        (row,) = strictly(fetch(f"{url}/api/v1/{place}").text)["data"]
        assert [name for name in row if f"`{name}`" not in page] in ([], ["worker", "queues"]), place
    (metric,) = own_metrics([OwnFamily("n", Kind.HISTOGRAM, buckets=("1.0", "+Inf"))])
    told = metric.as_dict()
    assert [name for name in (*told, *told["total"]) if f"`{name}`" not in page] == []
    fields = {*RQWorker("").as_dict(), *QueueLine(QueueState("")).as_dict()} - {"name", "queue"}
    assert [name for name in sorted(fields) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nowhere", 404),
        ("workers/nobody", 404),
        ("jobs/nobody", 404),
        ("queues/x", 404),
        ("failures/x", 404),
        ("failures/newest?limit=0", 400),
        ("failures/newest?limit=²", 400),
    ],
)
def test_wrong_questions_get_an_error_in_json(url: str, fetch: Callable[..., Any], path: str, status: int) -> None:
    """What is not there, and what makes no sense, is an error that says so."""
    answer = fetch(f"{url}/api/v1/{quote(path, safe='/?=')}")
    assert answer.status == status
    assert set(strictly(answer.text)) == {"error"}


def test_it_only_reads(url: str, record: Record, redis_server: EmbeddedServer, fetch: Callable[..., Any]) -> None:
    """Whatever is looked at, Redis has the same afterwards; other methods than GET and HEAD are refused."""
    job = record(State.DISCARD, error_type="KeyError")
    before = sorted(redis_server.connection().scan_iter())
    for path in ("", "workers", "queues", "rq-workers", "failures", f"worker/{WORKER}", f"job/{job}", "api/v1/trends"):
        assert fetch(f"{url}/{path}").status == 200
        assert fetch(f"{url}/{path}", method="POST").status == 405
        assert fetch(f"{url}/{path}", method="HEAD").body == b""
    assert sorted(redis_server.connection().scan_iter()) == before


def test_while_redis_is_away_every_page_answers(
    nobody: str, serve: Callable[..., ExporterServer], fetch: Callable[..., Any]
) -> None:
    """Pages say that Redis is away, and the JSON answers 503 with why."""
    url = serve(nobody).url
    for path in ("", "workers", "queues", "rq-workers", "failures", "worker/x", "job/x"):
        answer = fetch(f"{url}/{path}")
        assert answer.status == 200, path
        assert "Redis is away" in answer.text
    answer = fetch(f"{url}/api/v1/status")
    assert answer.status == 503
    assert "Redis cannot be read" in strictly(answer.text)["error"]


@pytest.mark.parametrize("value", ["traces.example/{trace_id}", "https://traces.example/", "javascript:{trace_id}"])
def test_a_useless_address_for_traces_is_refused(value: str) -> None:
    """The setting must be an address of the web with a place for the id."""
    with pytest.raises(ConfigError, match=r"JOBTELEMETRY_TRACE_URL must be an http:// or https:// address"):
        Config.from_env({"JOBTELEMETRY_TRACE_URL": value})
    good = "https://traces.example/{trace_id}"
    assert Config.from_env({"JOBTELEMETRY_TRACE_URL": good}).trace_url == good
