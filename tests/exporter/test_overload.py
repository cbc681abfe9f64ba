"""More clients than there is room for, and clients that take their time: others are served all the same."""

from __future__ import annotations

import http.client
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.exporter import clients, server
from jobtelemetry.exporter.server import ExporterServer
from support.waiting import eventually

Serve = Callable[..., ExporterServer]
FILES = 64
_RUNNING: dict[str, ExporterServer] = {}  # one for all examples of a property


@contextmanager
def with_few_files(url: str) -> Iterator[tuple[psutil.Process, int, list[str]]]:
    """An exporter that may open 64 files: the process, its port and what it logs."""
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
from jobtelemetry.cli import main
main(["exporter", "--listen", "127.0.0.1:0", "--redis-url", {url!r}])
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stderr.readline, "")))
    reader.start()
    try:
        found = eventually(lambda: re.search(r":(\d+)/metrics", "".join(lines)), "the exporter serves")
        yield psutil.Process(process.pid), int(found[1]), lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def ask(connection: http.client.HTTPConnection, path: str) -> int:
    """One request over a connection that stays."""
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("said", [b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nG"], ids=["slow", "idle"])
def test_a_crowd_shuts_nobody_out(redis_server: EmbeddedServer, said: bytes) -> None:
    """With three times as many clients as files Prometheus' connection goes on, newcomers are served, a line tells."""
    with with_few_files(redis_server.url) as (process, port, lines), ExitStack() as stack:
        prometheus = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        stack.callback(prometheus.close)
        assert [ask(prometheus, "/metrics") for _ in range(3)] == [200, 200, 200]
        own = prometheus.sock
        for _ in range(3 * FILES):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            client.sendall(said)
        used = sum(process.cpu_times()[:2])
        for _ in range(5):
            assert ask(prometheus, "/metrics") == 200
            newcomer = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            assert ask(newcomer, "/healthz") == 200
            newcomer.close()
        assert prometheus.sock is own
        assert sum(process.cpu_times()[:2]) - used < 1
    assert sum("connections are taken" in line for line in lines) == 1
    assert not any("Traceback" in line for line in lines)


def test_no_files_left_is_one_line_and_no_spinning(nobody: str, serve: Serve, fetch: Any, monkeypatch: Any) -> None:
    """Where the system has no more, accepting pauses and says so once; who is connected is answered; then all are."""
    monkeypatch.setattr(clients, "affordable", lambda: 512)
    running = serve(nobody)
    warnings: list[str] = []
    monkeypatch.setattr(
        "jobtelemetry.exporter.listener.logger.warning", lambda message, *rest, **_: warnings.append(message % rest)
    )
    prometheus = http.client.HTTPConnection(*running.address, timeout=10)
    assert ask(prometheus, "/metrics") == 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(running.address, 10) as waiting:
        assert ask(prometheus, "/metrics") == 200
        newcomers = [socket.socket() for _ in range(5)]  # more than what may be free again below them
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(one.fileno() for one in newcomers) + 1, hard))
        try:
            for newcomer in newcomers:
                newcomer.connect(running.address)
            eventually(lambda: warnings, "it is told")
            assert ask(prometheus, "/healthz") == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting.close()
        for newcomer in newcomers:
            newcomer.close()
    assert fetch(f"{running.url}/healthz").status == 200
    assert warnings == ["Cannot accept connections for now: Too many open files"]
    prometheus.close()


def test_a_request_has_one_time_for_all_its_pieces(nobody: str, serve: Serve, monkeypatch: Any) -> None:
    """A byte now and then does not buy time."""
    monkeypatch.setitem(clients.LIMITS, clients.Phase.NEW, 0.3)
    with socket.create_connection(serve(nobody).address, 10) as client:
        client.settimeout(0.05)
        sent = 0

        def dropped() -> bool:
            nonlocal sent
            try:
                client.sendall(b"G")
                sent += 1
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(dropped, "it is hung up on", 10)
    assert sent > 1


def test_who_takes_no_answer_is_hung_up_on(nobody: str, serve: Serve, monkeypatch: Any) -> None:
    """An answer that nobody reads is not kept for long, and does not count against others for ever."""
    monkeypatch.setitem(clients.LIMITS, clients.Phase.TAKING, 0.2)
    monkeypatch.setattr("jobtelemetry.exporter.pages.overview.render", lambda *_, **__: "x" * 20_000_000)
    running = serve(nobody)
    with socket.create_connection(running.address, 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: running._listener.clients.unsent > 1_000_000, "the answer is under way")
        eventually(lambda: not len(running._listener.clients), "it is hung up on")


def test_answers_that_nobody_takes_do_not_fill_the_memory(
    nobody: str, serve: Serve, fetch: Any, monkeypatch: Any
) -> None:
    """Past a bound others are told to come again, and small answers still go out."""
    monkeypatch.setattr(server, "_MOST_UNSENT", 1_000_000)
    monkeypatch.setattr("jobtelemetry.exporter.pages.overview.render", lambda *_, **__: "x" * 20_000_000)
    running = serve(nobody)
    with socket.create_connection(running.address, 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: running._listener.clients.unsent > 1_000_000, "the answer is under way")
        refused = fetch(f"{running.url}/metrics")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert fetch(f"{running.url}/healthz").status == 200


def test_a_crowd_of_requests_leaves_room_for_prometheus(nobody: str, serve: Serve, monkeypatch: Any) -> None:
    """While strangers fill the queue for Redis, who has been scraping still has a place; a stranger has none."""
    monkeypatch.setattr(server, "_MOST_WAITING", 4)
    release, running = threading.Event(), serve(nobody)
    prometheus, stranger = (http.client.HTTPConnection(*running.address, timeout=20) for _ in range(2))
    assert [ask(prometheus, "/metrics") for _ in range(3)] == [200, 200, 200]
    monkeypatch.setattr("jobtelemetry.exporter.pages.overview.render", lambda *_, **__: str(release.wait(20)))
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(running.address, 10))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: running._waiting == 4, "all places are taken")
        assert (ask(stranger, "/metrics"), ask(prometheus, "/metrics")) == (503, 200)
        release.set()
    prometheus.close()
    stranger.close()


def test_raw_bytes(nobody: str, serve: Serve, fetch: Any) -> None:
    """Odd requests get their answer: the absolute form, pipelining, bodies, traversal, broken framing."""
    running = serve(nobody)

    def raw(*requests: bytes) -> list[bytes]:
        said = b"".join(request.replace(b"\r\n", b"\r\nHost: x\r\n", 1) for request in requests)
        with socket.create_connection(running.address, 10) as client:
            client.sendall(said)
            told = b"".join(iter(lambda: client.recv(65536), b""))
        return re.findall(rb"^HTTP/1\.1 (\d+)", told, re.MULTILINE)

    end = b"Connection: close\r\n\r\n"
    assert raw(b"GET http://example.com/healthz HTTP/1.1\r\n" + end) == [b"200"]
    assert raw(b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\n" + end) == [b"200", b"200"]
    assert raw(b"POST /healthz HTTP/1.1\r\nContent-Length: 2\r\n" + end + b"ab") == [b"405"]
    assert raw(b"OPTIONS * HTTP/1.1\r\n" + end) == [b"404"]
    assert raw(b"GET /../../etc/passwd HTTP/1.1\r\n" + end) == [b"404"]
    assert raw(b"GET /%2e%2e/metrics HTTP/1.1\r\n" + end) == [b"404"]
    assert raw(b"GET /healthz HTTP/1.0\r\n\r\n") == [b"200"]
    for framing in (b"Content-Length: 99999999", b"Content-Length: -1", b"Content-Length: 1\r\nContent-Length: 2"):
        assert raw(b"POST / HTTP/1.1\r\n" + framing + b"\r\n" + end + b"x") == [b"400"]
    smuggled = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    assert raw(b"POST / HTTP/1.1\r\n" + smuggled + end + b"0\r\n\r\n") == [b"400"]
    assert fetch(f"{running.url}/healthz").status == 200


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: f"GET /{text} HTTP/1.1\r\nHost: x\r\n".encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_bytes_take_it_down(nobody: str, serve: Serve, caplog: pytest.LogCaptureFixture, said: bytes) -> None:
    """Whatever is said, the next one is answered and the log has nothing about it."""
    running = _RUNNING.get("it") or _RUNNING.setdefault("it", serve(nobody))
    with socket.create_connection(running.address, 10) as client:
        client.sendall(said + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while client.recv(65536):
                pass
    other = http.client.HTTPConnection(*running.address, timeout=10)
    assert ask(other, "/healthz") == 200
    other.close()
    assert not [record for record in caplog.records if "Redis" not in record.getMessage()]
