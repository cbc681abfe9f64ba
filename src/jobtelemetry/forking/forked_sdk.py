"""The OpenTelemetry SDK across RQ's fork: a work-horse pays for it when its job makes a span, and not before.

The SDK's batch processor restarts its thread in every forked child, which costs about 2 ms a fork. Here the thread of a
work-horse is made but started only when the horse's first span starts; its connections are not the parent's; and a
horse that made spans flushes them, with a time limit, before RQ ends it with ``os._exit``.

The processor's fork handler is a private part of the SDK. What this module needs of it is looked for, and where it is
not found the SDK does what it always does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from opentelemetry.trace import TracerProvider


class ForkedSdk:
    """One per process, inherited by its work-horses.

    Args:
        flush_timeout: Seconds that a flush may take.
    """

    def __init__(self, flush_timeout: float) -> None:
        self._timeout = flush_timeout
        self._watched: WeakSet[Any] = WeakSet()
        self._sleeping: list[Any] = []
        self._modules: list[Any] = []
        self._in_horse = False
        self._spans_made = False

    def before_fork(self, provider: TracerProvider | None) -> None:
        """RQ is about to fork."""
        if provider is None:
            return
        self._watch(provider)
        batches = [batch for batch in map(_batch_of, _processors(provider)) if batch is not None]
        self._modules = list({id(scope): scope for scope in map(_fork_scope, batches) if scope is not None}.values())
        stand_in = _Threading(batches, self._sleeping)
        for scope in self._modules:
            scope["threading"] = stand_in

    def after_fork(self) -> None:
        """RQ has forked; the horse calls :meth:`in_horse` instead."""
        for scope in self._modules:
            scope["threading"] = threading
        self._modules = []

    def in_horse(self) -> None:
        """The horse begins."""
        self.after_fork()
        self._in_horse, self._spans_made = True, False

    def flush_horse(self, provider: TracerProvider | None) -> None:
        """The horse is about to end: export what its job made, if it made any span."""
        if provider is not None and (self._spans_made or provider not in self._watched):
            self.flush(provider)

    def flush(self, provider: TracerProvider | None) -> None:
        """Export everything, and give up after the time limit: the collector may hang."""
        force_flush = getattr(provider, "force_flush", None)
        if force_flush is None or not self._timeout:
            return
        thread = threading.Thread(target=_quietly, args=(force_flush, int(self._timeout * 1000)), daemon=True)
        thread.start()
        thread.join(self._timeout)

    def _watch(self, provider: TracerProvider) -> None:
        add = getattr(provider, "add_span_processor", None)
        if add is None or provider in self._watched or "opentelemetry.sdk.trace" not in sys.modules:
            return
        add(_watcher(lambda: self._span_starts(provider)))
        self._watched.add(provider)

    def _span_starts(self, provider: TracerProvider) -> None:
        if not self._in_horse or self._spans_made:
            return
        self._spans_made = True
        for processor in _processors(provider):
            with suppress(Exception):
                _renew_connections(processor)
        sleeping, self._sleeping[:] = self._sleeping[:], []
        for thread in sleeping:
            del thread.start, thread.join
            thread.start()


class _Threading:
    """The ``threading`` module as the batch processor's fork handler sees it in a work-horse."""

    def __init__(self, batches: list[Any], sleeping: list[Any]) -> None:
        self._parent = os.getpid()
        self._batches = {id(batch) for batch in batches}
        self._sleeping = sleeping

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)

    def Thread(self, *args: Any, **kwargs: Any) -> threading.Thread:  # noqa: N802 - threading's word
        """A thread that, where it is the batch processor's and this is the horse, does not start yet."""
        thread = threading.Thread(*args, **kwargs)
        owner = getattr(kwargs.get("target"), "__self__", None)
        if id(owner) in self._batches and os.getpid() != self._parent:
            thread.start = lambda: None  # type: ignore[method-assign]
            thread.join = lambda timeout=None: None  # type: ignore[method-assign]
            self._sleeping.append(thread)
        return thread


def _processors(provider: Any) -> list[Any]:
    """The span processors of an SDK provider, also those inside of others."""
    found, waiting = [], [getattr(provider, "_active_span_processor", None)]
    while waiting:
        processor = waiting.pop()
        if processor is not None:
            found.append(processor)
            waiting.extend(getattr(processor, "_span_processors", ()))
    return found


def _batch_of(processor: Any) -> Any:
    """Whose thread it is: a part of the processor in today's SDK, the processor itself up to 1.33."""
    for candidate in (getattr(processor, "_batch_processor", None), processor):
        if hasattr(candidate, "_at_fork_reinit"):
            return candidate
    return None


def _fork_scope(batch: Any) -> dict[str, Any] | None:
    """The globals of the fork handler, if it makes its thread from there."""
    scope = getattr(type(batch)._at_fork_reinit, "__globals__", {})
    return scope if scope.get("threading") is threading else None


def _renew_connections(processor: Any) -> None:
    """Two processes must not speak on one socket: the horse's exporter opens connections of its own."""
    exporter = getattr(processor, "span_exporter", None)
    if (renew := getattr(exporter, "_initialize_channel_and_stub", None)) is not None:
        renew()  # over gRPC
    transport = getattr(getattr(exporter, "_client", None), "_transport", None)
    for holder in (exporter, transport):
        for adapter in getattr(getattr(holder, "_session", None), "adapters", {}).values():
            adapter.__setstate__(adapter.__getstate__())  # as if it had been pickled: with an empty pool
        if (pool := getattr(holder, "_pool", None)) is not None:
            holder._pool = type(pool)(**pool.connection_pool_kw)  # type: ignore[union-attr]


def _watcher(on_start: Callable[[], None]) -> Any:
    """A span processor that says when a span starts."""
    from opentelemetry.sdk.trace import SpanProcessor

    class SpanWatcher(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            on_start()

        def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
            return True

    return SpanWatcher()


def _quietly(force_flush: Callable[[int], object], milliseconds: int) -> None:
    with suppress(Exception):
        force_flush(milliseconds)
