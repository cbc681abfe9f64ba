"""The exporter over real HTTP, with a real Redis that comes and goes."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.background import every
from jobtelemetry.exporter.clients import LIMITS, Phase
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.reading import TIME_LIMIT
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.store.keys import DEPARTED, LAYOUT, UNBOOKED, Keys
from support.needed import needed

Fetch = Callable[..., Any]
Serve = Callable[..., ExporterServer]
Eventually = Callable[..., None]
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def test_metrics_page_and_health(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """With Redis there every address answers 200 with what belongs there."""
    url = serve(redis_server.url).url
    metrics = fetch(f"{url}/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "\njobtelemetry_up 1.0\n" in metrics.text
    page = fetch(f"{url}/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "No job has been seen yet" in page.text
    assert [fetch(f"{url}/{path}").status for path in ("healthz", "readyz", "metrics/")] == [200, 200, 200]


def test_a_connection_is_as_good_as_a_url(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """An application hands over its own connection, even one that decodes its replies."""
    server = serve(redis_server.connection(decode_responses=True))
    assert "\njobtelemetry_up 1.0\n" in fetch(f"{server.url}/metrics").text


def test_openmetrics_is_negotiated(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """Who accepts OpenMetrics gets it, complete to its last line."""
    answer = fetch(f"{serve(redis_server.url).url}/metrics", Accept=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(answer.text)} >= {"jobtelemetry_up", "jobtelemetry_build_info"}


@pytest.mark.parametrize(("accept", "generate"), [("text/plain", generate_text), (OPENMETRICS, generate_openmetrics)])
def test_what_is_kept_of_the_last_scrape_never_shows(
    accept: str, generate: Callable[[Any], bytes], redis_server: EmbeddedServer, serve: Serve, fetch: Fetch
) -> None:
    """Whatever changed in Redis, the answer is what a registry with a collector of its own shows."""
    connection, keys, counts = redis_server.connection(), Keys(), {}
    url = f"{serve(redis_server.url).url}/metrics"
    rows = {"seen": "5", "changed": "5", "duration|completed|0.5": "3", "wait|1.0": "3", "errors|ReadTimeout": "1"}
    for change, (labels, executions) in enumerate([("w|q", 3), ("w|other", 1), ("w|q", 4), ('"|q|source=x', 1)], 1):
        counts[labels] = executions
        connection.hset(keys.label_set(labels), mapping=rows | {"executions|completed": executions, "enqueued": change})
        connection.zadd(keys.sets, {labels: change})
        total = sum(counts.values())
        meta = {"layout": LAYOUT, "generation": "1", "since": "4", "change": change, "counted": total}
        connection.hset(keys.meta, mapping=meta)
        connection.hset(keys.accounts, f"{DEPARTED}|{UNBOOKED}", total)
        registry = CollectorRegistry()
        registry.register(Collector(connection, Config()))
        shown, wanted = fetch(url, Accept=accept).text, generate(registry).decode()
        assert _without_time(shown) == _without_time(wanted)
        packed = fetch(url, Accept=accept, Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert _without_time(packed.text) == _without_time(wanted)
        assert f'state="completed",worker="w"}} {counts["w|q"]}.0' in shown
    assert 'source="x"' in shown


def _without_time(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("jobtelemetry_scrape_duration_seconds ")]


def test_some_of_the_families(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """``name[]`` asks for some of them, as it does of any Python exporter."""
    text = fetch(f"{serve(redis_server.url).url}/metrics?name[]=jobtelemetry_up").text
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["jobtelemetry_up 1.0"]


def test_gzip_where_it_is_accepted(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """The metrics are packed for who can unpack them, and only then."""
    url = f"{serve(redis_server.url).url}/metrics"
    packed = fetch(url, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert "jobtelemetry_up 1.0" in packed.text
    assert "content-encoding" not in fetch(url).headers


def test_promtool_has_nothing_to_say_about_the_answer(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """What a scrape gets passes Prometheus' linter."""
    body = fetch(f"{serve(redis_server.url).url}/metrics").body
    checked = subprocess.run(
        [needed("promtool"), "check", "metrics"], input=body, capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_other_addresses_and_methods(nobody: str, serve: Serve, fetch: Fetch) -> None:
    """Elsewhere is 404, anything but reading is 405, and HEAD answers as GET does but for the body."""
    url = serve(nobody).url
    assert fetch(f"{url}/admin").status == 404
    refused = fetch(f"{url}/metrics", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert fetch(f"{url}/", "DELETE").status == 405
    for path in ("/", "/metrics", "/healthz"):
        head = fetch(f"{url}{path}", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 0


def test_the_page_is_locked_down(nobody: str, serve: Serve, fetch: Fetch) -> None:
    """Even if markup got into the page, a browser would run and load nothing."""
    headers = fetch(f"{serve(nobody).url}/").headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_redis_away_and_back(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch, eventually: Eventually) -> None:
    """A scrape without Redis is 200 with up 0 in under two seconds; when Redis is back, so are the numbers."""
    url = serve(redis_server.url).url
    redis_server.kill()
    away = fetch(f"{url}/metrics")
    assert (away.status, away.seconds < 2) == (200, True)
    assert "\njobtelemetry_up 0.0\n" in away.text
    assert "jobtelemetry_unrecorded_executions" not in away.text
    assert fetch(f"{url}/healthz").status == 200
    assert fetch(f"{url}/readyz").status == 503
    assert "Redis is away" in fetch(f"{url}/").text
    redis_server.restart()
    eventually(lambda: "\njobtelemetry_up 1.0\n" in fetch(f"{url}/metrics").text)
    assert fetch(f"{url}/readyz").status == 200


def test_a_server_that_never_answers(hanging: str, serve: Serve, fetch: Fetch) -> None:
    """A Redis that accepts and stays silent costs no scrape more than two seconds, also for several at once."""
    url = serve(hanging).url
    answers: list[Any] = []
    paths = ("metrics", "metrics", "", "readyz", "metrics")
    threads = [threading.Thread(target=lambda path=path: answers.append(fetch(f"{url}/{path}"))) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 503]
    assert max(answer.seconds for answer in answers) < 2.5


def test_silent_clients_block_nobody(nobody: str, serve: Serve, fetch: Fetch) -> None:
    """Many connections that say nothing, or half of something, leave room for a scrape."""
    server = serve(nobody)
    with ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(socket.create_connection(server.address))
            if number % 2:
                client.sendall(b"GET /metrics HT")
        assert fetch(f"{server.url}/metrics").seconds < 2


def test_a_silent_client_is_dropped(nobody: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and says nothing is disconnected after a while, without a word in the log."""
    monkeypatch.setitem(LIMITS, Phase.NEW, 0.1)
    with socket.create_connection(serve(nobody).address, timeout=10) as client:
        assert client.recv(1) == b""


def test_garbage_is_refused_quietly(
    nobody: str, serve: Serve, fetch: Fetch, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no HTTP gets an error or is dropped, and nothing is printed."""
    monkeypatch.setitem(LIMITS, Phase.NEW, 0.5)
    server = serve(nobody)
    for garbage in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET " + b"a" * 70_000 + b"\r\n\r\n",
        b"\r\n",
    ):
        with socket.create_connection(server.address, timeout=10) as client:
            client.sendall(garbage)
            try:
                reply = client.recv(100)
            except ConnectionResetError:
                reply = b""
            assert b" 200 " not in reply
    with socket.create_connection(server.address) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert fetch(f"{server.url}/healthz").status == 200
    assert capfd.readouterr() == ("", "")


def test_a_fault_of_our_own_is_500(nobody: str, serve: Serve, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the page is logged and answered, and tells the visitor nothing about it."""
    monkeypatch.setattr("jobtelemetry.exporter.pages.overview.render", lambda *_, **__: 1 / 0)
    answer = fetch(f"{serve(nobody).url}/")
    assert answer.status == 500
    assert "Zero" not in answer.text


def test_a_busy_port_is_one_clear_sentence(nobody: str, serve: Serve) -> None:
    """A port that is taken is named, with the option that helps."""
    taken = serve(nobody).address[1]
    with pytest.raises(ConfigError) as caught:
        ExporterServer(nobody, Config(), "127.0.0.1", taken)
    assert str(caught.value) == f"port {taken} on 127.0.0.1 is already in use; choose another with --listen"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine(nobody: str, host: str) -> None:
    """An address that is not this machine's is named as such."""
    with pytest.raises(ConfigError, match=f"{host} is no address of this machine"):
        ExporterServer(nobody, Config(), host, 0)


def test_ipv6(nobody: str, fetch: Fetch) -> None:
    """An IPv6 address works, and its URL has brackets."""
    with ExporterServer(nobody, Config(), "::1", 0) as server:
        assert server.url.startswith("http://[::1]:")
        assert fetch(f"{server.url}/healthz").status == 200


def test_all_interfaces_are_shown_by_an_address_that_opens(nobody: str, fetch: Fetch) -> None:
    """Listening everywhere, the URL is one that works from this machine."""
    with ExporterServer(nobody, Config(), "0.0.0.0", 0) as server:
        assert server.address[0] == "0.0.0.0"
        assert fetch(f"{server.url}/healthz").status == 200
    with ExporterServer(nobody, Config(), "::", 0) as server:
        for host in ("[::1]", "127.0.0.1"):
            assert fetch(f"http://{host}:{server.address[1]}/healthz").status == 200


def test_a_unix_socket(nobody: str, tmp_path: Path) -> None:
    """A proxy on the same machine reaches it by a file, which goes with it and outlives a killed one."""
    path = tmp_path / "exporter.sock"
    with socket.socket(socket.AF_UNIX) as left_over:  # by a process that was killed
        left_over.bind(str(path))
    with ExporterServer(nobody, Config(), f"unix:{path}", 0) as server:
        assert server.url == f"unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o660
        curl = [needed("curl"), "-sS", "--unix-socket", str(path), "http://x/healthz"]
        assert subprocess.run(curl, capture_output=True, text=True).stdout == "ok\n"
        with pytest.raises(ConfigError, match="somebody listens on"):
            ExporterServer(nobody, Config(), f"unix:{path}", 0)
    assert not path.exists()
    path.write_text("not ours")
    with pytest.raises(ConfigError, match="is no socket"):
        ExporterServer(nobody, Config(), f"unix:{path}", 0)
    with pytest.raises(ConfigError, match="cannot listen on unix:/nowhere"):
        ExporterServer(nobody, Config(), "unix:/nowhere/at/all", 0)


def test_below_a_prefix(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """Everything is below it, nothing beside it, and without a slash at the end one is sent to the page."""
    server = serve(redis_server.url, config=Config(route_prefix="/telemetry"))
    assert server.url.endswith("/telemetry")
    assert [fetch(f"{server.url}{path}").status for path in ("/metrics", "/", "/healthz", "/readyz")] == [200] * 4
    assert "No job has been seen yet" in fetch(server.url).text
    base = server.url.removesuffix("/telemetry")
    assert [fetch(f"{base}{path}").status for path in ("/metrics", "/", "/telemetryx")] == [404] * 3


def test_a_scrape_with_little_time(hanging: str, serve: Serve, fetch: Fetch) -> None:
    """Prometheus says how long it waits; it gets up 0 before it gives up."""
    url = f"{serve(hanging).url}/metrics"
    answer = fetch(url, X_Prometheus_Scrape_Timeout_Seconds="0.4")
    assert "\njobtelemetry_up 0.0\n" in answer.text
    took = re.search(r"\njobtelemetry_scrape_duration_seconds (\S+)", answer.text)
    assert took is not None
    assert 0.25 < float(took[1]) < TIME_LIMIT  # its own limit would be longer


def test_closing_frees_the_port(nobody: str) -> None:
    """After close nothing listens, no thread is left, and closing again does no harm."""
    with ExporterServer(nobody, Config(), "127.0.0.1", 0) as server:
        port = server.address[1]
    server.close()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).request("GET", "/")
    assert not [thread for thread in threading.enumerate() if thread.name == "jobtelemetry-http"]
    ExporterServer(nobody, Config(), "127.0.0.1", port).close()


def test_a_forked_child_does_not_keep_the_port(nobody: str) -> None:
    """A worker forked by a pool that serves metrics does not hold its port when the pool is gone."""
    program = f"""
import os
from jobtelemetry.config import Config
from jobtelemetry.exporter.server import ExporterServer
server = ExporterServer({nobody!r}, Config(), "127.0.0.1", 0)
forked, done = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(forked[1], b"x"); os.close(done[1]); os.read(done[0], 1); os._exit(0)
os.read(forked[0], 1)
port = server.address[1]
server.close()
ExporterServer({nobody!r}, Config(), "127.0.0.1", port).close()
os.close(done[1]); os.wait()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=os.environ)


def test_the_background_runs_beside_and_ends_with_the_server(nobody: str, serve: Serve) -> None:
    """The given function runs in a thread of its own and is told when the server closes."""
    told = threading.Event()

    def background(stop: threading.Event) -> None:
        stop.wait()
        told.set()

    server = serve(nobody, background=background)
    assert not told.is_set()
    server.close()
    assert told.is_set()


def test_a_failing_background_goes_on(eventually: Eventually, caplog: pytest.LogCaptureFixture) -> None:
    """Something done every few seconds survives its errors and logs the first of a row."""
    runs, stop = [], threading.Event()

    def action() -> None:
        runs.append(None)
        if len(runs) != 3:
            raise redis.ConnectionError("refused")

    thread = threading.Thread(target=every(0.001, action, name="reconciler"), args=(stop,))
    thread.start()
    eventually(lambda: len(runs) > 5)
    stop.set()
    thread.join()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["The reconciler failed and will be tried again: refused"] * 2


def test_two_exporters_show_the_same(redis_server: EmbeddedServer, serve: Serve, fetch: Fetch) -> None:
    """The numbers live in Redis: exporters can be many, and can be restarted."""
    redis = redis_server.connection()
    rows = {"seen": "5", "changed": "5", "executions|completed": "3", "executions|cancelled": "2"}
    redis.hset("rq:telemetry:set:w|q", mapping=rows)
    redis.zadd("rq:telemetry:sets", {"w|q": 1})
    redis.hset("rq:telemetry:meta", mapping={"layout": "2", "generation": "1", "change": "1", "counted": "5"})
    redis.hset("rq:telemetry:accounts", "|unbooked", 5)
    texts = [fetch(f"{serve(redis_server.url).url}/metrics").text for _ in range(2)]
    counts = [[line for line in text.splitlines() if line.startswith("jobtelemetry_job_")] for text in texts]
    assert counts[0] == counts[1]
    assert 'jobtelemetry_job_executions_total{queue="q",state="completed",worker="w"} 3.0' in counts[0]
