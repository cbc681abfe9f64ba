"""What ``import jobtelemetry`` and ``instrument()`` add to a process that has imported RQ, in fresh interpreters.

And what the first hook that is called adds to that, once: in an application as it enqueues its first job, in an RQ
worker as it starts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.pairing import ROOT, environ

#: Imports what a worker has anyway, then ours; resident memory is private and shared together.
_PROGRAM = """
import json, sys, time
import rq, rq.worker, rq.scheduler, redis
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
figures = {}
def step(name, action):
    modules, bytes_before, began = len(sys.modules), memory(), time.perf_counter()
    action()
    figures[name] = {
        "milliseconds": (time.perf_counter() - began) * 1e3,
        "megabytes": (memory() - bytes_before) / 1e6,
        "modules": len(sys.modules) - modules,
    }
step("import jobtelemetry", lambda: __import__("jobtelemetry"))
step("instrument()", lambda: sys.modules["jobtelemetry"].instrument())
step("then, once, as the first job is enqueued or an RQ worker starts", lambda: __import__("jobtelemetry.rq.working"))
print(json.dumps(figures))
"""


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Medians per step: milliseconds, megabytes of resident memory (where there is /proc), modules loaded."""
    found: list[dict[str, dict[str, float]]] = []
    for _ in range(rounds + 1):
        done: Any = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environ(), capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    warm = found[1:]  # the first one may have compiled
    return {
        step: {figure: statistics.median(one[step][figure] for one in warm) for figure in warm[0][step]}
        for step in warm[0]
    }
