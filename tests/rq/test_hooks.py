"""The table of hooks: each row is found on this RQ, and what is off where it is not is said at ``instrument()``."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker

import jobtelemetry
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.rq import hooks as table
from jobtelemetry.rq import instrument as switch
from jobtelemetry.rq import working
from jobtelemetry.rq.attach import REST, Duty, Hook
from jobtelemetry.rq.hooks import HOOKS, NEWEST, OLDEST
from jobtelemetry.rq.instrument import rq_version
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.read import read_snapshot

HERE = [hook for hook in HOOKS if hook.expected_of(rq_version())]
COUNTING = [hook for hook in HERE if hook.duty is Duty.COUNT]
OTHERS = [hook for hook in HERE if hook.duty is not Duty.COUNT]


def in_a_wrapper(hook: Hook) -> bool:
    """Whether somebody may have wrapped it without care: nobody does that to a property."""
    found = hook.found()
    return found is not None and not isinstance(found[1], (property, classmethod))


def id_of(hook: Hook) -> str:
    """One row."""
    return f"{hook.name}-{hook.room}.{hook.handler}"


def work() -> int:
    """A job."""
    return 7


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    jobtelemetry.uninstrument()
    yield
    jobtelemetry.uninstrument()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def redis(server: EmbeddedServer) -> Redis:
    """It, without any key."""
    connection = server.connection()
    connection.flushall()
    return connection


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What jobtelemetry has logged at one level."""
    return [
        record.getMessage() for record in caplog.records if record.name == "jobtelemetry" and record.levelno == level
    ]


@pytest.mark.parametrize("hook", HERE, ids=id_of)
def test_every_hook_is_found(hook: Hook) -> None:
    """This RQ has the method, and every parameter that ours needs."""
    assert hook.problem() == ""
    assert hook.found() is not None
    assert hook.without or hook.optional


@pytest.mark.parametrize("hook", HOOKS, ids=id_of)
def test_every_handler_is_there(hook: Hook) -> None:
    """Its room has the handler, which takes what calls RQ's part, whose it is, and the values."""
    room = {room.__name__: room for room in working.ROOMS}[hook.room]
    parameters = getattr(room, hook.handler).__code__
    assert parameters.co_argcount == 3 + len(hook.needs) + len(hook.wants), parameters.co_varnames


def test_every_row_has_a_place_of_its_own() -> None:
    """No handler is twice on one method, and no other room has a handler that no row names."""
    rows = [(hook.owner, hook.method, hook.room, hook.handler) for hook in HOOKS]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(
    ("hook", "how"),
    [
        pytest.param(hook, how, id=f"{id_of(hook)}-{how}")
        for hook in COUNTING
        for how in ("gone", "other parameters")
        if how == "gone" or set(hook.needs) - {REST}
    ],
)
def test_a_missing_counting_hook_is_one_error(
    hook: Hook, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a method that counting needs, or its parameters, nothing is counted, and one line names it."""
    _break(hook, how, monkeypatch)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
    (line,) = said(caplog, logging.ERROR)
    assert hook.name in line
    assert hook.without in line
    assert "counts nothing" in line
    assert not jobtelemetry.is_instrumented()


@pytest.mark.parametrize("hook", OTHERS, ids=id_of)
def test_another_missing_hook_is_one_warning(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a method of labels, spans or care, one line says what is off, unless counting needs it as well."""
    _break(hook, "gone", monkeypatch)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
    (line,) = said(caplog, logging.WARNING)
    assert hook.name in line
    assert hook.without in line
    needed = any(other.owner == hook.owner and other.method == hook.method for other in COUNTING)
    assert jobtelemetry.is_instrumented() is not needed
    assert len(said(caplog, logging.ERROR)) == needed


def _break(hook: Hook, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hook.found()
    assert found is not None
    owner, original = found
    monkeypatch.delattr(owner, hook.method)
    if how == "other parameters":

        def other(self: Any) -> None:
            raise AssertionError("not to be called")

        value: Any = property(other) if isinstance(original, property) else other
        monkeypatch.setattr(owner, hook.method, value, raising=False)


def _run_one(redis: Redis) -> None:
    Queue("q", connection=redis).enqueue(work, job_id="one")
    SimpleWorker(["q"], connection=redis, name="worker").work(burst=True, logging_level="ERROR")
    assert redis.hget("rq:job:one", "status") == b"finished"


def _without_row(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ has the method under a name that the table does not know: RQ itself goes on as it does."""
    renamed = tuple(
        Hook(**{**row.__dict__, "method": f"{row.method}_renamed"}) if row is hook else row for row in HOOKS
    )
    monkeypatch.setattr(switch, "HOOKS", renamed)
    monkeypatch.setattr(table, "HOOKS", renamed)


@pytest.mark.parametrize("hook", COUNTING, ids=id_of)
def test_without_a_counting_hook_jobs_run_bare(
    hook: Hook, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs run, nothing of them is counted, and the RQ worker shows as uninstrumented."""
    _without_row(hook, monkeypatch)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
        (line,) = said(caplog, logging.ERROR)
        assert f"{hook.name}_renamed" in line
        seen = []

        class Looking(SimpleWorker):
            def execute_job(self, *args: Any, **kwargs: Any) -> Any:
                seen.append(read_snapshot(redis, Keys()).uninstrumented)
                return super().execute_job(*args, **kwargs)

        Queue("q", connection=redis).enqueue(work, job_id="one")
        Looking(["q"], connection=redis, name="worker").work(burst=True, logging_level="ERROR")
    assert redis.hget("rq:job:one", "status") == b"finished"
    assert seen == [1]
    assert read_snapshot(redis, Keys()).executions == {}
    assert not redis.exists(Keys().running)


@pytest.mark.parametrize("hook", OTHERS, ids=id_of)
def test_without_another_hook_jobs_are_counted(
    hook: Hook, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not there for counting leaves the counting alone."""
    _without_row(hook, monkeypatch)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
        assert jobtelemetry.is_instrumented()
        _run_one(redis)
    snapshot = read_snapshot(redis, Keys())
    assert sum(counter.value for counter in snapshot.executions.values()) == 1
    assert not any(snapshot.handler_errors.values())
    assert len(said(caplog, logging.WARNING)) == 1


def test_an_older_rq_is_one_line(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An RQ that is too old is said in one line, whatever else it lacks, and jobs run."""
    older = (OLDEST[0], OLDEST[1] - 1)
    monkeypatch.setattr(switch, "VERSION", f"{older[0]}.{older[1]}.1")
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
        (line,) = said(caplog, logging.ERROR)
        _run_one(redis)
    assert "older than 2.7" in line
    assert said(caplog, logging.WARNING) == []
    assert not jobtelemetry.is_instrumented()
    assert read_snapshot(redis, Keys()).executions == {}


@pytest.mark.rq(">=3")  # a version that an older one is not would have other methods
def test_a_newer_rq_is_said_once(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An RQ that is newer than everything tested is said once, and counted as far as its methods are there."""
    newest = f"{NEWEST[0]}.{NEWEST[1] + 1}.0"
    monkeypatch.setattr(switch, "VERSION", newest)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
        jobtelemetry.instrument()
        _run_one(redis)
    (line,) = said(caplog, logging.WARNING)
    assert newest in line
    assert jobtelemetry.is_instrumented()
    assert sum(counter.value for counter in read_snapshot(redis, Keys()).executions.values()) == 1


def _patched_on_top(hook: Hook, calls: list[str]) -> Callable[[], None]:
    """Put somebody else's wrapper on top, as another instrumentation does; returns what takes it away."""
    found = hook.found()
    assert found is not None
    owner, ours = found

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        calls.append(hook.method)
        return ours(*args, **kwargs)

    setattr(owner, hook.method, theirs)
    return lambda: setattr(owner, hook.method, ours)


@pytest.mark.parametrize("method", ["perform_job", "handle_job_success", "cleanup_execution", "set_state"])
def test_taking_it_back_leaves_what_others_put_on_top(redis: Redis, method: str) -> None:
    """A wrapper that somebody has put on top of ours keeps working, ours below it is inert, RQ's part is done once."""
    hook = next(hook for hook in HOOKS if hook.method == method)
    found = hook.found()
    assert found is not None
    owner, original = found
    jobtelemetry.instrument()
    calls: list[str] = []
    _patched_on_top(hook, calls)
    try:
        jobtelemetry.uninstrument()
        assert not jobtelemetry.is_instrumented()
        _run_one(redis)
        assert calls.count(method) >= 1
        assert redis.exists(Keys().running, Keys().sets) == 0
        jobtelemetry.instrument()  # around theirs; what is left of ours below stays inert
        redis.flushall()
        _run_one(redis)
        assert sum(counter.value for counter in read_snapshot(redis, Keys()).executions.values()) == 1
        jobtelemetry.uninstrument()
    finally:
        setattr(owner, method, original)


@pytest.mark.parametrize("hook", [hook for hook in HERE if in_a_wrapper(hook)], ids=id_of)
def test_a_wrapper_that_takes_anything_has_the_parameters_of_rqs_source(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's wrapper without ``functools.wraps`` is no reason to count nothing: RQ's source says what is where."""
    found = hook.found()
    assert found is not None
    owner, original = found
    names = [one.name for one in inspect.signature(original).parameters.values() if one.kind is not one.VAR_POSITIONAL]
    monkeypatch.setattr(owner, hook.method, _careless(original))
    assert hook.parameters(vars(owner)[hook.method])[: len(names)] == names
    assert hook.problem() == ""


def test_jobs_are_counted_below_careless_wrappers(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one around every counting method, a job is counted as it is without."""
    for hook in {hook.name: hook for hook in COUNTING}.values():
        owner, original = hook.found() or (None, None)
        if not isinstance(original, (property, classmethod)):
            monkeypatch.setattr(owner, hook.method, _careless(original))
    jobtelemetry.instrument()
    _run_one(redis)
    (counter,) = [one for one in read_snapshot(redis, Keys()).executions.values() if one.value]
    assert counter.value == 1
    jobtelemetry.uninstrument()


def test_a_wrapper_of_other_parameters_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read is said with who put it there and what to do."""
    (hook,) = [hook for hook in HERE if hook.name == "BaseWorker.perform_job"]
    owner, original = hook.found() or (None, None)

    def theirs(self: Any, first: Any, second: Any) -> Any:
        return original(self, first, second)

    monkeypatch.setattr(owner, "perform_job", theirs)
    with caplog.at_level(logging.WARNING, "jobtelemetry"):
        jobtelemetry.instrument()
    (line,) = said(caplog, logging.ERROR)
    assert "BaseWorker.perform_job has no parameter job" in line
    assert f"{__name__}.{theirs.__qualname__} has replaced it" in line
    assert "functools.wraps" in line


def _careless(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return wrapper
