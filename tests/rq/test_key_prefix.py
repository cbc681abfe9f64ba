"""RQ's key prefix, with a hash tag: everything of one deployment is in one slot of a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.servers import tcp_server
from support.waiting import eventually

PROGRAM = """
import json, sys
import jobtelemetry
jobtelemetry.instrument()
from redis import Redis
from rq import Queue, Retry, SimpleWorker
from jobtelemetry.config import Config
from jobtelemetry.rq.lifecycle import probe
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.reconcile import reconcile
from jobtelemetry.store.record import Limits

redis = Redis.from_url(sys.argv[1])
queue = Queue(connection=redis)
queue.enqueue("os.getpid")
queue.enqueue("os.nothing", retry=Retry(max=1))
queue.enqueue("jobtelemetry.outcomes.Cancel", "nothing_to_do")
queue.enqueue("os.getpid").cancel()
SimpleWorker([queue], connection=redis).work(burst=True, logging_level="CRITICAL")
keys = Keys(Config.from_env().key_prefix)
reconcile(redis, keys, Limits())
snapshot = read_snapshot(redis, keys)
states = {}
for (_, state), counter in snapshot.executions.items():
    states[state.value] = states.get(state.value, 0) + counter.value
print(json.dumps({
    "states": {state: number for state, number in states.items() if number},
    "unstarted": sum(counter.value for counter in snapshot.cancelled_unstarted.values()),
    "errors": {hook: number for hook, number in snapshot.handler_errors.items() if number},
    "prefixes": sorted({key.decode().split(":")[0] for key in redis.scan_iter()}),
}))
"""


@pytest.mark.rq(">=3")  # that has a key prefix
def test_everything_is_in_the_slot_of_the_prefix(tmp_path: Path):
    """On a server in cluster mode every script is accepted, and no key is outside of the prefix."""
    with tcp_server(cluster_enabled="yes", cluster_config_file=str(tmp_path / "nodes.conf")) as server:
        client = server.client()
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), "the cluster to be ready")
        said = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.tcp_url],
            env={**os.environ, "RQ_KEY_PREFIX": "{jobs}"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(said.stdout) == {
        "states": {"completed": 1, "cancelled": 1, "failure": 1, "discard": 1},
        "unstarted": 1,
        "errors": {},
        "prefixes": ["{jobs}"],
    }
