"""The chart and the manifests, checked by Kubernetes' own tools and schemas."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml

from jobtelemetry import __version__
from jobtelemetry.contract import FAMILIES
from jobtelemetry.mixin.build import files
from jobtelemetry.mixin.config import MixinConfig
from mixin.promtool import promtool
from support.needed import needed

_DEPLOY = Path(__file__).parents[2] / "deploy"
_CHART = _DEPLOY / "helm" / "jobtelemetry"
_OLDEST, _NEWEST = "1.29", "1.36"
_EVERYTHING = {
    "pool.enabled": "true",
    "pool.image": "shop:1",
    "pool.queues": "{high,default}",
    "networkPolicy.enabled": "true",
    "env.OTEL_SERVICE_NAME": "rq",
    "serviceMonitor.labels.release": "prometheus",
}
Document = dict[str, Any]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Helm, which says what it thinks."""
    return subprocess.run([needed("helm"), *words], capture_output=True, text=True, timeout=60)


def rendered(**settings: str) -> list[Document]:
    """The chart as a release called shop."""
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    ran = helm("template", "shop", str(_CHART), *options)
    assert ran.returncode == 0, ran.stderr
    return [document for document in yaml.safe_load_all(ran.stdout) if document]


def kustomized(folder: Path) -> list[Document]:
    """What ``kubectl apply -k`` would send."""
    ran = subprocess.run([needed("kubectl"), "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return list(yaml.safe_load_all(ran.stdout))


def of(documents: list[Document], kind: str, ending: str = "") -> Document:
    """The one of a kind."""
    (found,) = (one for one in documents if one["kind"] == kind and one["metadata"]["name"].endswith(ending))
    return found


def validate(documents: list[Document]) -> None:
    """Against the schemas of the oldest and the newest Kubernetes, strictly; resources of operators have none there."""
    for document in documents:
        group = document["apiVersion"].partition("/")[0]
        if group in ("v1", "apps", "policy", "autoscaling") or group.endswith(".k8s.io"):
            for version in (_OLDEST, _NEWEST):
                kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        _EVERYTHING,
        {**_EVERYTHING, "pool.autoscaling.kind": "keda"},
        {**_EVERYTHING, "pool.autoscaling.kind": "hpa"},
        {"redis.existingSecret": "mine", "exporter.replicas": "1", "dashboards.enabled": "false"},
    ],
    ids=["defaults", "everything", "keda", "hpa", "little"],
)
def test_the_chart_makes_valid_resources(settings: dict[str, str]) -> None:
    """Each set of values renders to resources that Kubernetes takes, each once."""
    documents = rendered(**settings)
    validate(documents)
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(names) == len(set(names))


def test_helm_finds_nothing_wrong() -> None:
    """``helm lint --strict``, with the values' schema."""
    ran = helm("lint", str(_CHART), "--strict")
    assert ran.returncode == 0, ran.stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in ran.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pool.enabled=true", "pool.image: an image with your application"),
        ("redis.url=", "give redis.url or redis.existingSecret"),
        ("pool.workers=none", "workers"),
        ("redis.url=localhost", "url"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_so(setting: str, said: str) -> None:
    """What is missing or of another kind is named, and nothing is installed."""
    ran = helm("template", "shop", str(_CHART), "--set", setting)
    assert ran.returncode != 0
    assert said in ran.stderr


def test_the_chart_has_the_version_of_the_package() -> None:
    """Chart and package are released together."""
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


def test_rules_and_dashboards_are_those_of_the_mixin(tmp_path: Path) -> None:
    """Chart and base hold the mixin's own, so they cannot go stale; and promtool takes the rules."""
    made = files(MixinConfig())
    groups = [
        group
        for name in ("alerts", "recording")
        for group in yaml.safe_load(made[f"prometheus/rules/jobtelemetry-{name}.yml"])["groups"]
    ]
    for documents in (rendered(), kustomized(_DEPLOY)):
        rule = of(documents, "PrometheusRule")["spec"]
        assert rule["groups"] == groups
        shown = {
            name: json.loads(text)
            for one in documents
            if one["kind"] == "ConfigMap" and one["metadata"]["labels"]["grafana_dashboard"] == "1"
            for name, text in one["data"].items()
        }
        assert shown == {
            Path(name).name: json.loads(text) for name, text in made.items() if name.startswith("grafana/")
        }
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(rule))
    promtool("check", "rules", str(path))


def test_kustomize_makes_valid_resources() -> None:
    """The base alone, the base with monitoring, and the two ways to scale."""
    validate(kustomized(_DEPLOY / "kubernetes"))
    validate(kustomized(_DEPLOY))
    for file in ("hpa", "keda"):
        path = _DEPLOY / "kubernetes" / "monitoring" / f"{file}.yaml"
        scaler = yaml.safe_load(path.read_text())
        validate([scaler])
        assert scaler["spec"]["scaleTargetRef"]["name"] == "jobtelemetry-pool"


def test_pools_are_scaled_by_a_metric_that_there_is() -> None:
    """Every query for KEDA and prometheus-adapter is PromQL over families of the contract."""
    folder = _DEPLOY / "kubernetes" / "monitoring"
    scalers = [
        of(rendered(**_EVERYTHING, **{"pool.autoscaling.kind": "keda"}), "ScaledObject"),
        yaml.safe_load((folder / "keda.yaml").read_text()),
    ]
    queries = [one["spec"]["triggers"][0]["metadata"]["query"] for one in scalers]
    commented = "\n".join(re.findall(r"^#   ?(.*)$", (folder / "hpa.yaml").read_text(), re.MULTILINE))
    (rule,) = yaml.safe_load(textwrap.dedent(commented))["rules"]["external"]
    queries.append(rule["metricsQuery"].replace("<<.LabelMatchers>>", 'queue="default"'))
    names = {family.name for family in FAMILIES}
    for query in queries:
        promql_parser.parse(query)
        assert set(re.findall(r"jobtelemetry_\w+", query)) <= names
    hpa = yaml.safe_load((folder / "hpa.yaml").read_text())
    assert hpa["spec"]["metrics"][0]["external"]["metric"]["name"] == rule["name"]["as"]


@pytest.mark.parametrize("way", ["helm", "kustomize"])
def test_selectors_find_what_they_are_about(way: str) -> None:
    """Service, monitor, budgets and policies select the pods of their deployment, and of no other."""
    documents = rendered(**_EVERYTHING) if way == "helm" else kustomized(_DEPLOY)
    pods = {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]
        for one in documents
        if one["kind"] == "Deployment"
    }

    def selected(labels: Document) -> set[str]:
        return {name for name, pod in pods.items() if labels.items() <= pod["metadata"]["labels"].items()}

    service = of(documents, "Service")
    assert selected(service["spec"]["selector"]) == {"exporter"}
    monitor = of(documents, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"] == "metrics"
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        found = [
            selected(one["spec"].get("podSelector", one["spec"].get("selector"))["matchLabels"])
            for one in documents
            if one["kind"] == kind
        ]
        assert sorted(found, key=str) == [{"exporter"}, {"pool"}]


@pytest.mark.parametrize("way", ["helm", "kustomize"])
def test_pods_run_with_as_little_as_can_be(way: str) -> None:
    """Not root, no capability, a root file system that cannot be written, and time to finish a job."""
    documents = rendered(**_EVERYTHING) if way == "helm" else kustomized(_DEPLOY)
    for deployment in (one for one in documents if one["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        if deployment["metadata"]["name"].endswith("pool"):
            assert pod["terminationGracePeriodSeconds"] == 180 + 30
            assert container["command"][:2] == ["jobtelemetry", "worker-pool"]
        else:
            assert {"readinessProbe", "livenessProbe"} <= container.keys()


def test_the_grace_period_follows_the_longest_job() -> None:
    """A pool with jobs of an hour is given an hour."""
    pool = of(rendered(**_EVERYTHING | {"pool.longestJobSeconds": "3600"}), "Deployment", "pool")
    assert pool["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 3630
