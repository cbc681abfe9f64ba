"""Makes ``prometheusrule.yaml`` beside this file from the rules in ``deploy/prometheus/rules``."""

from pathlib import Path

import yaml

_HERE = Path(__file__).parent
_HEAD = "# Made by python deploy/kubernetes/monitoring/make_rules.py; change the mixin, not this file.\n"


def document() -> str:
    """The rules as the Prometheus Operator takes them."""
    files = sorted((_HERE.parents[1] / "prometheus" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "jobtelemetry", "labels": {"app.kubernetes.io/name": "jobtelemetry"}},
        "spec": {"groups": groups},
    }
    return _HEAD + yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    (_HERE / "prometheusrule.yaml").write_text(document(), "utf-8")
