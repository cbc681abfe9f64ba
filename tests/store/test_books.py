"""The books under everything that can happen to Redis: figures are right, or something says that they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis
from redis.exceptions import NoScriptError

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.events import ExecutionEvent
from jobtelemetry.outcomes import Found, Outcome, State
from jobtelemetry.store.books import acknowledge_losses, append_fold, append_register, registered, retire_idle
from jobtelemetry.store.keys import SUCCEEDED, Keys
from jobtelemetry.store.read import Reader
from jobtelemetry.store.reconcile import reconcile, settle, tidy
from jobtelemetry.store.record import (
    Booking,
    Known,
    Limits,
    Start,
    append_enqueued,
    append_finish,
    append_start,
    finished,
    started,
)
from jobtelemetry.store.reset import forget_worker
from jobtelemetry.store.scripts import load, run_again
from jobtelemetry.store.snapshot import Snapshot

KEYS = Keys()
LIMITS = Limits(label_sets=4, log_size=100)
OUTCOMES = {
    State.COMPLETED: Outcome(State.COMPLETED),
    State.CANCELLED: Outcome(State.CANCELLED, reason="not_matched"),
    State.FAILURE: Outcome(State.FAILURE, error_type="KeyError"),
    State.DISCARD: Outcome(State.DISCARD, error_type="ValueError"),
    State.SNOOZED: Outcome(State.SNOOZED),
}
#: What RQ does to its worker's hash for a column.
COUNTS = {"succeeded": "successful_job_count", "failed": "failed_job_count"}

RQ_WORKERS = st.sampled_from(["rq0", "rq1", "rq2"])
JOBS = st.sampled_from(["jobs.a", "jobs.b", "jobs.c", "jobs.d", "jobs.e|%"])
CHANCE = st.randoms(use_true_random=False)


@dataclass
class Execution:
    """One, as RQ has it."""

    number: int
    worker: str
    rq_worker: str
    sent: tuple[Outcome, Booking] | None = None

    @property
    def id(self) -> str:
        """RQ's id of it."""
        return f"e{self.number}"

    @property
    def job(self) -> str:
        """RQ's id of its job."""
        return f"job{self.number}"


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A real server, for this module."""
    with EmbeddedServer() as server:
        yield server.connection()


def figures(snapshot: Snapshot) -> Counter[State]:
    """Executions by state, over all label sets."""
    counted: Counter[State] = Counter()
    for (_, state), counter in snapshot.executions.items():
        counted[state] += counter.value
    return +counted


def says_so(snapshot: Snapshot) -> bool:
    """Whether something says that figures may be wrong."""
    return bool(snapshot.counts_lost_at is not None or snapshot.unrecorded or snapshot.accounts_difference)


class Books(RuleBasedStateMachine):
    """RQ workers that record, readers that read, and somebody who does to our keys whatever he likes."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        load(self.redis)
        self.executions: list[Execution] = []
        self.open: list[Execution] = []
        self.settled: set[str] = set()
        self.first: dict[str, State] = {}
        self.base: Counter[State] = Counter()
        self.forgotten = 0
        self.known: dict[str, Known] = {}
        self.registered: set[str] = set()
        #: Whether somebody has touched our keys since it was last said that all is well.
        self.tampered = False
        self.dump: tuple[dict[bytes, bytes], int] | None = None
        self.warm, self.idle = Reader(self.redis, KEYS), Reader(self.redis, KEYS)

    # what RQ workers do

    @rule(name=RQ_WORKERS)
    def register(self, name: str) -> None:
        """A worker starts; one of that name that was there before is gone."""
        pipe = self.redis.pipeline()
        pipe.delete(KEYS.rq_worker(name))
        pipe.hset(KEYS.rq_worker(name), mapping={"birth": "2026-01-01T00:00:00.000000Z", "state": "idle"})
        append_register(pipe, KEYS, KEYS.rq_worker(name), "{}", known=Known())
        pipe.sadd(KEYS.rq_workers, KEYS.rq_worker(name))
        known, fault = registered(self._execute(pipe)[2])
        assert not fault
        self.known[name] = known
        self.registered.add(name)

    @precondition(lambda self: self.registered)
    @rule(dice=CHANCE, orderly=st.booleans())
    def unregister(self, dice: Any, orderly: bool) -> None:
        """A worker leaves, or is killed and its hash expires."""
        name = dice.choice(sorted(self.registered))
        pipe = self.redis.pipeline()
        pipe.srem(KEYS.rq_workers, KEYS.rq_worker(name))
        if orderly:
            append_fold(pipe, KEYS, KEYS.rq_worker(name))
        pipe.delete(KEYS.rq_worker(name))
        self._execute(pipe)
        self.registered.discard(name)

    @precondition(lambda self: self.registered)
    @rule(worker=JOBS, dice=CHANCE, twice=st.booleans())
    def start(self, worker: str, dice: Any, twice: bool) -> None:
        """RQ creates an execution; redis-py may send that twice."""
        one = Execution(len(self.executions), worker, dice.choice(sorted(self.registered)))
        self.executions.append(one)
        self.open.append(one)
        for _ in range(1 + twice):
            pipe = self.redis.pipeline()
            pipe.hset(KEYS.execution(one.job, one.id), "id", one.id)
            pipe.hset(KEYS.job(one.job), mapping={"status": "started", "worker_name": one.rq_worker})
            append_start(
                pipe,
                KEYS,
                Start(one.id, one.job, worker, "default", one.rq_worker, account=one.rq_worker),
                job_key=KEYS.job(one.job),
                limits=LIMITS,
                known=self.known[one.rq_worker],
            )
            self._saw(one.rq_worker, started(self._execute(pipe)[-1]).known)

    @precondition(lambda self: self.open)
    @rule(state=st.sampled_from(sorted(OUTCOMES)), odd=st.integers(0, 5), dice=CHANCE)
    def finish(self, state: State, odd: int, dice: Any) -> None:
        """An execution ends and RQ counts it as it does, or, in a worker class of the application's, otherwise."""
        one = self.open.pop(dice.randrange(len(self.open)))
        booking = {0: Booking(), 1: Booking(SUCCEEDED, 2)}.get(odd, Booking.of(state))
        one.sent = (OUTCOMES[state], booking)
        self._end(one)

    @precondition(lambda self: any(one.sent for one in self.executions[-6:]))
    @rule(dice=CHANCE)
    def finish_again(self, dice: Any) -> None:
        """The same transaction is sent once more, because the reply was lost."""
        one = dice.choice([one for one in self.executions[-6:] if one.sent] or [self.executions[-1]])
        if one.sent:
            self._end(one)

    @precondition(lambda self: self.open)
    @rule(dice=CHANCE, ends_later=st.booleans())
    def horse_exits(self, dice: Any, ends_later: bool) -> None:
        """A horse is gone without a word, and its parent settles the execution; it may still end by itself."""
        one = dice.choice(self.open)
        if not ends_later:
            self.open.remove(one)
        told = Found("exited", exists=False, status="", died="WorkHorseExited")
        event = self._event(one, Outcome(State.DISCARD, error_type="WorkHorseExited"))
        settled = settle(
            self.redis,
            KEYS,
            event,
            LIMITS,
            attempt=1,
            retries=False,
            account=one.rq_worker,
            asked="exited",
            told=told,
        )
        if settled is not None:
            self.first.setdefault(one.id, settled.outcome.state)
            self.settled.add(one.id)
        elif not ends_later:
            self.open.append(one)

    @precondition(lambda self: any(one.id not in self.settled for one in self.open))
    @rule(dice=CHANCE, state=st.sampled_from([None, "finished"]))
    def abandon(self, dice: Any, state: str | None) -> None:
        """An execution is lost sight of; RQ may have ended it without us. A reconciler counts it."""
        one = dice.choice([one for one in self.open if one.id not in self.settled])
        self.open.remove(one)
        pipe = self.redis.pipeline()
        pipe.delete(KEYS.execution(one.job, one.id))
        if state is not None:
            pipe.hset(KEYS.job(one.job), "status", state)
            pipe.hincrby(KEYS.rq_worker(one.rq_worker), COUNTS["succeeded"], 1)
        pipe.execute()
        self.reconcile()

    @rule()
    def reconcile(self) -> None:
        """What nobody reported."""
        for event in reconcile(self.redis, KEYS, LIMITS):
            self.first.setdefault(event.execution_id, event.outcome.state)
        tidy(self.redis, KEYS)

    @rule(worker=JOBS)
    def enqueue(self, worker: str) -> None:
        """A producer counts."""
        pipe = self.redis.pipeline()
        append_enqueued(pipe, KEYS, worker, "default", limits=LIMITS)
        self._execute(pipe)

    # what an operator does

    @rule()
    def retire(self) -> None:
        """Every label set is folded."""
        retire_idle(self.redis, KEYS, seconds=-1)

    @rule(worker=JOBS)
    def forget(self, worker: str) -> None:
        """A worker's label sets are forgotten on purpose."""
        self.forgotten += forget_worker(self.redis, KEYS, worker).executions

    @precondition(lambda self: self.tampered)
    @rule()
    def acknowledge(self) -> None:
        """Somebody has seen what was lost; from now on figures are compared with what they were then."""
        self.reconcile()
        self._tend()
        acknowledge_losses(self.redis, KEYS)
        assert not says_so(self.warm.read())
        for one in self.executions:
            one.sent = None
        self.open = [one for one in self.open if one.id not in self.first]
        self.first.clear()
        self.redis.delete(KEYS.running)
        self.redis.hdel(KEYS.meta, "running")
        for one in self.open:
            self.redis.delete(KEYS.execution(one.job, one.id))
        self.open.clear()
        self.base, self.forgotten, self.tampered, self.dump = figures(self.warm.read()), 0, False, None
        self.idle = Reader(self.redis, KEYS)
        for name in self.known:
            self.known[name] = Known()

    # what happens to Redis

    @rule()
    def script_flush(self) -> None:
        """Redis forgets our scripts."""
        self.redis.script_flush()

    @precondition(lambda self: self.first)
    @rule(dice=CHANCE)
    def lose(self, dice: Any) -> None:
        """One of our keys is deleted or evicted."""
        found = sorted(self.redis.scan_iter("rq:telemetry:*"))
        if found:
            self.redis.delete(dice.choice(found))
            self.tampered = True

    @precondition(lambda self: self.first)
    @rule()
    def lose_everything(self) -> None:
        """All of ours is gone."""
        self.redis.delete(*self.redis.scan_iter("rq:telemetry:*"), "x")
        self.tampered = True

    @rule()
    def save(self) -> None:
        """Our keys are saved."""
        saved = {key: self.redis.dump(key) for key in self.redis.scan_iter("rq:telemetry:*")}
        self.dump = (saved, self.forgotten)  # type: ignore[assignment]

    @precondition(lambda self: self.dump)
    @rule()
    def restore(self) -> None:
        """And come back as they were then."""
        assert self.dump is not None
        saved, self.forgotten = self.dump
        self.redis.delete(*self.redis.scan_iter("rq:telemetry:*"), "x")
        for key, content in saved.items():
            self.redis.restore(key, 0, content)
        self.tampered = True

    # what must hold

    @rule()
    def idle_reader_reads(self) -> None:
        """A reader that looks seldom, and writes nothing down."""
        snapshot = self.idle.read()
        if not self.tampered:
            self._check(snapshot)

    @rule()
    def tend(self) -> None:
        """After a reader has written down what it noticed, everybody says the same."""
        self._tend()
        warm = self.warm.read()
        for other in (Reader(self.redis, KEYS).read(), self.idle.read()):
            assert figures(warm) == figures(other)
            assert warm.seen.keys() == other.seen.keys()
            assert says_so(warm) == says_so(other)
            self._check(other)

    @invariant()
    def figures_are_right_or_something_says_so(self) -> None:
        """Whoever looks regularly is never deceived, and never alarmed for nothing."""
        self._check(self.warm.read())

    def _check(self, snapshot: Snapshot) -> None:
        truth = self.base + Counter(self.first.values())
        served = figures(snapshot)
        if says_so(snapshot):
            why = snapshot.counts_lost_why, snapshot.unrecorded, snapshot.accounts_difference
            assert self.tampered, f"an alarm for nothing: {why}"
            return
        assert served.total() == truth.total() - self.forgotten, f"{served} and not {truth} - {self.forgotten}"
        if not self.forgotten and not self.tampered:
            assert served == truth

    def _tend(self) -> None:
        for _ in range(6):
            self.warm.read()
            if not self.warm.tend():
                return
        raise AssertionError("a reader finds something to write down for ever")

    def _event(self, one: Execution, outcome: Outcome) -> ExecutionEvent:
        return ExecutionEvent(
            execution_id=one.id,
            job_id=one.job,
            worker=one.worker,
            queue="default",
            rq_worker=one.rq_worker,
            outcome=outcome,
            attempt=1,
            ended_at=2000.0,
            duration=0.3,
            trace_id="a" * 32,
            span_id="b" * 16,
        )

    def _end(self, one: Execution) -> None:
        assert one.sent is not None
        outcome, booking = one.sent
        pipe = self.redis.pipeline()
        for _ in range(booking.times):
            pipe.hincrby(KEYS.rq_worker(one.rq_worker), COUNTS[booking.column], 1)
        append_finish(
            pipe,
            KEYS,
            self._event(one, outcome),
            job_key=KEYS.job(one.job),
            rq_worker_key=KEYS.rq_worker(one.rq_worker),
            limits=LIMITS,
            booking=booking,
            known=self.known[one.rq_worker],
        )
        pipe.delete(KEYS.execution(one.job, one.id))
        said = finished(self._execute(pipe)[booking.times])
        assert not said.fault
        self._saw(one.rq_worker, said.known)
        self.first.setdefault(one.id, outcome.state)

    def _saw(self, name: str, known: Known) -> None:
        before = self.known[name]
        if known.generation != before.generation or known.total > before.total:
            self.known[name] = known

    def _execute(self, pipe: Any) -> list[Any]:
        """As a worker does: scripts that Redis does not know are sent again, after the transaction."""
        commands = [command for command, *_ in pipe.command_stack]
        replies = pipe.execute(raise_on_error=False)
        return [
            run_again(self.redis, command) if isinstance(reply, NoScriptError) else reply
            for command, reply in zip(commands, replies, strict=True)
        ]


def test_figures_are_right_or_something_says_so(redis: Redis) -> None:
    """Whatever happens to our keys, the figures are those of what ended, or something says that they may not be."""
    machine = type("BooksOnServer", (Books,), {"redis": redis})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
            derandomize=True,
        ),
    )
