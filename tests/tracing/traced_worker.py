"""An RQ worker process with the SDK set up, in the ways in which users do that."""

from __future__ import annotations

import os
from typing import Any

from support.workers import work as support_work


def work(environ: dict[str, str], setup: str = "environment", reload_propagators: bool = False, **options: Any) -> None:
    """Be a worker.

    Args:
        environ: The ``OTEL_*`` variables among others.
        setup: ``environment``: as ``jobtelemetry worker`` does it. ``code``: the user's own provider.
            ``instrumented_clients``: that and instrumentations of Redis and urllib. ``none``: no SDK.
        reload_propagators: The API reads ``OTEL_PROPAGATORS`` when it is imported, and the nursery has done that.
    """
    os.environ.update(environ)
    if reload_propagators:
        import importlib

        from opentelemetry import propagate

        importlib.reload(propagate)
    from jobtelemetry import otel

    if setup == "environment":
        otel.configure()
    elif setup != "none":
        from opentelemetry import trace

        trace.set_tracer_provider(otel.sdk_provider())
    if setup == "instrumented_clients":
        from opentelemetry.instrumentation.redis import RedisInstrumentor
        from opentelemetry.instrumentation.urllib import URLLibInstrumentor

        RedisInstrumentor().instrument()
        URLLibInstrumentor().instrument()
    support_work(environ=environ, **options)
