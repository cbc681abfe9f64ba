"""A whole installation for one drill: Valkey, RQ workers, exporter, Prometheus, Alertmanager, and traffic."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rq import Queue

from drills.monitoring import Monitoring
from drills.processes import Process, free_port, python
from drills.settings import SETTINGS
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.snapshot import Snapshot
from support.started import Started
from support.waiting import eventually

_WATCHDOG = "JobTelemetryWatchdog"


class Site(Started):
    """Everything that an installation has, with the repository's own configuration.

    Args:
        home: For configuration, data and logs.
        settings: Of the mixin, besides those of every drill.
    """

    def __init__(self, home: Path, settings: Iterable[str] = ()) -> None:
        super().__init__()
        self._home = home
        rules = build(MixinConfig().with_settings((*SETTINGS, *settings)), home)
        self._monitoring = Monitoring.on_free_ports(
            home, free_port(), [path for path in rules if path.suffix == ".yml"]
        )
        #: Names of the alerts that were active at any look.
        self.seen: set[str] = set()
        self.workers: list[Process] = []
        #: The one that an incident has stopped.
        self.stopped: Process

    def _start(self) -> None:
        self.server = EmbeddedServer(self._home, appendonly="yes", appendfsync="always", save="")
        self.server.start()
        self._stack.callback(self.server.stop)
        self.redis = self.server.connection()
        self.start_exporter()
        self._get(self._monitoring.exporter_port, "/healthz")
        for name, command in self._monitoring.commands().items():
            self._process(name, *command)
        eventually(lambda: self.query("min(jobtelemetry_up)") == 1, "a first scrape", 60)
        eventually(lambda: self.active(watchdog=True) == {_WATCHDOG}, "the watchdog in the Alertmanager", 60)

    def start_exporter(self, *, reconcile_interval: str = "1", user: str = "") -> None:
        """Start the exporter, on the same port each time.

        Args:
            reconcile_interval: In seconds; ``"0"`` for an exporter that only shows.
            user: ``name:password`` of its Redis user, if not the default one.
        """
        listen = f"127.0.0.1:{self._monitoring.exporter_port}"
        url = self.server.url.replace("://", f"://{user}@", 1) if user else self.server.url
        command = python("jobtelemetry", "exporter", "--redis-url", url, "--listen", listen)
        self.exporter = self._process("exporter", *command, "--reconcile-interval", reconcile_interval)

    def replace_exporter(self, *, reconcile_interval: str = "1", user: str = "") -> None:
        """Stop the exporter and start another one."""
        self.exporter.kill()
        self.start_exporter(reconcile_interval=reconcile_interval, user=user)

    def run_module(self, name: str, *arguments: str) -> None:
        """Run a module of the drills that is given this Redis, to its end."""
        self._process(name, *python(name, self.server.url, *arguments)).wait(60)

    def start_worker_behind(self, seconds: int) -> None:
        """Start an RQ worker on a host whose clock is behind."""
        self.workers.append(self._process("worker", *python("drill_behind", self.server.url, str(seconds))))

    def start_worker(self, *options: str, queue: str = "default", instrumented: bool = True, **environ: str) -> Process:
        """Start an RQ worker."""
        command = python("jobtelemetry") if instrumented else python("rq.cli")
        words = (*command, "worker", "--url", self.server.url, "--quiet", *options, queue)
        worker = self._process("worker", *words, **environ)
        self.workers.append(worker)
        return worker

    def enqueue(self, function: str, *numbers: int, queue: str = "default", **options: Any) -> None:
        """Put one job per number on a queue."""
        for number in numbers:
            Queue(queue, connection=self.redis).enqueue(f"drill_jobs.{function}", number, **options)

    def set(self, function: str, mode: str) -> None:
        """Say what a job does from now on."""
        self.redis.set(f"drill:{function}", mode)

    def ended(self, function: str) -> float:
        """How many executions have ended."""
        return self.query(f'sum(jobtelemetry_job_executions_total{{worker="drill_jobs.{function}"}})')

    def run(self, function: str, count: int, until: Callable[[], object] = lambda: True, *, at_once: int = 1) -> None:
        """Enqueue one job after the other, never more than a few ahead of the workers, until a condition holds.

        It returns when the last of them has ended.

        Args:
            function: Which job.
            count: How many at least must have ended.
            until: What else must be true.
            at_once: How many jobs may wait.
        """
        numbers = iter(range(1_000_000))
        queue = Queue("default", connection=self.redis)

        def step() -> bool:
            self.active()
            if queue.count < at_once:
                self.enqueue(function, next(numbers))
            return self._ended_in_redis(function) >= count and bool(until())

        _paced(step, f"{count} executions of {function}")
        eventually(self.at_rest, f"the end of {function}", 60)

    def at_rest(self) -> bool:
        """Whether nothing waits and nothing runs."""
        snapshot = self._snapshot()
        return not snapshot.running and not any(queue.jobs["queued"] for queue in snapshot.queues)

    def query(self, expr: str) -> float:
        """One number from Prometheus; -1 if there is none."""
        result = self._result(expr)
        return float(result[0]["value"][1]) if result else -1.0

    def _result(self, expr: str) -> Any:
        return self._get(self._monitoring.prometheus_port, f"/api/v1/query?query={urllib.parse.quote(expr)}")["data"][
            "result"
        ]

    def active(self, *, watchdog: bool = False) -> set[str]:
        """Alerts that are active and not inhibited in the Alertmanager, by name."""
        alerts = self._get(
            self._monitoring.alertmanager_port, "/api/v2/alerts?active=true&inhibited=false&silenced=false"
        )
        names = {alert["labels"]["alertname"] for alert in alerts}
        self.seen |= names - {_WATCHDOG}
        return names if watchdog else names - {_WATCHDOG}

    def now(self) -> float:
        """Prometheus' clock."""
        return self.query("vector(time())")

    def fired(self) -> set[str]:
        """Alerts that ever fired in Prometheus, by name, also those that no look at the Alertmanager has met."""
        expr = f'max by (alertname) (max_over_time(ALERTS{{alertstate="firing", alertname!="{_WATCHDOG}"}}[1h]))'
        return {series["metric"]["alertname"] for series in self._result(expr)}

    def _snapshot(self) -> Snapshot:
        return read_snapshot(self.redis, Keys("rq"))

    def _ended_in_redis(self, function: str) -> int:
        executions = self._snapshot().executions
        return sum(counter.value for (series, _), counter in executions.items() if series.worker.endswith(function))

    def _process(self, name: str, *command: str, **environ: str) -> Process:
        process = Process(self._home / f"{name}.log", *command, **environ)
        self._stack.callback(process.kill)
        return process

    def _get(self, port: int, path: str) -> Any:
        def answer() -> Any:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                    body = response.read()
                    return (json.loads(body) if path.startswith("/api") else body,)
            except (OSError, urllib.error.URLError):
                return None

        return eventually(answer, f"an answer from port {port}", 60)[0]


def _paced(step: Callable[[], bool], what: str) -> None:
    """Call ``step`` a few times a second until it is true."""
    pace = threading.Event()

    def look() -> bool:
        done = step()
        pace.wait(0.15)
        return done

    eventually(look, what, 120)
