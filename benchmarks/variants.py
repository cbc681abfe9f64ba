"""What is compared: bare RQ, jobtelemetry with more and more switched on, and peers.

Each is set up in a process of its own. Nothing is imported here that a variant does not ask for: whatever a process has
imported, its horses pay for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BARE = "bare"


@dataclass(frozen=True)
class Variant:
    """One way to run RQ.

    Args:
        name: What it is called in tables.
        meaning: What it is, for a reader of the tables.
        set_up: Called in the process that is measured, with the address of the local receiver.
        preload: Whether the jobs' module is imported before the fork.
        frozen: Whether ``gc.freeze()`` is called before the first fork, as ``jobtelemetry worker`` does.
        packages: Requirements of an environment of its own; none for this one.
        receiver: How the receiver of spans and errors behaves: ``answers``, ``hangs`` or ``refuses``.
        against: A variant that it is compared with besides bare RQ: what it stands on.
        default: Whether it is measured without being asked for.
    """

    name: str
    meaning: str
    set_up: Callable[[str], None]
    preload: bool = False
    frozen: bool = False
    packages: tuple[str, ...] = ()
    receiver: str = "answers"
    against: str = ""
    default: bool = True


def _nothing(receiver: str) -> None:
    pass


def _imported(receiver: str) -> None:
    import jobtelemetry.rq.instrument
    import jobtelemetry.rq.working  # what the first hook would load  # noqa: F401


def _pass_through(receiver: str) -> None:
    from jobtelemetry.rq.rooms import Rooms, pass_through

    Rooms.handler = lambda self, hook: pass_through  # type: ignore[method-assign]
    _instrument()


def _counts(receiver: str) -> None:
    os.environ["JOBTELEMETRY_LOG_SIZE"] = "0"
    logging.getLogger("jobtelemetry").setLevel(logging.WARNING)
    _instrument()


def _default(receiver: str) -> None:
    _instrument()


def _everything(receiver: str) -> None:
    _sdk(receiver)
    _sentry(receiver)
    _instrument()


def _sdks_alone(receiver: str) -> None:
    _sdk(receiver)
    _sentry(receiver)


def _traced(receiver: str) -> None:
    _sdk(receiver)
    _instrument()


def _instrument() -> None:
    import jobtelemetry

    jobtelemetry.instrument()


def _sdk(receiver: str) -> None:
    """Every span is sampled and sent."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"http://{receiver}/v1/traces")))
    trace.set_tracer_provider(provider)


def _sentry(receiver: str) -> None:
    import sentry_sdk

    sentry_sdk.init(dsn=f"http://key@{receiver}/1")


def _otel_rq(receiver: str) -> None:
    _sdk(receiver)
    from opentelemetry_instrumentation_rq import RQInstrumentor

    RQInstrumentor().instrument()


def _prometheus(histogram: bool) -> Callable[[str], None]:
    """As its documentation has it: a file per process, here raised around RQ's ``perform_job``."""

    def set_up(receiver: str) -> None:
        import tempfile

        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(dir=os.environ.get("BENCHMARK_HOME"))
        from prometheus_client import Counter, Histogram
        from rq.worker.base import BaseWorker

        executions = Counter("job_executions", "Executions", ["worker", "queue", "state"])
        durations = Histogram("job_duration_seconds", "Durations", ["worker", "queue"]) if histogram else None
        original = BaseWorker.perform_job

        def perform_job(self: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> bool:
            import time

            began = time.monotonic()
            done = original(self, job, queue, *args, **kwargs)
            executions.labels(job.func_name, queue.name, "completed" if done else "failed").inc()
            if durations is not None:
                durations.labels(job.func_name, queue.name).observe(time.monotonic() - began)
            return done

        BaseWorker.perform_job = perform_job  # type: ignore[method-assign]

    return set_up


_OTEL = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")

VARIANTS = (
    Variant(BARE, "RQ alone", _nothing),
    Variant("bare --preload", "RQ alone, the jobs' module imported before the fork", _nothing, preload=True),
    Variant("bare, frozen", "RQ alone, and `gc.freeze()` before the first fork", _nothing, frozen=True),
    Variant("imported", "jobtelemetry imported, no hook in place", _imported),
    Variant("pass-through", "every hook in place, each only calls RQ", _pass_through),
    Variant("counts only", "no log, no execution log, no traces", _counts),
    Variant("default", "counts, log and execution log; no traces", _default),
    Variant(
        "default, frozen", "default, and `gc.freeze()`: `jobtelemetry worker`", _default, frozen=True, against="default"
    ),
    Variant("tracer alone", "a TracerProvider that would send, and no spans: the floor of traced", _sdk),
    Variant("traced", "default, and spans 100 % sampled with exemplars", _traced, against="tracer alone"),
    Variant(
        "SDKs alone", "TracerProvider and Sentry's SDK, without jobtelemetry: the floor of everything", _sdks_alone
    ),
    Variant(
        "everything",
        "counts, logs, execution log, spans 100 % sampled, exemplars, Sentry policy",
        _everything,
        against="SDKs alone",
    ),
    Variant("counts --preload", "counts only, preloaded", _counts, preload=True, against="bare --preload"),
    Variant("everything --preload", "everything, preloaded", _everything, preload=True, against="bare --preload"),
    Variant(
        "hanging", "everything; OTLP and Sentry receivers never answer", _everything, receiver="hangs", default=False
    ),
    Variant("refusing", "everything; both receivers are not there", _everything, receiver="refuses", default=False),
)
#: What a peer needs that does not work with this RQ.
_OLDER_RQ = ("rq<3", "redis<8")
PEERS = (
    Variant("bare, by itself", "RQ alone, with nothing else installed", _nothing, packages=("rq",)),
    Variant("bare, RQ 2", "RQ alone, the newest 2.x, for peers that need it", _nothing, packages=_OLDER_RQ),
    Variant(
        "prometheus_client counter",
        "multiprocess mode",
        _prometheus(False),
        packages=("prometheus-client",),
        against="bare, by itself",
    ),
    Variant(
        "prometheus_client histogram",
        "and a histogram",
        _prometheus(True),
        packages=("prometheus-client",),
        against="bare, by itself",
    ),
    Variant(
        "sentry-sdk", "its RQ integration, no tracing", _sentry, packages=("sentry-sdk",), against="bare, by itself"
    ),
    Variant(
        "opentelemetry-instrumentation-rq",
        "spans 100 % sampled, sent by OTLP",
        _otel_rq,
        packages=("opentelemetry-instrumentation-rq", *_OTEL, *_OLDER_RQ),
        against="bare, RQ 2",
    ),
)
BY_NAME = {variant.name: variant for variant in (*VARIANTS, *PEERS)}
