"""Prometheus and Alertmanager with the repository's own configuration, on free ports, every second."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from drills.processes import binary, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Monitoring:
    """Where they are, and how they are started.

    Args:
        home: For configuration and data.
        exporter_port: What is scraped.
        rules: The rule files.
    """

    home: Path
    exporter_port: int
    rules: Iterable[Path]
    prometheus_port: int
    alertmanager_port: int

    @classmethod
    def on_free_ports(cls, home: Path, exporter_port: int, rules: Iterable[Path]) -> Monitoring:
        """Nobody else's ports."""
        return cls(home, exporter_port, rules, free_port(), free_port())

    def commands(self) -> dict[str, list[str]]:
        """What to run, by name."""
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = list(map(str, self.rules))
        alertmanagers = config["alerting"]["alertmanagers"][0]["static_configs"][0]
        alertmanagers["targets"] = [f"127.0.0.1:{self.alertmanager_port}"]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{self.exporter_port}"]
        (self.home / "prometheus.yml").write_text(json.dumps(config))
        return {
            "alertmanager": [
                binary("prometheus-alertmanager", "alertmanager"),
                f"--config.file={DEPLOY / 'alertmanager' / 'alertmanager.yml'}",
                f"--storage.path={self.home / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{self.alertmanager_port}",
                "--cluster.listen-address=",
            ],
            "prometheus": [
                binary("prometheus"),
                f"--config.file={self.home / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.home / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
                "--enable-feature=exemplar-storage",
                "--rules.alert.resend-delay=2s",
            ],
        }
