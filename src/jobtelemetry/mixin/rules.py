"""What a rule file is made of, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.names import Board


@dataclass(frozen=True)
class Recording:
    """A recording rule, named ``level:metric:operation``."""

    record: str
    expr: str

    def document(self, config: MixinConfig) -> dict[str, Any]:
        """The rule as YAML's plain values."""
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True)
class Alert:
    """An alert.

    Args:
        name: CamelCase; the runbook's file name.
        expr: PromQL; its labels become the alert's.
        severity: ``page``, ``ticket`` or ``none``.
        hold: How long ``expr`` must hold; empty fires at once.
        summary: One line without figures.
        description: Names the worker or queue, and the figure.
        board: Where to look.
        variables: Labels that are handed to the dashboard's variables of the same name.
        labels: Further labels.
    """

    name: str
    expr: str
    severity: str
    summary: str
    description: str
    board: Board
    hold: str = ""
    variables: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    def document(self, config: MixinConfig) -> dict[str, Any]:
        """The rule as YAML's plain values."""
        query = "&".join(f"var-{label}={{{{ $labels.{label} }}}}" for label in self.variables)
        path = f"/d/{self.board.uid}" + (f"?{query}" if query else "")
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.hold} if self.hold else {}),
            "labels": {"severity": config.severity(self.severity), **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                # Where these are is only known to who runs them; what needs no address is always there.
                "runbook": f"jobtelemetry runbook {self.name}",
                **({"runbook_url": f"{config.runbook_url}/{self.name}.md"} if config.runbook_url else {}),
                "dashboard": path,
                **({"dashboard_url": f"{config.grafana_url}{path}"} if config.grafana_url else {}),
            },
        }


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]

    def document(self, config: MixinConfig) -> dict[str, Any]:
        """The group as YAML's plain values."""
        rules = [rule.document(config) for rule in self.rules]
        return {"name": self.name, "interval": self.interval, "rules": rules}


def rule_file(groups: Iterable[Group], config: MixinConfig) -> str:
    """The text of a rule file."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Writes what has several lines as a block."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    document = {"groups": [group.document(config) for group in groups if group.rules]}
    body: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"# Made by `jobtelemetry mixin build`; change the mixin or its settings, not this file.\n{body}"
