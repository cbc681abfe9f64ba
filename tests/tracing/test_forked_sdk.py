"""What the SDK does at a fork, and what is put off."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobtelemetry.forking.forked_sdk import ForkedSdk


class Telling(SpanExporter):
    """Writes the names of what it exports into a pipe."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def export(self, spans):
        """Write them."""
        os.write(self._writer, "".join(f"{os.getpid()} {span.name}\n" for span in spans).encode())
        return SpanExportResult.SUCCESS

    def heard(self) -> list[tuple[int, str]]:
        """What it has written so far."""
        os.set_blocking(self.reader, False)
        try:
            lines = os.read(self.reader, 60_000).decode().splitlines()
        except BlockingIOError:
            return []
        return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]


@pytest.fixture
def telling():
    exporter = Telling()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
    yield exporter, provider
    provider.shutdown()


def in_fork(sdk: ForkedSdk, provider: TracerProvider, job: Callable[[], int]) -> tuple[int, int]:
    """Fork as RQ does, run a job in the child and return its process id and exit code."""
    sdk.before_fork(provider)
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            sdk.in_horse()
            code = job()
        finally:
            os._exit(code)
    sdk.after_fork()
    return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_horse_without_spans_has_no_thread(telling) -> None:
    """A work-horse whose job makes no span runs the job's thread and no other, and flushes nothing."""
    _, provider = telling
    sdk = ForkedSdk(2.0)

    def job() -> int:
        sdk.flush_horse(provider)
        return threading.active_count()

    assert in_fork(sdk, provider, job)[1] == 1


def test_the_thread_starts_with_the_first_span(telling) -> None:
    """As soon as the job makes a span, the batch processor's thread runs as it would have."""
    _, provider = telling
    sdk = ForkedSdk(2.0)

    def job() -> int:
        with provider.get_tracer("x").start_as_current_span("inner"):
            return threading.active_count()

    assert in_fork(sdk, provider, job)[1] == 2


def test_the_horse_exports_its_own_spans_only(telling) -> None:
    """What waits in the parent's queue at the fork is exported by the parent, and once."""
    exporter, provider = telling
    sdk = ForkedSdk(2.0)
    tracer = provider.get_tracer("x")
    tracer.start_span("of the parent").end()

    def job() -> int:
        tracer.start_span("of the horse").end()
        sdk.flush_horse(provider)
        return 0

    pid, code = in_fork(sdk, provider, job)
    assert code == 0
    assert exporter.heard() == [(pid, "of the horse")]
    sdk.flush(provider)
    assert exporter.heard() == [(os.getpid(), "of the parent")]


def test_shutdown_in_a_horse(telling) -> None:
    """A job may shut the provider down, before or after the first span."""
    exporter, provider = telling
    sdk = ForkedSdk(2.0)

    def shut_down_at_once() -> int:
        provider.shutdown()
        return 0

    def shut_down_after_a_span() -> int:
        provider.get_tracer("x").start_span("inner").end()
        provider.shutdown()
        return 0

    assert in_fork(sdk, provider, shut_down_at_once)[1] == 0
    pid, code = in_fork(sdk, provider, shut_down_after_a_span)
    assert code == 0
    assert exporter.heard() == [(pid, "inner")]


def test_other_forks_are_left_alone(telling) -> None:
    """A fork that is not RQ's gets its thread at once, as the SDK wants it."""
    _, provider = telling
    in_fork(ForkedSdk(2.0), provider, lambda: 0)
    pid = os.fork()
    if pid == 0:
        os._exit(threading.active_count())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_a_provider_of_another_kind() -> None:
    """A provider without the SDK's inner parts is flushed where it can be, and left alone otherwise."""

    class Foreign:
        flushed = 0

        def force_flush(self, timeout_millis: int) -> None:
            self.flushed += 1

    sdk, foreign = ForkedSdk(2.0), Foreign()
    sdk.before_fork(foreign)
    sdk.after_fork()
    sdk.in_horse()
    sdk.flush_horse(foreign)
    sdk.flush_horse(object())
    assert foreign.flushed == 1


def test_the_watcher_is_added_once() -> None:
    """However many jobs a worker runs, its provider gets one more span processor."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    sdk = ForkedSdk(2.0)
    for _ in range(5):
        sdk.before_fork(provider)
        sdk.after_fork()
    assert len(provider._active_span_processor._span_processors) == 2
    provider.shutdown()
