"""``jobtelemetry doctor`` against real servers, and exporters and a Prometheus played by a small HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.diagnosis.endpoints import WATCHDOG
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.mixin.alerts import every
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.store.books import append_register, registered
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Known
from jobtelemetry.store.scripts import execute

Cli = Callable[..., Any]
ALERT = {"type": "alerting", "name": "JobTelemetryBlindSpot", "query": "jobtelemetry_up == 0", "health": "ok"}

#: Every alert of this version, as Prometheus lists a rule.
RULES = [
    ALERT | {"name": alert.name, "state": "firing" if alert.name == WATCHDOG else "inactive"}
    for alert in every(MixinConfig())
]


def findings(said: Any) -> dict[str, dict[str, str]]:
    """Check -> the last finding of it."""
    return {found["check"]: found for found in map(json.loads, said.lines)}


def live_worker(server: EmbeddedServer, name: str, *, instrumented: bool, counted: int) -> None:
    """A worker as RQ registers it, and what RQ has counted for it."""
    keys, connection = Keys(), server.connection()
    facts = {"state": "idle", "queues": "q", "birth": "2026-01-01T00:00:00.000000Z", "successful_job_count": counted}
    connection.sadd(keys.rq_workers, keys.rq_worker(name))
    connection.hset(keys.rq_worker(name), mapping=facts)
    if instrumented:
        pipe = connection.pipeline(transaction=False)
        append_register(pipe, keys, keys.rq_worker(name), '{"jobtelemetry": "1"}', known=Known())
        assert registered(execute(pipe)[0])[1] == ""


@contextmanager
def prometheus(rules: list[dict[str, Any]], up: float | None = 1.0, age: float = 5.0) -> Iterator[str]:
    """What Prometheus answers, as far as the doctor asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            value = time.time() - age if "timestamp" in self.path else up
            data: Any = {"result": [] if up is None else [{"metric": {}, "value": [time.time(), str(value)]}]}
            if "rules" in self.path:
                data = {"groups": [{"name": "g", "rules": rules}]}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.usefixtures("cinema")
def test_all_is_well(cli: Cli, server: EmbeddedServer, record: Callable[..., str]) -> None:
    """With persistence, an instrumented worker, an exporter and a Prometheus with rules the exit code is 0."""
    server.connection().config_set("appendonly", "yes")
    live_worker(server, "pool-1", instrumented=True, counted=3)
    record(number=3, booked=True, rq_worker="pool-1")
    with ExporterServer(server.url, Config(), "127.0.0.1", 0) as exporter, prometheus(RULES) as prom:
        said = cli("doctor", "--json", "--exporter", exporter.url, "--prometheus", prom)
    server.connection().config_set("appendonly", "no")
    found = findings(said)
    assert {check: one["level"] for check, one in found.items() if one["level"] != "ok"} == {}
    assert said.code == 0
    assert "1,278 executions" in found["exporter"]["summary"]
    assert "are jobtelemetry_job_duration_seconds, the label with most values is" in found["series"]["summary"]
    assert "a worker on a queue makes up to 185 and two for each reason" in found["series"]["summary"]
    assert set(found) >= {"permissions", "redis", "persistence", "eviction", "series", "log", "workers", "audit"}
    assert set(found) >= {"hooks", "clocks", "exporter", "prometheus", "rules"}


def test_a_blind_spot_is_exit_code_2_and_says_what_to_do(cli: Cli, server: EmbeddedServer) -> None:
    """An uninstrumented worker is named, with the way to mend it."""
    live_worker(server, "stranger", instrumented=False, counted=7)
    said = cli("doctor")
    assert said.code == 2
    (line,) = [line for line in said.lines if "\tworkers\t" in line]
    assert line.startswith("problem\tworkers\t1 of 1 RQ worker not recorded: stranger (not instrumented)")
    assert "7 of 7 executions not recorded: stranger (7)" in said.out


def test_a_warning_is_exit_code_1(cli: Cli, server: EmbeddedServer) -> None:
    """Without persistence there is a warning and no problem."""
    live_worker(server, "pool-1", instrumented=True, counted=0)
    said = cli("doctor", "--json")
    assert said.code == 1
    assert findings(said)["persistence"]["level"] == "warning"
    assert findings(said)["exporter"]["level"] == "not checked"


def test_missing_permissions_are_told(cli: Cli, server: EmbeddedServer) -> None:
    """A user without EVAL, INFO and CONFIG is told what recording needs; what cannot be looked at is not guessed."""
    connection = server.connection()
    connection.execute_command(
        "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+@transaction", "+time"
    )
    said = cli("doctor", "--json", url=f"unix://reader:pw@{server.socket}")
    live_worker(server, "pool-1", instrumented=True, counted=0)
    with_a_worker = cli("doctor", "--json", url=f"unix://reader:pw@{server.socket}")
    connection.execute_command("ACL", "DELUSER", "reader")
    found = findings(said)
    assert said.code == 1
    assert found["permissions"]["level"] == "not checked"
    assert "+eval" in found["permissions"]["advice"]
    assert found["redis"]["level"] == "not checked"
    assert found["workers"]["level"] == "warning"
    assert with_a_worker.code == 0, with_a_worker.out


def test_a_key_of_another_program_is_found(cli: Cli, server: EmbeddedServer) -> None:
    """A key of the wrong type is named."""
    server.connection().set(Keys().accounts, "mine")
    found = findings(cli("doctor", "--json"))
    assert "holds a string" in found["permissions"]["summary"]


def test_series_near_the_limit(cli: Cli, record: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that is nearly full is a warning before anything is lost."""
    for number in range(9):
        record(worker=f"w{number}")
    assert findings(cli("doctor", "--json"))["series"]["level"] == "ok"
    monkeypatch.setenv("JOBTELEMETRY_MAX_LABEL_SETS", "10")
    assert findings(cli("doctor", "--json"))["series"]["level"] == "warning"


@pytest.mark.usefixtures("cinema")
def test_an_exporter_of_another_redis_is_a_problem(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    """An exporter that is away, that cannot read, that reads another Redis, and another program are told apart."""
    with EmbeddedServer() as other, ExporterServer(other.url, Config(), "127.0.0.1", 0) as exporter:
        found = findings(cli("doctor", "--json", "--exporter", exporter.url))["exporter"]
        assert (found["level"], "0 executions where Redis holds 1,275" in found["summary"]) == ("problem", True)
        gone = exporter.url
    assert "does not answer" in findings(cli("doctor", "--json", "--exporter", gone))["exporter"]["summary"]
    with ExporterServer(f"unix://{tmp_path}/nobody.sock", Config(), "127.0.0.1", 0) as blind:
        said = findings(cli("doctor", "--json", "--exporter", blind.url))["exporter"]["summary"]
        assert "cannot read its Redis" in said
    urls = {"here": server.url, "gone": f"unix://{tmp_path}/nobody.sock"}
    with ExporterServer(urls, Config(), "127.0.0.1", 0) as several:
        said = cli("doctor", "--json", "--exporter", several.url).lines
        assert any("cannot read the Redis gone" in line for line in said)
    with prometheus([]) as stranger:
        said = findings(cli("doctor", "--json", "--exporter", stranger))["exporter"]["summary"]
        assert "not an exporter of jobtelemetry" in said


@contextmanager
def answering(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Answers everything alike, and keeps with which login it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{http.server_address[1]}", asked
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"data": []}',
        b'{"data": {"groups": 3, "result": 4}}',
        b'{"data": {"groups": [3, {"rules": [{}, 3, {"name": 4}]}], "result": [{"value": []}]}}',
        b'{"data": {"groups": [], "result": [{"value": [0, "x"]}]}}',
        b"[" * 100_000,
        b"jobtelemetry_up NaN\njobtelemetry_job_executions_total{} +Inf\n",
        b"\xff\x00",
    ],
    ids=range(8),
)
def test_whatever_answers_is_a_finding(cli: Cli, body: bytes) -> None:
    """Nothing that an address answers is a traceback, and its login is used and never shown."""
    with answering(body) as (place, asked):
        url = f"http://scraper:s3cr%2Ft@{place}"
        said = cli("doctor", "--json", "--prometheus", url, "--exporter", url)
    assert said.code == 2, said.err
    assert {findings(said)[check]["level"] for check in ("prometheus", "exporter")} == {"problem"}
    assert "s3cr" not in said.out + said.err
    assert set(asked) == {"Basic c2NyYXBlcjpzM2NyL3Q="}


@pytest.mark.parametrize(
    ("rules", "up", "age", "check", "level", "words"),
    [
        ([], 1, 5, "rules", "problem", "no alert of jobtelemetry"),
        (
            [*RULES, ALERT | {"health": "err", "lastError": "bad"}],
            1,
            5,
            "rules",
            "problem",
            "JobTelemetryBlindSpot: bad",
        ),
        ([ALERT | {"state": "firing"}], 1, 5, "alerts", "warning", "firing: JobTelemetryBlindSpot"),
        ([ALERT], 1, 5, "rules", "warning", "alerts not loaded"),
        ([*RULES, ALERT | {"state": "firing"}], 1, 5, "rules", "ok", "alerts and 0 recording rules loaded"),
        ([ALERT], None, 5, "prometheus", "problem", "scrapes no exporter"),
        ([ALERT], 0, 5, "prometheus", "problem", "is 0"),
        ([ALERT], 1, 900, "prometheus", "warning", "900 s ago"),
    ],
)
def test_what_prometheus_lacks(
    cli: Cli, rules: list[dict[str, Any]], up: float | None, age: float, check: str, level: str, words: str
) -> None:
    """Missing rules, rules that fail, alerts that fire, and scrapes that are missing or old are each told."""
    with prometheus(rules, up, age) as url:
        found = findings(cli("doctor", "--json", "--prometheus", url))[check]
    assert found["level"] == level
    assert words in found["summary"]


def test_an_absent_redis_is_a_finding(cli: Cli, tmp_path: Path) -> None:
    """The doctor reports a Redis that does not answer like any other problem, and goes on with the rest."""
    said = cli("doctor", "--json", "--exporter", "ftp://x", url=f"unix://{tmp_path}/nobody.sock")
    assert said.code == 2
    found = findings(said)
    assert "does not answer" in found["redis"]["summary"]
    assert "http:// or https:// is needed" in found["exporter"]["summary"]
    assert said.err == ""
