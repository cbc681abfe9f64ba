"""What a process measures outside of jobs: written by a thread, once, never waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from jobtelemetry import Counter, Gauge, executing, send_metrics_to
from jobtelemetry.config import Config
from jobtelemetry.errors import ConfigError
from jobtelemetry.own_metrics import background, doors
from jobtelemetry.own_metrics.background import Writer
from jobtelemetry.own_metrics.buffer import MOST_OUTSIDE, Series
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from support.measured import samples
from support.proxy import Proxy
from support.servers import TcpServer
from support.waiting import eventually


@pytest.fixture
def redis(tcp: TcpServer) -> Iterator[Redis]:
    """A server without any key, where this process writes; afterwards it has nothing left to write."""
    tcp.start()
    connection = tcp.client()
    connection.flushall()
    doors.forget()
    send_metrics_to(connection)
    yield connection
    background.writer.begin_anew()
    send_metrics_to(None)
    doors.forget()


def shown(redis: Redis) -> dict[str, float]:
    """What Redis has."""
    return samples(read_snapshot(redis, Keys()))


def writer_to(url: str) -> Writer:
    """One that tries again at once."""
    options = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, "retry": None}
    return Writer(lambda: (Redis.from_url(url, **options), Config()))


def test_a_web_process_writes_in_the_background(redis: Redis) -> None:
    """Any number of threads, every observation once."""
    counter = Counter("requests", "Requests.", ["path"])

    def serve() -> None:
        for _ in range(500):
            counter.labels("/").inc()

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: shown(redis) == {"requests_total{path=/}": 2000.0}, "all requests")
    assert redis.zcard(Keys().batches) == 1
    assert read_snapshot(redis, Keys()).proven


def test_a_reply_that_is_lost_counts_once(redis: Redis, tcp: TcpServer) -> None:
    """A batch that was applied is sent again, and is not applied again."""
    counter = Counter("requests", "Requests.")
    series = counter._series
    with Proxy(tcp.port) as proxy:
        writer = writer_to(proxy.url)
        writer.measure(lambda buffer: buffer.add(series, 2))
        assert writer.flush(10)
        proxy.sever()
        writer.measure(lambda buffer: buffer.add(series, 3))
        assert not writer.flush(0.5)  # not applied
        proxy.mend()
        assert writer.flush(10)
        command_sent_twice = writer._number
        writer.measure(lambda buffer: buffer.add(series, 4))
        assert writer.flush(10)
        writer._number = command_sent_twice  # as if the reply to the last one had been lost
        writer.measure(lambda buffer: buffer.add(series, 4))
        assert writer.flush(10)
        writer.begin_anew()
    assert shown(redis) == {"requests_total{}": 9.0}


def test_redis_away_never_blocks_and_loses_nothing(redis: Redis, tcp: TcpServer) -> None:
    """What is measured meanwhile is written when Redis is back, in the order of its sums."""
    counter, gauge = Counter("requests", "Requests."), Gauge("sessions", "Sessions.")
    counter.inc()
    eventually(lambda: shown(redis) != {}, "the first request")
    tcp.stop()
    began = time.monotonic()
    for number in range(1000):
        counter.inc()
        gauge.set(number)
    assert time.monotonic() - began < 1.0
    tcp.start()
    background.writer.connect_anew()
    send_metrics_to(tcp.client())
    expected = {"requests_total{}": 1000.0, "sessions{}": 999.0}  # this server keeps nothing when it stops
    eventually(lambda: background.writer.flush() and shown(tcp.client()) == expected, "what was measured meanwhile")


def test_what_there_is_no_room_for_is_counted(redis: Redis) -> None:
    """A process without Redis does not grow for ever; how many observations were left out is a counter."""
    writer = writer_to("redis://127.0.0.1:1")
    definition = Counter("requests", "Requests.", ["path"])._definition
    with writer._sending:  # its thread is about to send the first ones
        for number in range(MOST_OUTSIDE + 5):
            series = Series(definition, (str(number),))
            writer.measure(lambda buffer, series=series: buffer.add(series, 1))  # type: ignore[misc]
    assert not writer.flush(0.1)
    connection = redis.connection_pool.connection_kwargs
    writer._connect = lambda: (Redis(host=connection["host"], port=connection["port"]), Config(max_label_sets=50_000))
    writer.connect_anew()
    assert writer.flush(60)
    writer.begin_anew()
    snapshot = read_snapshot(redis, Keys())
    assert len(snapshot.own[0].series) == MOST_OUTSIDE
    assert snapshot.own_left_out == 5


def test_a_script_that_ends_has_written(redis: Redis, tcp: TcpServer) -> None:
    """Also what it measured in its last moment, and what its own children did; from the environment alone."""
    program = (
        "import os, multiprocessing\n"
        "from jobtelemetry import Counter\n"
        "c = Counter('files', 'Files.')\n"
        "c.inc(5)\n"
        "child = multiprocessing.get_context('fork').Process(target=c.inc, args=(2,))\n"
        "child.start(); child.join()\n"
        "c.inc(1)\n"
    )
    environment = {**os.environ, "JOBTELEMETRY_REDIS_URL": tcp.tcp_url}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    assert shown(redis) == {"files_total{}": 8.0}


def test_a_script_without_redis_ends_all_the_same(tcp: TcpServer) -> None:
    """Without an error, in a few seconds, with one line that says why nothing is written."""
    program = "from jobtelemetry import Counter\nCounter('files', 'Files.').inc()\n"
    environment = {**os.environ, "JOBTELEMETRY_REDIS_URL": "redis://:secret@127.0.0.1:1"}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, env=environment, timeout=60, capture_output=True, text=True
    )
    assert time.monotonic() - began < 30
    assert "cannot be written" in done.stderr
    assert "secret" not in done.stderr


def test_only_a_connection_will_do() -> None:
    """Anything else is a clear error at once."""
    with pytest.raises(ConfigError, match="expected a connection"):
        send_metrics_to("redis://localhost")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_does_not_write_what_its_parent_measured(redis: Redis) -> None:
    """It begins with nothing, whatever its parent had waiting."""
    counter = Counter("requests", "Requests.")
    with background.writer._sending:  # the parent cannot write now
        counter.inc(3)
        pid = os.fork()
        if pid == 0:
            counter.inc(4)
            os._exit(0 if executing.leftover is not None and executing.leftover() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert shown(redis) == {"requests_total{}": 4.0}
    eventually(lambda: shown(redis) == {"requests_total{}": 7.0}, "the parent's")
