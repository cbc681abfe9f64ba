"""One exporter over several Redis servers: each by its name, one of them away while the others are served."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue

import jobtelemetry
from jobtelemetry.cli import main
from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.errors import ConfigError
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.exporter.collector import Collector
from jobtelemetry.exporter.connection import connect
from jobtelemetry.exporter.mounted import wsgi_app
from jobtelemetry.exporter.reconciling import reconcilers
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.outcomes import Outcome, State
from jobtelemetry.store import record, scripts
from jobtelemetry.store.keys import Keys

KEYS = Keys()
RECONCILED = "jobtelemetry_executions_reconciled_total"


@pytest.fixture
def other() -> Iterator[EmbeddedServer]:
    """A second server."""
    with EmbeddedServer() as server:
        yield server


def count(connection: Any, worker: str, *, end: bool = True, keys: Keys = KEYS) -> None:
    """One execution of a worker, as its RQ worker would count it."""
    now = time.time()
    start = record.Start(f"e-{worker}", f"j-{worker}", worker, "default", "rq-worker", "rq-worker", now - 1)
    limits = record.Limits(100, 100)
    pipe = connection.pipeline(transaction=False)
    record.append_start(pipe, keys, start, job_key=keys.job(start.job_id), limits=limits)
    if end:
        event = ExecutionEvent(
            start.execution_id,
            start.job_id,
            worker,
            "default",
            "rq-worker",
            Outcome(State.COMPLETED),
            1,
            now - 1,
            now,
            1.0,
        )
        booking = record.Booking.of(State.COMPLETED)
        here = {"job_key": keys.job(start.job_id), "rq_worker_key": keys.rq_worker("rq-worker")}
        record.append_finish(pipe, keys, event, limits=limits, booking=booking, **here)
    scripts.execute(pipe)


def samples(text: str, name: str) -> dict[str, float]:
    """Server -> value of a sample."""
    return {
        sample.labels["redis"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("state", "completed") == "completed"
    }


def test_each_is_served_under_its_name(
    redis_server: EmbeddedServer, other: EmbeddedServer, serve: Callable[..., Any], fetch: Callable[..., Any]
) -> None:
    """Metrics, pages and JSON say which server a number is of, and lead to it."""
    count(redis_server.connection(), "jobs.of_eu")
    count(other.connection(), "jobs.of_us")
    server = serve({"eu": redis_server.url, "us": other.url})
    text = fetch(f"{server.url}/metrics").text
    assert samples(text, "jobtelemetry_up") == {"eu": 1.0, "us": 1.0}
    assert text.count("# TYPE jobtelemetry_job_executions_total counter") == 1
    for name in ("eu", "us"):
        assert f'{{queue="default",redis="{name}",state="completed",worker="jobs.of_{name}"}} 1.0' in text
    assert all('redis="' in line for line in text.splitlines() if not line.startswith("#"))
    front = fetch(f"{server.url}/").text
    assert 'href="redis/eu/"' in front
    assert 'href="redis/us/"' in front
    page = fetch(f"{server.url}/redis/us/")
    assert "of_us" in page.text
    assert "of_eu" not in page.text
    assert 'href="../../"' in page.text
    moved = fetch(f"{server.url}/redis/us")  # older versions of Python do not follow
    assert moved.status == 200 or moved.headers["location"] == "us/"
    assert fetch(f"{server.url}/redis/us/worker/jobs.of_us").status == 200
    assert fetch(f"{server.url}/redis/asia/").status == 404
    told = json.loads(fetch(f"{server.url}/api/v1").text)["servers"]
    assert {name: (one["up"], one["api"]) for name, one in told.items()} == {
        "eu": (True, "/redis/eu/api/v1"),
        "us": (True, "/redis/us/api/v1"),
    }
    workers = json.loads(fetch(f"{server.url}/redis/eu/api/v1/workers").text)
    assert (workers["redis"], [one["worker"] for one in workers["data"]]) == ("eu", ["jobs.of_eu"])
    assert "below one of /redis/eu/api/v1" in fetch(f"{server.url}/api/v1/workers").text


def test_one_that_is_away_takes_nothing_from_the_others(
    redis_server: EmbeddedServer, nobody: str, hanging: str, serve: Callable[..., Any], fetch: Callable[..., Any]
) -> None:
    """A server that refuses and two that hang cost one time limit together, and the one that answers is served."""
    count(redis_server.connection(), "jobs.here")
    server = serve({"here": redis_server.url, "gone": nobody, "slow": hanging, "slower": hanging})
    answer = fetch(f"{server.url}/metrics")
    assert samples(answer.text, "jobtelemetry_up") == {"here": 1.0, "gone": 0.0, "slow": 0.0, "slower": 0.0}
    assert samples(answer.text, "jobtelemetry_job_executions_total") == {"here": 1.0}
    assert samples(answer.text, "jobtelemetry_scrape_duration_seconds")["here"] < 0.9
    assert answer.seconds < 3.5
    ready = fetch(f"{server.url}/readyz")
    assert (ready.status, ready.text.splitlines()[0]) == (200, "ok")
    assert re.search("^Redis gone does not answer: ", ready.text, re.MULTILINE)
    front = fetch(f"{server.url}/").text
    assert "away: gone, slow, slower" in front
    told = json.loads(fetch(f"{server.url}/api/v1").text)["servers"]
    assert [name for name, one in told.items() if one["up"]] == ["here"]


def test_nobody_is_ready_where_all_are_away(nobody: str, serve: Callable[..., Any], fetch: Callable[..., Any]) -> None:
    """Then there is nothing to read, and each is named."""
    server = serve({"a": nobody, "b": f"{nobody}2"})
    ready = fetch(f"{server.url}/readyz")
    assert ready.status == 503
    assert [line.partition(" does")[0] for line in ready.text.splitlines()] == ["Redis a", "Redis b"]


def test_each_has_a_reconciler(
    redis_server: EmbeddedServer,
    other: EmbeddedServer,
    serve: Callable[..., Any],
    fetch: Callable[..., Any],
    eventually: Callable[..., None],
) -> None:
    """What an RQ worker abandoned is counted on either server."""
    config = Config(reconcile_interval=0.05)
    connections = {"eu": connect(redis_server.url), "us": connect(other.url)}
    for name, connection in connections.items():
        count(connection, f"jobs.of_{name}", end=False)
    server = serve(connections, config=config, reconciler=reconcilers(connections, config))
    wanted = {"eu": 1.0, "us": 1.0}
    eventually(
        lambda: samples(fetch(f"{server.url}/metrics").text, "jobtelemetry_executions_reconciled_total") == wanted
    )
    # Known when the first run is over, which is after it has counted.
    eventually(lambda: samples(fetch(f"{server.url}/metrics").text, "jobtelemetry_reconciler_up") == wanted)


def _answering(pieces: Callable[[], Iterator[bytes]]) -> socketserver.ThreadingTCPServer:
    """What says this to everything."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65536):
                    for piece in pieces():
                        self.request.sendall(piece)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def _dribbling() -> Iterator[bytes]:
    """A large answer, a byte now and then: never long without a word, and never done."""
    yield b"$100000\r\n"
    while True:
        threading.Event().wait(0.2)
        yield b"x"


ODD = {
    "http": lambda: iter([b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]),
    "numbers": lambda: iter([b":1\r\n" * 500]),
    "nonsense": lambda: iter([b"*-5\r\n:abc\r\n$-7\r\n"]),
    "nested": lambda: iter([b"*1\r\n" * 50_000]),
    "endless": lambda: iter([b"$999999999999\r\n"]),
    "bytes": lambda: iter([bytes(range(256)) * 12]),
    "loading": lambda: iter([b"-LOADING Redis is loading the dataset in memory\r\n" * 500]),
    "slow": _dribbling,
}


def test_what_answers_oddly_takes_nothing_from_the_others(
    redis_server: EmbeddedServer,
    serve: Callable[..., Any],
    fetch: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever stands in a Redis' place, or if its name is not known, is one line without a traceback."""
    resolve, released = socket.getaddrinfo, threading.Event()

    def no_name_server(host: Any, *arguments: Any, **more: Any) -> Any:
        if host == "unknown.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host == "unanswered.invalid":
            released.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    count(redis_server.connection(), "jobs.here")
    with ExitStack() as stack:
        odd = {name: stack.enter_context(_answering(pieces)) for name, pieces in ODD.items()}
        for one in odd.values():
            stack.callback(one.shutdown)
        stack.callback(released.set)
        urls = {name: f"redis://127.0.0.1:{one.server_address[1]}" for name, one in odd.items()}
        urls |= {name: f"redis://{name}.invalid" for name in ("unknown", "unanswered")}
        server = serve({"here": redis_server.url, **urls})
        with ThreadPoolExecutor(3) as scrapers:
            answers = list(scrapers.map(lambda _: fetch(f"{server.url}/metrics"), range(3)))
        for answer in answers:
            assert samples(answer.text, "jobtelemetry_up") == {"here": 1.0, **dict.fromkeys(urls, 0.0)}
            assert answer.seconds < 5
        assert samples(answers[0].text, "jobtelemetry_job_executions_total") == {"here": 1.0}
    said = {record.redis: record for record in caplog.records if "cannot be read" in record.getMessage()}
    assert said.keys() == urls.keys()
    assert not any(record.exc_info for record in said.values())
    for name in ("numbers", "nonsense", "nested"):
        assert "what answers there does not speak Redis's protocol (" in said[name].getMessage()


def test_fifty_scrapers_share_a_read(
    redis_server: EmbeddedServer, serve: Callable[..., Any], fetch: Callable[..., Any]
) -> None:
    """Redis is read once for all who ask while it is read, and none of them gets ``up 0``."""
    connection = redis_server.connection()
    count(connection, "jobs.here")
    server = serve(redis_server.url)
    fetch(f"{server.url}/metrics")

    def reads() -> int:
        return int(connection.info("commandstats")["cmdstat_sscan"]["calls"])

    before = reads()
    fetch(f"{server.url}/metrics")
    of_one = reads() - before
    with ThreadPoolExecutor(50) as scrapers:
        texts = [answer.text for answer in scrapers.map(lambda _: fetch(f"{server.url}/metrics"), range(50))]
    assert all("\njobtelemetry_up 1.0\n" in text for text in texts)
    assert (reads() - before - of_one) / of_one < 25


def test_one_collector_has_several_in_a_registry(redis_server: EmbeddedServer, other: EmbeddedServer) -> None:
    """A registry takes no family twice, so several servers go by name into one collector."""
    count(redis_server.connection(), "jobs.of_eu")
    registry = CollectorRegistry()
    registry.register(jobtelemetry.Collector({"eu": redis_server.connection(), "us": other.connection()}))
    text = generate_latest(registry).decode()
    assert samples(text, "jobtelemetry_up") == {"eu": 1.0, "us": 1.0}
    assert samples(text, "jobtelemetry_job_executions_total") == {"eu": 1.0}


class OwnQueue(Queue):
    """A queue with a key prefix of its own, as applications make them."""

    redis_queue_namespace_prefix = "own:queue:"


def test_each_has_its_own_key_prefix(
    redis_server: EmbeddedServer, other: EmbeddedServer, fetch: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """Metrics, pages and reconciler of each look under its own prefix: two servers, and one of them twice."""
    shop, jobs = Keys("shop"), Keys("{jobs}")
    eu, us = redis_server.connection(), other.connection()
    OwnQueue("of_eu", connection=eu).enqueue("builtins.len", [])
    for connection, keys, name in ((eu, KEYS, "eu"), (us, shop, "us"), (us, jobs, "asia")):
        count(connection, f"jobs.of_{name}", keys=keys)
        count(connection, f"jobs.lost_{name}", keys=keys, end=False)  # nothing of RQ's is there: abandoned
    us.sadd(shop.queues, shop.queue("of_us"))
    us.rpush(shop.queue("of_us"), "a", "b")
    config = Config(reconcile_interval=0.05, key_prefixes=(("us", "shop"), ("asia", "{jobs}")))
    clients = {"eu": connect(redis_server.url), "us": connect(other.url), "asia": connect(other.url)}
    own = reconcilers(clients, config)
    with ExporterServer(clients, config, "127.0.0.1", 0, reconciler=own) as server:
        once = dict.fromkeys(clients, 1.0)
        eventually(lambda: samples(fetch(f"{server.url}/metrics").text, RECONCILED) == once)
        text = fetch(f"{server.url}/metrics").text
        pages = {name: fetch(f"{server.url}/redis/{name}/").text for name in clients}
    ended = re.findall(
        r'executions_total\{queue="default",redis="(\w+)",state="completed",worker="([.\w]+)"\} 1\.0', text
    )
    assert sorted(ended) == [(name, f"jobs.of_{name}") for name in sorted(clients)]
    waiting = re.findall(r'queue_jobs\{queue="([^"]*)",redis="(\w+)",status="queued"\} ([12])\.0', text)
    assert [(queue.rpartition(":")[2], *more) for queue, *more in waiting] == [
        ("of_eu", "eu", "1"),
        ("of_us", "us", "2"),
    ]
    for name, page in pages.items():
        assert [other for other in clients if f"of_{other}" in page] == [name]
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "at least one Redis server"),
        ({"a b": "redis://x"}, "name of a Redis server must be"),
        ({"": "redis://x"}, "name of a Redis server must be"),
        ({"../x": "redis://x"}, "name of a Redis server must be"),
        ({"eu": "ftp://x"}, "must begin with redis://"),
    ],
)
def test_what_cannot_be_used_is_an_error(given: dict[str, str], said: str) -> None:
    """In code as at the command, before anything is served."""
    with pytest.raises(ConfigError, match=said):
        wsgi_app(given, Config())


def test_a_key_prefix_belongs_to_a_server() -> None:
    """One for a name that is not there is a mistake; where there is one server without a name nobody asks for it."""
    config = Config(key_prefixes=(("us", "shop"), ("asia", "shop")))
    with pytest.raises(ConfigError, match=r"JOBTELEMETRY_KEY_PREFIXES has a prefix for .* 'asia'; there is us, eu"):
        wsgi_app({"us": "redis://x", "eu": "redis://y"}, config)
    assert wsgi_app("redis://x", config)


def test_a_reconciler_belongs_to_a_server(redis_server: EmbeddedServer) -> None:
    """One for a name that is not there is a mistake."""
    connection = redis_server.connection()
    found = reconcilers({"asia": connection}, Config())
    with pytest.raises(ConfigError, match="reconciler is given for the Redis server 'asia'; there is eu"):
        Collector({"eu": connection}, Config(), reconciler=found)


def check(*arguments: str, **environment: str) -> tuple[int, str]:
    """``jobtelemetry exporter --check`` with these options."""
    names = ("JOBTELEMETRY_REDIS_URL", "RQ_REDIS_URL", "REDIS_URL", "RQ_CONFIG", "JOBTELEMETRY_REDIS_SERVERS_FILE")
    env = {**dict.fromkeys(names), **environment}
    done = CliRunner().invoke(main, ["exporter", "--check", *arguments], env=env)
    return done.exit_code, done.output


def test_the_command_takes_several_by_option_or_file(tmp_path: Path) -> None:
    """``--check`` says which there are, without a password; one with a name has it, too."""
    two = ["-u", "eu=redis://:secret99@eu:6379/0", "-u", "us = unix:///run/us.sock?db=1"]
    said = "can be used: eu: Redis at redis://***@eu:6379/0, us: Redis at unix:///run/us.sock?db=1; no TLS"
    code, output = check(*two)
    assert (code, said in output) == (0, True), output
    file = tmp_path / "servers"
    file.write_text("# ours\n\neu=redis://:secret99@eu:6379/0\nus = unix:///run/us.sock?db=1\n")
    assert said in check("--redis-servers-file", str(file))[1]
    assert said in check(JOBTELEMETRY_REDIS_SERVERS_FILE=str(file))[1]
    assert (
        "Redis at redis://other:6379;"
        in check("-u", "redis://other:6379", JOBTELEMETRY_REDIS_SERVERS_FILE=str(file))[1]
    )
    assert "one: Redis at redis://h:6379;" in check("-u", "one=redis://h:6379")[1]
    file.write_text("eu=redis://eu:6379/0  key_prefix=shop\nus=redis://eu:6379/0 key_prefix={jobs}\nat=redis://at:1")
    said = "eu: Redis at redis://eu:6379/0 under shop, us: Redis at redis://eu:6379/0 under {jobs}, at: Redis at"
    assert said in check("--redis-servers-file", str(file))[1]
    same = ["-u", "eu=redis://h:1 key_prefix=shop", "-u", "us=redis://h:1"]
    assert check(*same)[0] == 0
    assert "'eu' and 'us' are the same Redis" in check(*same, JOBTELEMETRY_KEY_PREFIXES="us=shop")[1]
    assert "server 'asia'; there is eu, us" in check(*same, JOBTELEMETRY_KEY_PREFIXES="asia=shop")[1]
    (tmp_path / "settings_of_rq.py").write_text("REDIS_URL = 'redis://elsewhere:6379/3'\n")
    sys.path.insert(0, str(tmp_path))
    try:
        assert "eu: Redis of settings_of_rq;" in check("-u", "eu=config:settings_of_rq")[1]
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-u", "redis://a:1", "-u", "redis://b:1"], r"each --redis-url has a name, NAME=URL; got 'redis://a:1'"),
        (["-u", "a=redis://a:1", "-u", "redis://:secret99@b:1"], r"has a name, NAME=URL; got 'redis://\*\*\*@b:1'"),
        (["-u", "a=redis://a:1", "-u", "a=redis://b:1"], "two Redis servers have the name 'a'"),
        (["-u", "a=redis://a:1", "-u", "b=redis://a:1"], "'a' and 'b' are the same Redis"),
        (["-u", "a/b=redis://a:1", "-u", "c=redis://b:1"], "Redis|NAME=URL"),
        (["-u", "a b=redis://a:1"], "the name of a Redis server must be up to 63 letters"),
        (["-u", "a=redis://:secret99@h:port"], r"Redis a: the Redis URL .* cannot be used"),
        (["-u", "a=redis://:secret99@h:1 key_prefix=a/b"], "Redis a: key_prefix must be letters, .*, got 'a/b'"),
        (["-u", "a=redis://:secret99@h:1 key_prefix="], "Redis a: key_prefix must be letters, .*, got ''"),
        (["-u", "a=redis://:x secret99@h:1"], "Redis a: after the URL nothing can stand but key_prefix=PREFIX"),
        (["-u", "a=redis://:secret99@h:1 prefix=shop"], "Redis a: after the URL nothing can stand but key_prefix="),
        (["-u", "redis://:secret99@h:1 key_prefix=shop"], "has a name; for the only one set RQ_KEY_PREFIX"),
        (["-u", "a=config:no_such_settings"], "must be a Python module with RQ's settings"),
        (["-u", "a=redis://a:1", "--redis-servers-file", "x"], "either --redis-url or --redis-servers-file"),
        (["--redis-servers-file", "/no/such/file"], "'/no/such/file' cannot be read: No such file"),
    ],
)
def test_a_wrong_server_is_one_line_at_the_door(arguments: list[str], said: str) -> None:
    """What is wrong and what to do, with exit code 2 and without a password."""
    code, output = check(*arguments)
    assert code == 2
    assert re.search(said, output), output
    assert "secret99" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("content", "said"),
    [("eu=redis://a:1\nredis://:secret99@b:1\n", "line 2 of '.*' must be NAME=URL"), ("# none\n", "no Redis server")],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, content: str, said: str) -> None:
    """By its number, since it may have a password in it."""
    file = tmp_path / "servers"
    file.write_text(content)
    code, output = check("--redis-servers-file", str(file))
    assert (code, "secret99" in output) == (2, False)
    assert re.search(said, output), output


def test_the_command_serves_several(
    redis_server: EmbeddedServer, other: EmbeddedServer, fetch: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """As a process: both are up, one dies, the other goes on, and the log says once which one it was."""
    command = [sys.executable, "-m", "jobtelemetry", "exporter", "--listen", "127.0.0.1:0"]
    command += ["-u", f"eu={redis_server.url}", "-u", f"us={other.url}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"http://\S+/metrics", process.stderr.readline())
        assert found
        assert samples(fetch(found[0]).text, "jobtelemetry_up") == {"eu": 1.0, "us": 1.0}
        other.__exit__(None, None, None)
        eventually(lambda: samples(fetch(found[0]).text, "jobtelemetry_up") == {"eu": 1.0, "us": 0.0})
        fetch(found[0])
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=20)
    assert rest.count("Redis us cannot be read, serving jobtelemetry_up 0 until it can") == 1
    assert "Redis eu" not in rest
