"""Redis, RQ workers, exporter and Prometheus with the rules of the bundle, all with their real windows."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import yaml
from redis import Redis

from drills.monitoring import DEPLOY
from drills.processes import Process, binary, free_port, python
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.mixin.build import build
from jobtelemetry.mixin.config import MixinConfig
from support.started import Started
from support.waiting import eventually

_HERE = Path(__file__).parent
#: Name -> queues and options of its RQ workers.
WORKERS = {
    "scraping-1": ("scraping",),
    "scraping-2": ("scraping",),
    "posters": ("posters", "scraping"),
    "catalogue": ("catalogue", "catalogue-low"),
    "media": ("media",),
    "newsletter": ("newsletter", "--with-scheduler"),
}
#: The stream in which a log shipper would find the records.
LOKI = 'app="rq-worker"'
_SETTINGS = (f"loki_selector={LOKI}",)


class Site(Started):
    """One installation.

    Args:
        home: For its files: Prometheus' data, logs, dashboards.
        monitoring_only: Start Prometheus alone, on data that are there, to draw once more.
    """

    def __init__(self, home: Path, *, monitoring_only: bool = False) -> None:
        super().__init__()
        self.home, self._monitoring_only = home, monitoring_only
        self.workers: dict[str, Process] = {}
        self.redis: Redis
        self.prometheus = ""

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        written = build(MixinConfig().with_settings(_SETTINGS), self.home / "bundle")
        exporter = f"127.0.0.1:{free_port()}"
        if not self._monitoring_only:
            server = EmbeddedServer(self.home)
            server.start()
            self._stack.callback(server.stop)
            self.redis, self.url = server.connection(), server.url
            for name in WORKERS:
                self.start_worker(name)
            self._process(
                "exporter", *python("jobtelemetry", "exporter", "-u", self.url, "--listen"), f"127.0.0.1:{exporter}"
            )
        self._start_prometheus(exporter, [path for path in written if "rules" in path.parts])

    def _start_prometheus(self, exporter: str, rules: list[Path]) -> None:
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        del config["alerting"]
        config["rule_files"] = [] if self._monitoring_only else list(map(str, rules))
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [exporter]
        if self._monitoring_only:
            config["scrape_configs"] = []
        (self.home / "prometheus.yml").write_text(json.dumps(config))
        self.prometheus = f"http://127.0.0.1:{free_port()}"
        self._process(
            "prometheus",
            binary("prometheus"),
            f"--config.file={self.home / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.home / 'tsdb'}",
            f"--web.listen-address={self.prometheus.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
        )
        eventually(self._prometheus_answers, "Prometheus", 60)

    def start_worker(self, name: str) -> None:
        """Start an RQ worker; its log is lines of JSON."""
        modules = ("--preload", "cinema.scraping.jobs", "--preload", "cinema.catalogue.jobs")
        words = (*python("jobtelemetry", "worker", "--url", self.url, "--log-json", *modules), *WORKERS[name])
        environ = {
            "PYTHONPATH": str(_HERE),
            "JOBTELEMETRY_EXTRA_LABELS": "source",
            "JOBTELEMETRY_APP_VERSION": "",
        }
        self.workers[name] = self._process(f"worker-{name}", *words, **environ)

    def stop_worker(self, name: str) -> None:
        """End an RQ worker in good order."""
        self.workers.pop(name).terminate()

    def mark(self, version: str) -> None:
        """Mark a deploy."""
        self._process("deploy", *python("jobtelemetry", "deploy", "mark", version, "-u", self.url)).wait(60)

    def _process(self, name: str, *command: str, **environ: str) -> Process:
        process = Process(self.home / f"{name}.log", *command, **environ)
        self._stack.callback(process.kill)
        return process

    def _prometheus_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.prometheus}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
