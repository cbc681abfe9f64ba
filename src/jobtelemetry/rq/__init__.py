"""Every hook into RQ, and every difference between its versions."""

from __future__ import annotations

import os

from jobtelemetry.config import Config
from jobtelemetry.rq.patch import Patches
from jobtelemetry.sinks import sentry

__all__ = ["instrument", "is_instrumented", "uninstrument"]

_patches: Patches | None = None


def instrument(config: Config | None = None) -> None:
    """Record every execution of every RQ worker and queue of this process, and of its children.

    Covers worker classes defined before or after, here or elsewhere. Calling it again changes nothing; call
    :func:`uninstrument` first to change the settings.

    Args:
        config: The settings; from the environment by default.

    Raises:
        ConfigError: A setting has no usable value.
    """
    global _patches
    if _patches is not None:
        return
    settings = config or Config.from_env()

    from rq.worker import worker_classes

    from jobtelemetry.rq.ending import EndingHooks
    from jobtelemetry.rq.job import JobHooks
    from jobtelemetry.rq.lifecycle import LifecycleHooks
    from jobtelemetry.rq.parent import ParentHooks
    from jobtelemetry.rq.producer import ProducerHooks
    from jobtelemetry.rq.queue import EnqueueHooks, SynchronousHooks
    from jobtelemetry.rq.recording import RecordingHooks
    from jobtelemetry.rq.runtime import Runtime
    from jobtelemetry.rq.spawn import InstrumentingOs
    from jobtelemetry.rq.start import StartHooks
    from jobtelemetry.sinks import reporting_sinks

    runtime = Runtime(settings, sinks=reporting_sinks(settings))
    patches = Patches()
    for hooks in (
        *(JobHooks, ProducerHooks, EnqueueHooks, SynchronousHooks),
        *(StartHooks, EndingHooks, RecordingHooks),
        *(ParentHooks, LifecycleHooks),
    ):
        hooks(runtime).attach(patches)
    patches.replace(worker_classes, "os", InstrumentingOs(os))
    sentry.decide(True)
    _patches = patches


def uninstrument() -> None:
    """Take every hook out again. Executions under way are counted by a reconciler."""
    global _patches
    if _patches is not None:
        _patches.undo()
        sentry.decide(False)
        _patches = None


def is_instrumented() -> bool:
    """Whether this process is instrumented."""
    return _patches is not None
