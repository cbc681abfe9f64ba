"""A snapshot as Prometheus metric families, as the contract declares them. Pure."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from prometheus_client import Metric
from prometheus_client.samples import Exemplar as PrometheusExemplar

from jobtelemetry import contract
from jobtelemetry._version import __version__
from jobtelemetry.contract import Family, Kind
from jobtelemetry.exporter import own_families, queue_families
from jobtelemetry.exporter.cardinality import Cardinality
from jobtelemetry.figures import fold
from jobtelemetry.outcomes import State
from jobtelemetry.store.snapshot import Amount, Counter, Exemplar, Histogram, LabelSet, Progress, Series, Snapshot


class Scrape(NamedTuple):
    """What one Redis server said to one scrape.

    Args:
        snapshot: What it has; ``None`` if it could not be read.
        seconds: How long that took.
        reconciler: Whether this exporter's reconciler can write; ``None`` if it has none, or has not tried yet.
        redis: The server's name, where there are several: the label ``redis`` of everything that it said.
        progress: How far its label sets are read; ``None`` if it does not answer.
        under_way: Whether there is no snapshot because everything is still being read for the first time.
    """

    snapshot: Snapshot | None
    seconds: float
    reconciler: bool | None = None
    redis: str = ""
    progress: Progress | None = None
    under_way: bool = False


Value = Counter | Amount | Histogram | float
#: Label values in the order of the family's labels, the value, and what a job family has of extra labels.
Row = tuple[tuple[str, ...], Value] | tuple[tuple[str, ...], Value, tuple[tuple[str, str], ...]]
V = TypeVar("V", Counter, Amount, Histogram, float)
D = TypeVar("D", bound=str)

_EVERYTHING = Cardinality()
#: Versions of the application whose deploy is told.
_MOST_VERSIONS = 10
#: Rate limits that have series of their own; an application can make one for every customer of its.
_MOST_LIMITS = 100


def describe() -> Iterator[Metric]:
    """Every family, without samples."""
    for family in contract.FAMILIES:
        yield _metric(family)


def build(scrapes: Iterable[Scrape], cardinality: Cardinality = _EVERYTHING) -> Iterator[Metric]:
    """Every family: with the numbers of all snapshots, as many as may be shown, then those about the scrape."""
    scrapes = tuple(scrapes)
    read = [(one.redis, cardinality.of_snapshot(one.snapshot)) for one in scrapes if one.snapshot is not None]
    for family in READ if read else ():
        metric = _metric(cardinality.of_family(family))
        for redis, snapshot in read:
            shown = cardinality.of_rows(family, rows(family, snapshot))
            _add(metric, cardinality.of_family(family), shown, snapshot.extra_labels, redis)
        yield metric
    for own in own_families.of_servers([(redis, snapshot.own) for redis, snapshot in read]):
        yield own_families.metric(own)
    yield from about(scrapes)


def rows(family: Family, snapshot: Snapshot) -> Iterable[Row]:
    """What a family shows of a snapshot."""
    return _ROWS[family](snapshot)


def labels_of(
    names: tuple[str, ...],
    values: tuple[str, ...],
    extra: tuple[tuple[str, str], ...],
    extra_labels: tuple[str, ...],
    redis: str = "",
) -> dict[str, str]:
    """The labels of a row by name.

    Args:
        names: The labels that the family has.
        values: Their values.
        extra: What the row has of extra labels, for a family of jobs.
        extra_labels: The extra labels that any series carries; who does not carry one has it empty.
        redis: The name of the Redis server, where there are several.
    """
    by_name = dict(zip(names, values, strict=True))
    if extra_labels and names[:2] == Series._fields[:2]:
        by_name |= dict.fromkeys(extra_labels, "")
        by_name.update(extra)
    if redis:
        by_name[contract.REDIS] = redis
    return by_name


def about(scrapes: Iterable[Scrape]) -> Iterator[Metric]:
    """The families that tell of the scrape itself, also when Redis is away."""
    scrapes = tuple(scrapes)
    for family, rows in _ABOUT.items():
        metric = _metric(family)
        for one in scrapes:
            _add(metric, family, rows(one), (), one.redis)
        yield metric


def _metric(family: Family) -> Metric:
    return Metric(family.name.removesuffix("_total"), family.help, family.kind.value)


def _add(metric: Metric, family: Family, rows: Iterable[Row], extra_labels: tuple[str, ...], redis: str) -> None:
    for values, value, *extra in rows:
        labels = labels_of(family.labels, values, extra[0] if extra else (), extra_labels, redis)
        for sample in _samples(family, labels, value):
            metric.add_sample(f"{metric.name}{sample.suffix}", sample.labels, sample.value, exemplar=sample.exemplar)


class _Sample(NamedTuple):
    suffix: str
    labels: dict[str, str]
    value: float
    exemplar: PrometheusExemplar | None = None


def _samples(family: Family, labels: dict[str, str], value: Value) -> Iterator[_Sample]:
    if family.kind is Kind.COUNTER and isinstance(value, (Counter, Amount)):
        yield _Sample("_total", labels, value.value, _exemplar(value.exemplar) if family.exemplars else None)
    elif family.kind is Kind.HISTOGRAM and isinstance(value, Histogram):
        yield from _buckets(family, labels, value)
        yield _Sample("_count", labels, value.count)
        yield _Sample("_sum", labels, value.sum)
    elif family.kind is Kind.GAUGE and isinstance(value, float):
        yield _Sample("", labels, value)
    else:
        raise TypeError(f"{family.name} is a {family.kind.value} and cannot show a {type(value).__name__}")
    if not isinstance(value, float) and value.created:
        yield _Sample("_created", labels, value.created)


def _buckets(family: Family, labels: dict[str, str], histogram: Histogram) -> Iterator[_Sample]:
    exemplars = exemplars_of(family, histogram)
    below = 0
    for bound, count in fold(histogram.counts, family.buckets).items():
        below += count
        yield _Sample("_bucket", {**labels, "le": bound}, below, _exemplar(exemplars.get(bound)))


def exemplars_of(family: Family, histogram: Histogram) -> dict[str, Exemplar]:
    """The newest exemplar of each bucket that the family shows, by the text of its upper bound."""
    if not family.exemplars:
        return {}
    by_age = sorted(histogram.exemplars.items(), key=lambda item: item[1].timestamp)
    return {contract.le(float(bound), family.buckets): exemplar for bound, exemplar in by_age}


def _exemplar(exemplar: Exemplar | None) -> PrometheusExemplar | None:
    if exemplar is None:
        return None
    labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return PrometheusExemplar(labels, exemplar.value, exemplar.timestamp or None)


def _by_series(values: Mapping[Series, V]) -> Iterator[Row]:
    for series, value in values.items():
        yield (series.worker, series.queue), value, series.extra


def _by_detail(values: Mapping[tuple[Series, D], V]) -> Iterator[Row]:
    for (series, detail), value in values.items():
        yield (series.worker, series.queue, str(detail)), value, series.extra


def _running(snapshot: Snapshot) -> Iterator[Row]:
    running = Tally(execution.series for execution in snapshot.running)
    yield from _by_series({series: float(running[series]) for series in {**snapshot.seen, **running}})


def _oldest_start(snapshot: Snapshot) -> Iterator[Row]:
    oldest: dict[Series, float] = {}
    for execution in snapshot.running:
        oldest[execution.series] = min(execution.started_at, oldest.get(execution.series, execution.started_at))
    yield from _by_series(oldest)


def _rq_worker_processes(snapshot: Snapshot) -> Iterator[Row]:
    counts = Tally(worker.status or contract.RQ_WORKER_STATUSES[0] for worker in snapshot.rq_workers)
    for status in dict.fromkeys((*contract.RQ_WORKER_STATUSES, *counts)):
        yield (status,), float(counts[status])


def _rate_limit_jobs(snapshot: Snapshot) -> Iterator[Row]:
    named, others = snapshot.rate_limits[:_MOST_LIMITS], snapshot.rate_limits[_MOST_LIMITS:]
    for limit in named:
        for status in contract.RATE_LIMIT_STATUSES:
            yield (limit.key, status), float(limit.held if status == "held" else limit.allowed)
    if others:
        yield (contract.OTHER, "held"), float(sum(limit.held for limit in others))
        yield (contract.OTHER, "allowed"), float(sum(limit.allowed for limit in others))


def _rate_limit_oldest(snapshot: Snapshot) -> Iterator[Row]:
    oldest: dict[str, float] = {}
    for number, limit in enumerate(snapshot.rate_limits):
        if limit.oldest is not None:
            key = limit.key if number < _MOST_LIMITS else contract.OTHER
            oldest[key] = min(limit.oldest, oldest.get(key, limit.oldest))
    for key, since in oldest.items():
        yield (key,), since


def _deployed_at(snapshot: Snapshot) -> Iterator[Row]:
    newest: dict[str, float] = {}
    for deploy in reversed(snapshot.deploys):
        if deploy.version not in newest and len(newest) < _MOST_VERSIONS:
            newest[deploy.version] = deploy.at
    for version, at in newest.items():
        yield (version,), at


def _if_known(value: float | None) -> list[Row]:
    return [] if value is None else [((), float(value))]


def _counts(values: Mapping[str, int], snapshot: Snapshot) -> Iterator[Row]:
    for label, value in values.items():
        yield (label,), Counter(value, snapshot.created)


#: Where each family's rows are in a snapshot.
_ROWS: Mapping[Family, Callable[[Snapshot], Iterable[Row]]] = {
    contract.JOB_EXECUTIONS: lambda snapshot: _by_detail(snapshot.executions),
    contract.JOB_CANCELLATIONS: lambda snapshot: _by_detail(snapshot.cancellations),
    contract.JOB_ERRORS: lambda snapshot: _by_detail(snapshot.errors),
    contract.JOB_RATE_LIMITED: lambda snapshot: _by_series(snapshot.rate_limited_executions),
    contract.JOB_DURATION: lambda snapshot: _by_detail(snapshot.durations),
    contract.JOB_WAIT: lambda snapshot: _by_series(snapshot.waits),
    contract.JOBS_ENQUEUED: lambda snapshot: _by_series(snapshot.enqueued),
    contract.JOBS_CANCELLED_UNSTARTED: lambda snapshot: _by_series(snapshot.cancelled_unstarted),
    contract.JOB_LAST_COMPLETED: lambda snapshot: _by_series(snapshot.last_completed),
    contract.JOB_CPU: lambda snapshot: _by_series(snapshot.cpu),
    contract.JOB_PEAK_MEMORY: lambda snapshot: _by_series(snapshot.peak_memory),
    contract.EXECUTIONS_RUNNING: _running,
    contract.EXECUTION_OLDEST_START: _oldest_start,
    contract.RQ_WORKER_PROCESSES: _rq_worker_processes,
    contract.RATE_LIMIT_JOBS: _rate_limit_jobs,
    contract.RATE_LIMIT_OLDEST_JOB: _rate_limit_oldest,
    contract.RQ_WORKERS_UNINSTRUMENTED: lambda snapshot: [((), float(snapshot.uninstrumented))],
    contract.UNRECORDED_EXECUTIONS: lambda snapshot: [((), float(snapshot.unrecorded))],
    contract.COUNTS_LOST_AT: lambda snapshot: _if_known(snapshot.counts_lost_at),
    contract.COUNTS_LOST: lambda snapshot: [((), float(snapshot.counts_lost))],
    contract.GENERATION_STARTED: lambda snapshot: _if_known(snapshot.generation_started or None),
    contract.ACCOUNTS_DIFFERENCE: lambda snapshot: [((), float(snapshot.accounts_difference))],
    contract.VALUES_REJECTED: lambda snapshot: [((), float(snapshot.rejected))],
    contract.CLOCK_SKEW: lambda snapshot: _if_known(snapshot.clock_skew),
    contract.HANDLER_ERRORS: lambda snapshot: _counts(snapshot.handler_errors, snapshot),
    contract.EXECUTIONS_RECONCILED: lambda snapshot: [((), Counter(snapshot.reconciled, snapshot.created))],
    contract.EXECUTIONS_LATE: lambda snapshot: [((), Counter(snapshot.late, snapshot.created))],
    contract.SERIES_DROPPED: lambda snapshot: _counts(snapshot.dropped, snapshot),
    contract.DEPLOY_INFO: lambda snapshot: [((one.version,), 1.0) for one in snapshot.deploys[-1:]],
    contract.DEPLOYED_AT: _deployed_at,
    contract.OWN_UNWRITTEN: lambda snapshot: [((), Counter(snapshot.own_unwritten, snapshot.created))],
    contract.OWN_LEFT_OUT: lambda snapshot: [((), Counter(snapshot.own_left_out, snapshot.created))],
    contract.OWN_UNSERVED: lambda snapshot: [((), float(snapshot.own_unserved))],
    **{family: partial(queue_families.rows, family) for family in queue_families.OF_QUEUE},
}

#: The families that are the same as long as the RQ workers are.
OF_RQ_WORKERS = (contract.RQ_WORKER_PROCESSES, contract.RQ_WORKERS_UNINSTRUMENTED, contract.UNRECORDED_EXECUTIONS)

#: Where the rows of the families about the scrape are.
_ABOUT: Mapping[Family, Callable[[Scrape], list[Row]]] = {
    contract.RECONCILER_UP: lambda one: _if_known(one.reconciler),
    contract.UP: lambda one: [((), float(one.snapshot is not None or one.under_way))],
    contract.LABEL_SETS: lambda one: _if_known(one.progress.of if one.progress else None),
    contract.LABEL_SETS_READ: lambda one: _if_known(one.progress.read if one.progress else None),
    contract.SCRAPE_DURATION: lambda one: [((), one.seconds)],
    contract.BUILD_INFO: lambda one: [((__version__,), 1.0)],
}

#: The families that come from Redis, in the contract's order.
READ: tuple[Family, ...] = tuple(family for family in contract.FAMILIES if family in _ROWS)


def _details(one: LabelSet, values: Mapping[D, V]) -> Iterator[Row]:
    return _by_detail({(one.series, detail): value for detail, value in values.items()})


def _single(one: LabelSet, value: Counter | Amount | Histogram | float | None) -> Iterator[Row]:
    return iter(() if value is None else (((one.series.worker, one.series.queue), value, one.series.extra),))


#: Where the rows of a family are in one label set, for the families that are nothing but those of all label sets.
OF_LABEL_SET: Mapping[Family, Callable[[LabelSet], Iterable[Row]]] = {
    contract.JOB_EXECUTIONS: lambda one: _details(
        one, {state: one.executions.get(state) or Counter(0, one.created) for state in State}
    ),
    contract.JOB_CANCELLATIONS: lambda one: _details(one, one.cancellations),
    contract.JOB_ERRORS: lambda one: _details(one, one.errors),
    contract.JOB_RATE_LIMITED: lambda one: _single(one, Counter(one.limited, one.created)),
    contract.JOB_DURATION: lambda one: _details(one, one.durations),
    contract.JOB_WAIT: lambda one: _single(one, one.wait if one.wait.counts else Histogram(created=one.created)),
    contract.JOBS_ENQUEUED: lambda one: _single(one, Counter(one.enqueued, one.created)),
    contract.JOBS_CANCELLED_UNSTARTED: lambda one: _single(one, Counter(one.unstarted, one.created)),
    contract.JOB_LAST_COMPLETED: lambda one: _single(one, one.last_completed),
    contract.JOB_CPU: lambda one: _single(one, None if one.cpu is None else Amount(one.cpu, one.created)),
    contract.JOB_PEAK_MEMORY: lambda one: _single(one, None if one.peak_memory is None else float(one.peak_memory)),
}
