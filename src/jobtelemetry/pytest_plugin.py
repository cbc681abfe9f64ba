"""The fixtures that pytest finds by itself where jobtelemetry is installed; see :mod:`jobtelemetry.testing`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from jobtelemetry import testing
from jobtelemetry.events import ExecutionEvent


@pytest.fixture
def execute_job() -> Callable[..., ExecutionEvent]:
    """``execute_job(function, *args, retry=None, meta=None, **kwargs)`` runs a job once, without Redis or a worker."""
    return testing.execute


@pytest.fixture
def execute_job_to_the_end() -> Callable[..., list[ExecutionEvent]]:
    """Like ``execute_job``, as often as RQ would run the job; one event for each attempt."""
    return testing.execute_to_the_end


@pytest.fixture
def collected_metrics() -> Iterator[testing.CollectedMetrics]:
    """What the test measures in metrics of one's own: ``collected_metrics.get_sample_value(name, labels)``."""
    with testing.collect_metrics() as collected:
        yield collected
