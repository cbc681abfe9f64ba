"""Any sequence of endings of any executions, reported any number of times, in any order: each is counted once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Found, Outcome, State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot
from jobtelemetry.store.reconcile import reconcile, settle
from jobtelemetry.store.record import Booking, Limits, Start, append_finish, append_start
from jobtelemetry.store.scripts import load

KEYS = Keys()
LIMITS = Limits(label_sets=50, log_size=1000)
OUTCOMES = {
    "completed": Outcome(State.COMPLETED),
    "cancelled": Outcome(State.CANCELLED, reason="not_matched"),
    "failure": Outcome(State.FAILURE, error_type="KeyError"),
    "discard": Outcome(State.DISCARD, error_type="ValueError"),
    "snoozed": Outcome(State.SNOOZED),
    "stopped": Outcome(State.STOPPED),
}

#: What can be reported of an execution: an ending, that its horse is gone, or a round of the reconciler.
REPORTS = st.sampled_from([*OUTCOMES, "exited", "reconcile"])
EXECUTIONS = st.integers(0, 5)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A real server, for this module."""
    with EmbeddedServer() as server:
        load(server.connection())
        yield server.connection()


class Model:
    """Executions as RQ has them, and what was first said of each."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.first: dict[int, str] = {}
        self.retries: dict[int, int] = {}
        redis.flushall()

    def start(self, number: int, retries: int) -> None:
        """RQ creates an execution and our entry with it; redis-py may send that twice."""
        self.retries[number] = retries
        for _ in range(2):
            pipe = self.redis.pipeline()
            pipe.hset(KEYS.execution(f"job{number}", f"e{number}"), "id", f"e{number}")
            pipe.hset(KEYS.job(f"job{number}"), "status", "started")
            start = Start(
                execution_id=f"e{number}",
                job_id=f"job{number}",
                worker=f"jobs.w{number % 2}",
                queue="default",
                rq_worker=f"rq{number}",
                account=f"rq{number}",
                retries_left=retries,
            )
            append_start(pipe, KEYS, start, job_key=KEYS.job(f"job{number}"), limits=LIMITS, ready_at=time.time())
            pipe.execute()

    def report(self, number: int, what: str) -> None:
        """Report something; note it if it is the first word that ends the execution."""
        if what == "reconcile":
            self.redis.delete(KEYS.execution(f"job{number}", f"e{number}"))  # its heartbeat ran out
            for event in reconcile(self.redis, KEYS, LIMITS):
                self.first.setdefault(int(event.execution_id[1:]), event.outcome.state.value)
        elif what == "exited":
            self._exited(number)
        else:
            self.first.setdefault(number, what)
            self._finish(number, OUTCOMES[what])

    def _event(self, number: int, outcome: Outcome) -> ExecutionEvent:
        return ExecutionEvent(
            execution_id=f"e{number}",
            job_id=f"job{number}",
            worker=f"jobs.w{number % 2}",
            queue="default",
            rq_worker=f"rq{number}",
            outcome=outcome,
            attempt=1,
            ended_at=2000.0,
            duration=0.3,
            wait=0.02,
        )

    def _finish(self, number: int, outcome: Outcome) -> None:
        pipe = self.redis.pipeline()
        pipe.delete(KEYS.execution(f"job{number}", f"e{number}"))
        append_finish(
            pipe,
            KEYS,
            self._event(number, outcome),
            job_key=KEYS.job(f"job{number}"),
            rq_worker_key=KEYS.rq_worker(f"rq{number}"),
            limits=LIMITS,
            booking=Booking.of(outcome.state),
        )
        pipe.execute()

    def _exited(self, number: int) -> None:
        event = self._event(number, Outcome(State.DISCARD, error_type="WorkHorseExited"))
        told = Found("exited", exists=False, status="", died="WorkHorseExited")
        settled = settle(
            self.redis, KEYS, event, LIMITS, attempt=1, retries=self.retries[number] > 0, asked="exited", told=told
        )
        if settled is not None:
            self.first.setdefault(number, settled.outcome.state.value)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    retries=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    reports=st.lists(st.tuples(EXECUTIONS, REPORTS), max_size=40),
)
def test_each_execution_is_counted_once_by_the_first_word_about_it(redis, retries, reports):
    """Whatever is reported how often and in which order, the first word about an execution is counted, alone."""
    model = Model(redis)
    for number, left in enumerate(retries):
        model.start(number, left)
    for number, what in reports:
        model.report(number, what)

    snapshot = read_snapshot(redis, KEYS)
    counted = Counter()
    for (_, state), counter in snapshot.executions.items():
        counted[state.value] += counter.value
    assert +counted == Counter(model.first.values())
    assert len(snapshot.running) == len(retries) - len(model.first)
    assert sum(h.count for h in snapshot.waits.values()) == len(model.first)
    assert sum(c.value for c in snapshot.cancellations.values()) == counted["cancelled"]
    assert sum(c.value for c in snapshot.errors.values()) == counted["failure"] + counted["discard"]
    assert redis.xlen(KEYS.log) == len(model.first)
    assert snapshot.accounts_difference == 0
    assert snapshot.counts_lost_at is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workers=st.lists(st.integers(0, 200), min_size=1, max_size=120))
def test_a_full_family_counts_the_rest_under_other(redis, workers):
    """Past the limit of label sets sums stay right, and what was dropped is said."""
    redis.flushall()
    limits = Limits(label_sets=20, log_size=0)
    pipe = redis.pipeline()
    for index, worker in enumerate(workers):
        event = ExecutionEvent(
            execution_id=f"e{index}",
            job_id="job",
            worker=f"jobs.w{worker}|%",
            queue="default",
            rq_worker="rq",
            outcome=Outcome(State.COMPLETED),
            ended_at=2000.0,
            duration=0.1,
        )
        append_finish(
            pipe, KEYS, event, job_key="rq:job:x", rq_worker_key="rq:worker:x", limits=limits, booking=Booking()
        )
    pipe.execute()

    snapshot = read_snapshot(redis, KEYS)
    kept = list(dict.fromkeys(workers))[:20]
    counts = Counter({s.worker: c.value for (s, state), c in snapshot.executions.items() if state is State.COMPLETED})
    expected = Counter(f"jobs.w{w}|%" if w in kept else "__other__" for w in workers)
    assert +counts == expected
    assert snapshot.dropped["jobtelemetry_job_executions_total"] == expected["__other__"]
