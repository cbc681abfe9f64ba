"""Unit tests without a server. ``execute_job`` comes with jobtelemetry; pytest finds it by itself."""

from collections.abc import Callable

from fakeredis import FakeStrictRedis
from rq import Queue, SimpleWorker

from jobs import charge, charge_all
from jobtelemetry import ExecutionEvent
from jobtelemetry.testing import assert_ended


def test_a_customer_who_left_is_not_charged(execute_job: Callable[..., ExecutionEvent]) -> None:
    """The job says so itself: it is cancelled, with a reason."""
    assert_ended(execute_job(charge, {"name": "Ada", "left": True}), "cancelled", reason="customer_left")
    assert_ended(execute_job(charge, {"name": "Bob"}), "completed")


def test_a_payload_without_a_name_is_an_error(execute_job: Callable[..., ExecutionEvent]) -> None:
    """Unless somebody is to look at it, a job must not fail."""
    assert_ended(execute_job(charge, {"left": True}), "discard", error_type="KeyError")


def test_one_job_for_each_customer() -> None:
    """Where queue and worker are what is tested, fakeredis will do; with its Lua, even the counts are there."""
    queue = Queue(connection=FakeStrictRedis())
    charge_all(queue, [{"name": "Ada"}, {"name": "Bob"}])
    SimpleWorker([queue], connection=queue.connection).work(burst=True)
    assert queue.finished_job_registry.count == 2
