"""Several hosts around one Redis and one exporter, and one of them is cut off for a while."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from hosts.network import Host, Network, permitted
from jobtelemetry.demo.server import find_binary
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from soak.ledger import LEDGER, note, read
from soak.pool import Pool
from soak.verdict import judge
from support.told import listen, log_entries
from support.waiting import eventually

WORKERS_PER_HOST = 2


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of the test's own."""
    if reason := permitted():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Network() as network:
        yield network


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where jobs and workers write what happens."""
    path = tmp_path / "ledger.jsonl"
    path.touch()
    monkeypatch.setenv(LEDGER, str(path))
    monkeypatch.setenv("JOBTELEMETRY_LOG_SIZE", "100000")
    monkeypatch.setenv("JOBTELEMETRY_SOAK_HEARTBEAT_TTL", "8")
    return path


@contextmanager
def redis_on(host: Host, folder: Path) -> Iterator[Redis]:
    """A server on a host, and a client that reaches it by the file system."""
    socket = folder / "valkey.sock"
    settings = {
        "port": "6379",
        "bind": "0.0.0.0",
        "protected-mode": "no",
        "unixsocket": str(socket),
        "save": "",
        "dir": str(folder),
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    process = subprocess.Popen([*host.inside, str(find_binary()), *arguments], stdout=subprocess.DEVNULL)
    client: Redis = Redis(unix_socket_path=str(socket))
    try:
        eventually(lambda: _answers(client), "a server")
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


class Jobs:
    """Puts jobs on the one queue, by name: the workers import them, the test does not."""

    def __init__(self, connection: Redis) -> None:
        self._queue = Queue("mail", connection=connection)
        self._numbers = itertools.count(1)

    def enqueue(self, name: str, *args: Any) -> str:
        """One more job; returns its id."""
        job_id = f"job-{next(self._numbers)}"
        note("producing", job=job_id, kind="")
        self._queue.enqueue(f"tests.soak.jobs.{name}", args=args, job_id=job_id)
        return job_id


@pytest.mark.timeout(240)
def test_a_host_is_cut_off_and_comes_back(network: Network, books: Path, tmp_path: Path) -> None:
    """A host cut off past its heartbeat loses its executions to the abandoned ones; back again, none counts twice."""
    redis_host, exporter_host, *pool_hosts = (network.host() for _ in range(5))
    with redis_on(redis_host, tmp_path) as connection:
        pool = Pool(f"redis://{redis_host.address}:6379", tmp_path)
        try:
            pool.start_exporter("0.0.0.0:9100", exporter_host.inside)
            names = [f"fork{host.number}-{n}" for host in pool_hosts for n in range(WORKERS_PER_HOST)]
            for host in pool_hosts:
                for n in range(WORKERS_PER_HOST):
                    pool.start_worker(f"fork{host.number}-{n}", ("mail",), host.inside)
            eventually(lambda: _idle(connection, len(names)), "six idle workers")
            _cut_off_and_back(network, pool_hosts[1], connection, books, pool)
            _check(connection, books, exporter_host)
        finally:
            pool.end()


def _cut_off_and_back(network: Network, lost: Host, connection: Redis, books: Path, pool: Pool) -> None:
    jobs = Jobs(connection)
    long = {jobs.enqueue("complete", 4.0) for _ in range(3 * WORKERS_PER_HOST)}
    eventually(lambda: long <= _started(books), "every worker at work")
    here = {name for name, member in pool.members.items() if name.startswith(f"fork{lost.number}-")}
    hit = [process.pid for name in here for process in pool.members[name].family()]
    note("chaos", deed="cut off", hit=hit)
    network.cut(lost)
    for name, *args in [("complete", 0.0), ("cancel", 0.0), ("fail", 0.0), ("discard", 0.0)] * 5:
        jobs.enqueue(name, *args)
    eventually(lambda: listen(connection).reconciled >= WORKERS_PER_HOST, "the lost host's executions given up")
    note("chaos", deed="back again", hit=hit)
    network.mend(lost)
    for _ in range(20):
        jobs.enqueue("complete", 0.05)
    eventually(lambda: listen(connection).late >= 1, "the ending of a job that had been given up", 60)
    eventually(lambda: _at_rest(connection), "a pool at rest", 60)


def _check(connection: Redis, books: Path, exporter_host: Host) -> None:
    told = listen(connection)
    verdict = judge(read(books), log_entries(connection))
    assert (verdict.lost, verdict.double, verdict.misclassified) == ([], [], [])
    assert verdict.executions == told.executions == 3 * WORKERS_PER_HOST + 40
    assert told.reconciled == WORKERS_PER_HOST
    assert (told.unrecorded, told.uninstrumented, told.running) == (0, 0, 0)
    fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    metrics = exporter_host.run(sys.executable, "-c", fetch)
    assert f"jobtelemetry_executions_reconciled_total {WORKERS_PER_HOST}.0" in metrics
    assert "jobtelemetry_unrecorded_executions 0.0" in metrics


def _started(books: Path) -> set[str]:
    return {line["job"] for line in read(books) if line["event"] == "start"}


def _idle(connection: Redis, number: int) -> bool:
    states = [worker.status for worker in read_snapshot(connection, Keys()).rq_workers]
    return states == ["idle"] * number


def _at_rest(connection: Redis) -> bool:
    snapshot = read_snapshot(connection, Keys())
    waiting = sum(queue.jobs["queued"] + queue.jobs["intermediate"] for queue in snapshot.queues)
    return not waiting and not snapshot.running and {worker.status for worker in snapshot.rq_workers} == {"idle"}
