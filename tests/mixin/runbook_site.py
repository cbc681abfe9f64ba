"""What the runbooks' commands are run against: a real server, RQ workers, an exporter, jobs that ended in every way."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from rq import Queue, Retry, Worker
from rq.job import Job, JobStatus

from drills.monitoring import DEPLOY, Monitoring
from drills.processes import Process, free_port, python
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from support.servers import TcpServer
from support.started import Started
from support.waiting import eventually

_ROOT = DEPLOY.parent
#: Commands that go on until somebody ends them, unless they are told to stop by themselves.
_SERVERS = ("jobtelemetry worker ", "jobtelemetry worker-pool ", "jobtelemetry exporter ")
#: Which job a page is about; the others are about one that fails.
_WORKERS = {
    "JobMatchRatioDropped": "drill_jobs.filter_out",
    "JobNewCancelReason": "drill_jobs.filter_out",
    "JobWorkHorseKilled": "drill_jobs.grow",
    "JobNearMemoryLimit": "drill_jobs.grow",
}
_ABOUT_RUNNING_JOBS = {"JobRunningTooLong", "QueueStalled"}


class RunbookSite(Started):
    """One installation for all runbooks.

    Args:
        home: For data and logs.
        server: The server; it must run.
    """

    def __init__(self, home: Path, server: TcpServer) -> None:
        super().__init__()
        self._home, self._server = home, server
        self._redis = server.client()
        self._queue = Queue("default", connection=self._redis)
        self._environ = {"REDIS_URL": server.tcp_url, "QUEUE": "default", "REASON": "filtered"}
        self._environ |= {"FUNCTION": "drill_jobs.show", "PORT": "0", "JOBTELEMETRY_LISTEN": "127.0.0.1:0"}
        self._exporter_port = free_port()

    def _start(self) -> None:
        listen, url = f"127.0.0.1:{self._exporter_port}", self._server.tcp_url
        self._process("exporter", *python("jobtelemetry", "exporter", "--redis-url", url, "--listen", listen))
        self._environ["EXPORTER"] = f"http://{listen}"
        for options in (["--with-scheduler", "--name", "first"], ["--name", "second"]):
            self._process("worker", *python("jobtelemetry", "worker", "--url", url, *options, "default"))
        self._environ["RQ_WORKER"] = "second"
        self._redis.set("drill:feed", "hung")
        for function in ("show", "filter_out"):
            self._queue.enqueue(f"drill_jobs.{function}", 1)
        self._queue.enqueue("drill_jobs.grow", 1, retry=Retry(1))
        self._queue.enqueue_in(timedelta(hours=1), "drill_jobs.show", 1)
        eventually(lambda: self._redis.exists("rq:scheduler-lock:default"), "the scheduler")
        self._eventually_succeeds("curl --fail --silent $EXPORTER/readyz")

    def monitor(self) -> None:
        """Start Prometheus and Alertmanager, if they do not run yet."""
        if "PROMETHEUS" in self._environ:
            return
        rules = [path for path in build(MixinConfig(interval="1s"), self._home) if path.suffix == ".yml"]
        monitoring = Monitoring.on_free_ports(self._home, self._exporter_port, rules)
        for name, command in monitoring.commands().items():
            self._process(name, *command)
        self._environ["PROMETHEUS"] = f"http://127.0.0.1:{monitoring.prometheus_port}"
        self._environ["ALERTMANAGER"] = f"http://127.0.0.1:{monitoring.alertmanager_port}"
        self._eventually_succeeds("promtool query instant $PROMETHEUS ALERTS | grep Watchdog")
        self._eventually_succeeds("curl --fail --silent $ALERTMANAGER/api/v2/alerts | grep Watchdog")

    def prepare(self, page: str) -> None:
        """What the page's commands are about: a job that failed, one that runs, nothing suspended."""
        self._redis.delete("rq:suspended")
        self._forget_hung_jobs()
        failed = self._queue.enqueue("drill_jobs.poison", 1)
        running = next(iter(self._running()), None) or self._queue.enqueue("drill_jobs.feed", 1, job_timeout=-1).id
        eventually(lambda: running in self._running(), "a job that runs")
        eventually(lambda: failed.get_status() == JobStatus.FAILED, "a job that failed")
        job_id = running if page in _ABOUT_RUNNING_JOBS else failed.id
        self._environ |= {"WORKER": _WORKERS.get(page, "drill_jobs.poison"), "JOB_ID": job_id}

    def _forget_hung_jobs(self) -> None:
        """What a page has stopped hangs again, on the last RQ worker, where another page requeues all that failed."""
        registry = self._queue.failed_job_registry
        for job_id in registry.get_job_ids():
            job = Job.fetch(job_id, connection=self._redis)
            if job.func_name == "drill_jobs.feed":
                registry.remove(job, delete_job=True)

    def run(self, command: str) -> None:
        """Run a line as somebody would who pasted it; it must succeed, and a server must come up."""
        if command.startswith(_SERVERS) and "--burst" not in command:
            self._serve(command)
            return
        ran = self._shell(command)
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, f"{command}\n{said}"
        assert "Unable to requeue" not in said, f"{command}\n{said}"
        assert said.strip() or not command.startswith(("curl", "jobtelemetry", "promtool")), f"{command} says nothing"

    def _serve(self, command: str) -> None:
        before = len(self._at_work())
        log = self._home / "served.log"
        log.unlink(missing_ok=True)
        process = Process(log, "bash", "-c", f"exec {command}", **self._shell_environ())
        try:
            if command.startswith("jobtelemetry exporter"):
                eventually(lambda: "Serving metrics on" in log.read_text(), command)
            else:
                more = 2 if " -n 2 " in command else 1
                eventually(lambda: len(self._at_work()) == before + more, command)
            process.terminate()
        finally:
            process.kill()

    def _at_work(self) -> list[str]:
        """RQ workers that look for jobs: from then on SIGTERM ends them in good order."""
        workers = Worker.all(connection=self._redis)
        return [worker.name for worker in workers if worker.get_state() in ("idle", "busy")]

    def _running(self) -> list[str]:
        keys = self._redis.zrange("rq:wip:default", 0, -1)
        jobs = Job.fetch_many([key.decode().partition(":")[0] for key in keys], connection=self._redis)
        return [job.id for job in jobs if job is not None and job.func_name == "drill_jobs.feed"]

    def _eventually_succeeds(self, command: str) -> None:
        eventually(lambda: self._shell(command).returncode == 0, command)

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | self._shell_environ()
        return subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=_ROOT, env=environ, check=False
        )

    def _shell_environ(self) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        return {"PATH": path, "PYTHONPATH": str(Path(__file__).parents[1] / "drills"), **self._environ}

    def _process(self, name: str, *command: str) -> None:
        self._stack.callback(Process(self._home / f"{name}.log", *command).kill)
