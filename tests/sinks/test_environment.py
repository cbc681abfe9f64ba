"""Variables that are set for every program of a host do not stop a worker; what cannot be had is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobtelemetry import otel
from sinks import sentry_jobs as jobs
from sinks.conftest import TESTS, Scene

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
CONSOLE = {"OTEL_TRACES_EXPORTER": "console"}
QUICK = {"JOBTELEMETRY_FLUSH_TIMEOUT": "0.2"}

#: What is set -> what the line must name.
ODD: dict[str, tuple[dict[str, str], list[str]]] = {
    "a propagator": ({**CONSOLE, "OTEL_PROPAGATORS": "tracecontext,xray"}, ["OTEL_PROPAGATORS", "xray", "install"]),
    "grpc": (
        {**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        ["OTEL_EXPORTER_OTLP_PROTOCOL", "jobtelemetry[otlp-grpc]"],
    ),
    "a protocol": (
        {**COLLECTOR, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"],
    ),
    "an exporter": ({"OTEL_TRACES_EXPORTER": "zipkin"}, ["OTEL_TRACES_EXPORTER", "zipkin", "console"]),
    "a limit": ({**CONSOLE, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"]),
    "a delay": ({**CONSOLE, "OTEL_BSP_SCHEDULE_DELAY": "soon"}, ["OTEL_BSP_SCHEDULE_DELAY", "whole number"]),
    "a provider": ({**CONSOLE, "OTEL_PYTHON_TRACER_PROVIDER": "nosuch"}, ["OTEL_PYTHON_TRACER_PROVIDER"]),
    "a resource": ({**CONSOLE, "OTEL_RESOURCE_ATTRIBUTES": "nonsense"}, ["resource attribute"]),
    "a DSN": ({"SENTRY_DSN": "nonsense"}, ["SENTRY_DSN"]),
}


@pytest.mark.parametrize("what", ODD)
def test_what_the_environment_cannot_have_is_one_line_and_no_end(scene: Scene, tmp_path: Path, what: str) -> None:
    """The worker runs its job, counts it, and names the variable once; nobody sees a traceback."""
    environment, named = ODD[what]
    if what == "grpc":  # without the extra
        environment = {**environment, **without(tmp_path, "opentelemetry.exporter.otlp.proto.grpc")}
    job = scene.queue.enqueue(jobs.returns, meta={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    arguments = ("-m", "jobtelemetry", "worker", "--url", scene.redis.url, "--burst")
    scene.finish(scene.start(*arguments, **QUICK, **environment))
    assert job.get_status() == "finished"
    assert scene.connection.xlen("rq:telemetry:log") == 1
    lines = [line for line in scene.output.splitlines() if all(name in line for name in named)]
    assert len(lines) == 1, scene.output
    assert "Traceback" not in scene.output


def test_a_trailing_comma_names_nothing(scene: Scene) -> None:
    """``console,`` is the console."""
    scene.queue.enqueue(jobs.returns)
    arguments = ("-m", "jobtelemetry", "worker", "--url", scene.redis.url, "--burst")
    scene.finish(scene.start(*arguments, OTEL_TRACES_EXPORTER="console,"))
    assert '"name": "process default"' in scene.output


def without(folder: Path, module: str) -> dict[str, str]:
    """Variables of a Python in which a module is not installed."""
    (folder / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None")
    return {"PYTHONPATH": f"{folder}:{TESTS}"}


@pytest.mark.parametrize("module", ["opentelemetry.sdk", "opentelemetry.exporter"])
def test_an_endpoint_without_the_extra_says_what_to_install(scene: Scene, tmp_path: Path, module: str) -> None:
    """The base installation has no SDK; jobs run without it, and one line says how to get traces."""
    scene.queue.enqueue(jobs.returns)
    environment = {**COLLECTOR, **without(tmp_path, module)}
    scene.finish(scene.start("-m", "jobtelemetry", "worker", "--url", scene.redis.url, "--burst", **environment))
    assert scene.connection.xlen("rq:telemetry:log") == 1
    assert scene.output.count("pip install 'jobtelemetry[otlp]'") == 1
    assert "Traceback" not in scene.output


def test_a_worker_without_a_provider_is_told(scene: Scene) -> None:
    """Where an exporter is named and nobody made a provider, as without opentelemetry-distro, it is said once."""
    program = (
        "from jobtelemetry import otel; from jobtelemetry.logformat import tell_facts; tell_facts();"
        "otel.warn_without_provider(); otel.warn_without_provider()"
    )
    scene.finish(scene.start("-c", program, OTEL_TRACES_EXPORTER="otlp"))
    assert scene.output.count("opentelemetry-distro") == 1
    assert "OTEL_TRACES_EXPORTER" in scene.output


@pytest.mark.parametrize(
    ("environment", "yes"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": ","}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "None", **COLLECTOR}, False),
        ({"OTEL_TRACES_EXPORTER": " otlp, "}, True),
        (COLLECTOR, True),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_wanted_where_the_environment_says_so(environment: dict[str, str], yes: bool) -> None:
    """An exporter or an endpoint; an empty name is none."""
    assert otel.wanted(environment) is yes


def test_without_traces_nothing_of_opentelemetry_is_imported(scene: Scene) -> None:
    """Our commands ask the environment first."""
    program = (
        "import sys; from jobtelemetry import otel; otel.configure(); print([m for m in sys.modules if 'opentel' in m])"
    )
    scene.finish(scene.start("-c", program))
    assert scene.output.strip() == "[]"


# RQ's options about its log

SETTINGS = """
REDIS_URL = "{url}"
DICT_CONFIG = {{
    "version": 1,
    "formatters": {{"f": {{"format": "MINE %(levelname)s %(name)s %(message)s"}}}},
    "handlers": {{"h": {{"class": "logging.FileHandler", "filename": "{log}", "formatter": "f"}}}},
    "root": {{"handlers": ["h"], "level": "INFO"}},
}}
"""


def worker(scene: Scene, *options: str, **environment: str) -> str:
    """What a worker writes in a burst with one job that is cancelled."""
    scene.log.unlink(missing_ok=True)
    scene.queue.enqueue(jobs.raises_cancel)
    scene.finish(scene.start("-m", "jobtelemetry", "worker", "--burst", *options, **environment))
    return scene.output


def test_rqs_level_and_formats_hold_for_our_records(scene: Scene) -> None:
    """--logging_level, --quiet, --log-format and --date-format mean our records too."""
    url = ("--url", scene.redis.url)
    assert "job cancelled" not in worker(scene, *url, "--logging_level", "WARNING")
    assert "job cancelled" not in worker(scene, *url, "--quiet")
    assert "MINE job cancelled worker=sinks.sentry_jobs.raises_cancel" in worker(
        scene, *url, "--log-format", "MINE %(message)s"
    )
    dated = worker(scene, *url, "--date-format", "DAY")
    assert "DAY INFO job cancelled worker=" in dated
    assert "signal=" not in dated


@pytest.mark.parametrize("worker_class", ["rq.worker.Worker", "rq.worker.SpawnWorker"])
def test_logging_in_rqs_settings_file_holds_for_our_records(scene: Scene, tmp_path: Path, worker_class: str) -> None:
    """DICT_CONFIG decides, also where it switches other loggers off; the facts are in the message."""
    log = tmp_path / "mine.log"
    (tmp_path / "odd_settings.py").write_text(SETTINGS.format(url=scene.redis.url, log=log))
    path = {"PYTHONPATH": f"{tmp_path}:{TESTS}"}
    said = worker(scene, "--config", "odd_settings", "--worker-class", worker_class, **path)
    assert "job cancelled" not in said
    assert "MINE INFO jobtelemetry job cancelled worker=sinks.sentry_jobs.raises_cancel" in log.read_text()
    log.unlink()
    worker(scene, "--config", "odd_settings", "--log-json", "--worker-class", worker_class, **path)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["reason"] for entry in entries if entry["message"] == "job cancelled"] == ["movie_not_matched"]


def test_a_log_option_that_makes_no_sense_is_said(scene: Scene) -> None:
    """As any wrong option."""
    for options, named in ((["--logging_level", "LOUD"], "LOUD"), (["--log-format", "%(nothing"], "--log-format")):
        process = scene.start("-m", "jobtelemetry", "worker", "--url", scene.redis.url, "--burst", *options)
        assert process.wait(60) == 2
        assert named in scene.output
    assert "Traceback" not in scene.output


def test_our_variable_says_where_redis_is(scene: Scene) -> None:
    """JOBTELEMETRY_REDIS_URL is before RQ's own variable, and --url is before both."""
    nowhere = "redis://127.0.0.1:1/0"
    ours = {"JOBTELEMETRY_REDIS_URL": scene.redis.url, "RQ_REDIS_URL": nowhere, "REDIS_URL": nowhere}
    assert "job cancelled" in worker(scene, **ours)
    assert "job cancelled" in worker(scene, "--url", scene.redis.url, JOBTELEMETRY_REDIS_URL=nowhere)


# Programs of other people


@pytest.mark.parametrize(
    ("set_up", "expected"),
    [
        ("", "job failed worker=shop.jobs.mail queue=default"),
        ("logging.basicConfig()", "ERROR:jobtelemetry:job failed worker=shop.jobs.mail"),
        ("logging.basicConfig(format='%(message)s at 100%%')", "job failed worker=shop.jobs.mail"),
        ("logging.basicConfig(format='%(job_id)s: %(message)s')", "j1: job failed\n"),
        ("logging.basicConfig(format='{state}: {message}', style='{')", "discard: job failed\n"),
    ],
    ids=["nothing", "basic", "format", "fields", "braces"],
)
def test_the_facts_are_said_however_logging_is_set_up(scene: Scene, set_up: str, expected: str) -> None:
    """Nobody reads a bare "job failed"; where the format shows fields, the message stays constant."""
    program = (
        f"import logging\n{set_up}\nfrom jobtelemetry.sinks.logs import LogSink\n"
        "from sinks.test_logs import an_event, State\n"
        "LogSink()(an_event(State.DISCARD, error_type='KeyError', message='50% of it'))"
    )
    scene.finish(scene.start("-c", program))
    assert expected in scene.output
    assert "Traceback" not in scene.output
