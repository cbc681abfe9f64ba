"""Metrics of an application's own that outlive the process: prometheus_client's, written to Redis.

In a job they are buffered, and written by the script that counts the execution, with it and once. Elsewhere a thread
writes them. Either way the exporter serves them under their own names.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from typing import Any, Literal

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.context_managers import InprogressTracker
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from jobtelemetry import executing
from jobtelemetry.contract import Kind
from jobtelemetry.errors import MetricError
from jobtelemetry.own_metrics import doors
from jobtelemetry.own_metrics.background import send_metrics_to, writer
from jobtelemetry.own_metrics.buffer import MOST_IN_EXECUTION, Buffer, Labels, Series
from jobtelemetry.store.own import LONGEST_HELP, Definition
from jobtelemetry.text import is_meant_for_rq, text_of

__all__ = ["Counter", "Gauge", "Histogram", "send_metrics_to"]

log = logging.getLogger("jobtelemetry")
_bound_text: Callable[[float], str] = floatToGoString

_beginning = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_beginning=threading.Lock()))
_said: set[str] = set()


def _measure(add: Callable[[Buffer], bool]) -> None:
    """Add to what the execution of this thread has measured, or to what this process has."""
    try:
        execution = executing.here()
        if execution is not None:
            if execution.measured is None:
                with _beginning:
                    if execution.measured is None:
                        execution.measure(Buffer(MOST_IN_EXECUTION))
            measured = execution.measured
            if isinstance(measured, Buffer) and add(measured):
                return
        writer.measure(add)
    except Exception as error:
        if is_meant_for_rq(error):
            raise
        log.exception("jobtelemetry could not keep what was measured; the caller is not affected")


def _number(amount: Any) -> int | float:
    """An amount as a number; whole ones stay exact."""
    if type(amount) is int and abs(amount) < 2**63:
        return amount
    try:
        return float(amount)
    except OverflowError:
        return inf


class _Own(MetricWrapperBase):
    """What the three have in common: where they differ from prometheus_client's."""

    _series: Series

    def _define(self, kind: Kind, bounds: Iterable[float] = ()) -> None:
        """After prometheus_client has looked at the names."""
        name = f"{self._name}_total" if kind is Kind.COUNTER else self._name
        buckets = tuple(_bound_text(bound) for bound in bounds)
        documentation = text_of(self._documentation)[:LONGEST_HELP]
        self._definition = Definition(name, kind, documentation, tuple(self._labelnames), self._unit or "", buckets)
        if not self._labelvalues:
            doors.enter(self._definition)
        if self._labelvalues or not self._labelnames:
            self._series = Series(self._definition, tuple(self._labelvalues), tuple(bounds))

    def _ready(self) -> None:
        if self._labelnames and not self._labelvalues:
            raise ValueError(f"{self._definition.name} is missing label values: labels({', '.join(self._labelnames)})")

    def _metric_init(self) -> None:
        """Nothing is kept in this process."""

    def _child_samples(self) -> Iterable[Sample]:
        return ()

    def _finite(self, amount: float) -> bool:
        """Whether it can be added; what cannot is counted as left out, and said once."""
        if isfinite(amount):
            return True
        if self._definition.name not in _said:
            _said.add(self._definition.name)
            log.warning("%s: %r cannot be added to a sum, and is left out", self._definition.name, amount)
        _measure(Buffer.leave_out)
        return False


class Counter(_Own, prometheus_client.Counter):
    """A counter that outlives its process; names, labels and methods are those of ``prometheus_client.Counter``.

    What a job counts is written with its end, once; if its work-horse is killed before, it is lost, and
    ``jobtelemetry_own_metrics_unwritten_executions_total`` says so.

    Args:
        name: The name; ``_total`` is added where it is missing.
        documentation: What it is, for ``# HELP``.
        labelnames: The names of its labels.
        namespace, subsystem, unit: Parts of the name, as in prometheus_client.
        registry: Taken as prometheus_client takes it, and not used: the numbers are in Redis.

    Raises:
        MetricError: It cannot be a metric, or the name has another meaning in this process. It is a ``ValueError``.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
    ) -> None:
        with _AsOurs():
            super().__init__(name, documentation, labelnames, namespace, subsystem, unit, None, _labelvalues)
        self._define(Kind.COUNTER)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Add to it.

        Args:
            amount: How much; not less than 0.
            exemplar: Labels of an exemplar; by default that of a sampled execution is its trace.

        Raises:
            ValueError: The amount is negative, labels are missing, or the exemplar is none.
        """
        self._ready()
        amount = _number(amount)
        if amount < 0:
            raise ValueError("Counters can only be incremented by non-negative amounts.")
        labels = _exemplar(exemplar)
        if self._finite(amount):
            _measure(lambda buffer: buffer.add(self._series, amount, labels))

    def reset(self) -> None:
        """Not here: other processes count on. ``jobtelemetry reset --metric NAME`` does it for all."""
        raise MetricError(f"{self._definition.name} is counted by many processes: jobtelemetry reset --metric NAME")


class Gauge(_Own, prometheus_client.Gauge):
    """A gauge of all processes together; names, labels and methods are those of ``prometheus_client.Gauge``.

    The newest ``set()`` of any process is the value; ``inc()`` and ``dec()`` change it. A job's come with its end.

    Args:
        name: The name.
        documentation: What it is, for ``# HELP``.
        labelnames: The names of its labels.
        namespace, subsystem, unit: Parts of the name, as in prometheus_client.
        registry: Taken as prometheus_client takes it, and not used: the numbers are in Redis.
        multiprocess_mode: Taken as well; there is one value for all processes.

    Raises:
        MetricError: It cannot be a metric, or the name has another meaning in this process. It is a ``ValueError``.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
        multiprocess_mode: Literal[
            "all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent", "livemostrecent"
        ] = "all",
    ) -> None:
        with _AsOurs():
            super().__init__(
                name, documentation, labelnames, namespace, subsystem, unit, None, _labelvalues, multiprocess_mode
            )
        self._define(Kind.GAUGE)

    def inc(self, amount: float = 1) -> None:
        """Add to it; not in the multiprocess mode ``mostrecent``.

        Raises:
            ValueError: Labels are missing.
        """
        self._change(amount, 1)

    def dec(self, amount: float = 1) -> None:
        """Take from it; not in the multiprocess mode ``mostrecent``.

        Raises:
            ValueError: Labels are missing.
        """
        self._change(amount, -1)

    def _change(self, amount: float, sign: int) -> None:
        if self._is_most_recent:
            raise RuntimeError("inc and dec must not be used with the mostrecent mode")
        self._ready()
        change = sign * _number(amount)
        if self._finite(change):
            _measure(lambda buffer: buffer.add(self._series, change))

    def set(self, value: float) -> None:
        """Set it.

        Raises:
            ValueError: Labels are missing.
        """
        self._ready()
        number = float(value)
        _measure(lambda buffer: buffer.set(self._series, number))

    def track_inprogress(self) -> InprogressTracker:
        """Nothing is tracked: a process that is killed would count as in progress for ever.

        What runs is in ``jobtelemetry_executions_running``.
        """
        self._ready()
        if self._definition.name not in _said:
            _said.add(self._definition.name)
            log.warning(
                "%s: track_inprogress() tracks nothing, since a process that is killed would never be done; what runs "
                "is in jobtelemetry_executions_running",
                self._definition.name,
            )
        return InprogressTracker(_Nothing())  # type: ignore[no-untyped-call]

    def set_function(self, f: Callable[[], float]) -> None:
        """Not here: the exporter cannot call a function of another process."""
        raise MetricError(f"{self._definition.name}: the exporter cannot call {f!r} in another process; use set()")


class _Nothing:
    def inc(self) -> None:
        """Nothing."""

    def dec(self) -> None:
        """Nothing."""


class Histogram(_Own, prometheus_client.Histogram):
    """A histogram that outlives its process; names, labels and methods are those of ``prometheus_client.Histogram``.

    Args:
        name: The name.
        documentation: What it is, for ``# HELP``.
        labelnames: The names of its labels.
        namespace, subsystem, unit: Parts of the name, as in prometheus_client.
        registry: Taken as prometheus_client takes it, and not used: the numbers are in Redis.
        buckets: Upper bounds in ascending order.

    Raises:
        MetricError: It cannot be a metric, or the name has another meaning in this process. It is a ``ValueError``.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
        buckets: Sequence[float | str] = prometheus_client.Histogram.DEFAULT_BUCKETS,
    ) -> None:
        with _AsOurs():
            super().__init__(name, documentation, labelnames, namespace, subsystem, unit, None, _labelvalues, buckets)
        self._define(Kind.HISTOGRAM, self._upper_bounds)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Add an observation.

        Args:
            amount: What was observed.
            exemplar: Labels of an exemplar; by default that of a sampled execution is its trace.

        Raises:
            ValueError: Labels are missing, or the exemplar is none.
        """
        self._ready()
        number = _number(amount)
        labels = _exemplar(exemplar)
        if self._finite(number):
            _measure(lambda buffer: buffer.observe(self._series, number, labels))


class _AsOurs:
    """prometheus_client's own refusals as errors of ours."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError) and not isinstance(error, MetricError):
            raise MetricError(str(error)) from error


def _exemplar(labels: dict[str, str] | None) -> Labels | None:
    if not labels:
        return None
    from prometheus_client.validation import _validate_exemplar

    _validate_exemplar(labels)  # type: ignore[no-untyped-call]
    return dict(labels)
