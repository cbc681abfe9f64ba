"""Reads that hang, fail and recover."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from jobtelemetry.exporter.reading import SnapshotReader, TimeLimited
from jobtelemetry.store.snapshot import Snapshot


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends every hanging read when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_hanging_read_is_given_up(release: threading.Event) -> None:
    """Who asks gets an error when the limit is over, not when the read ends."""
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        TimeLimited(release.wait, 0.05)()
    assert time.monotonic() - begin < 5


def test_hanging_reads_do_not_pile_up(release: threading.Event) -> None:
    """However often one asks, no more than one thread hangs."""
    hanging: list[threading.Thread] = []

    def hang() -> None:
        hanging.append(threading.current_thread())
        release.wait()

    limited = TimeLimited(hang, 0.02)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            limited()
    assert len(hanging) == 1


def test_it_works_again_after_a_hang(release: threading.Event, eventually: Callable[..., None]) -> None:
    """When the hanging read ends at last, the next one is answered, and no thread stays."""
    threads: set[threading.Thread] = set()

    def read() -> str:
        threads.add(threading.current_thread())
        release.wait()
        return "here"

    limited = TimeLimited(read, 0.05)
    with pytest.raises(TimeoutError):
        limited()
    release.set()
    eventually(lambda: not any(thread.is_alive() for thread in threads))
    assert limited() == "here"
    eventually(lambda: not any(thread.is_alive() for thread in threads))


def test_an_answer_never_began_before_the_question(eventually: Callable[..., None]) -> None:
    """Who asks while a read is under way gets the next one, which all that wait share."""
    gate, calls = threading.Event(), []

    def read() -> int:
        calls.append(None)
        number = len(calls)
        gate.wait(10)
        return number

    limited = TimeLimited(read, 10)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(limited)
        eventually(lambda: calls)
        others = [pool.submit(limited) for _ in range(4)]
        eventually(lambda: limited._next is not None and len(limited._next.answer._waiters) == len(others))
        gate.set()
        assert first.result() == 1
        assert {future.result() for future in others} == {2}


def test_three_at_once_all_get_an_answer(eventually: Callable[..., None]) -> None:
    """A read that takes most of the limit does not use up the time of those who wait for the next one."""
    calls, limit = [], 2.0

    def read() -> int:
        calls.append(None)
        time.sleep(0.55 * limit)  # two of these are longer than the limit
        return len(calls)

    limited = TimeLimited(read, limit)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(limited)
        eventually(lambda: calls)
        others = [pool.submit(limited) for _ in range(2)]
        assert first.result() == 1
        assert [other.result() for other in others] == [2, 2]


def test_who_gets_on_has_more_time() -> None:
    """A read of many parts is waited for as long as Redis answers them, by those who wait for the next one, too."""
    limit = 0.3

    def read() -> str:
        for _ in range(6):
            time.sleep(limit / 3)
            limited.gets_on()
        return "all"

    limited = TimeLimited(read, limit)
    with ThreadPoolExecutor(3) as pool:
        assert [one.result() for one in [pool.submit(limited) for _ in range(3)]] == ["all"] * 3


def test_who_gets_on_for_ever_is_given_up(release: threading.Event) -> None:
    """There is an end to it, for a scraper has one."""

    def read() -> None:
        while not release.wait(0.01):
            limited.gets_on()

    limited = TimeLimited(read, 0.2)  # long enough for a thread to get its turn on a busy machine
    with pytest.raises(TimeoutError, match=r"not all of the answer within 1 s"):
        limited()


def test_who_has_less_time_gives_up_sooner(release: threading.Event) -> None:
    """A scraper's own limit goes before ours, also while it waits for another one's read."""
    limited = TimeLimited(release.wait, 20)
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
            limited(within=0.05)


def test_a_fork_during_a_read_begins_anew(release: threading.Event, eventually: Callable[..., None]) -> None:
    """A child inherits neither a lock that nobody releases nor a read that nobody ends."""
    parent, reading = os.getpid(), threading.Event()

    def read() -> Snapshot:
        if os.getpid() == parent:
            reading.set()
            release.wait()
        return Snapshot(taken_at=1.0)

    reader = SnapshotReader(read, 20)
    thread = threading.Thread(target=reader.read)
    thread.start()
    assert reading.wait(20)
    reader._read._lock.acquire()  # the worst moment for a fork
    reader._lock.acquire()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
        child = os.fork()
    if child == 0:
        os._exit(0 if all(reader.read(10).snapshot for _ in range(2)) else 1)
    reader._lock.release()
    reader._read._lock.release()
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_errors_come_through() -> None:
    """What the function raises, the caller gets."""

    def fail() -> None:
        raise redis.ConnectionError("refused")

    with pytest.raises(redis.ConnectionError, match="refused"):
        TimeLimited(fail, 1)()


def test_an_outage_is_one_line_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    """Ten failed scrapes in a row log once, and the first good one says that it is over."""
    snapshot, failing = Snapshot(taken_at=1.0), threading.Event()

    def read() -> Snapshot:
        if failing.is_set():
            raise redis.ConnectionError("Error 111 connecting to redis:6379. Connection refused.")
        return snapshot

    reader = SnapshotReader(read)
    with caplog.at_level(logging.INFO):
        assert reader.read().snapshot is snapshot
        failing.set()
        readings = [reader.read() for _ in range(10)]
        failing.clear()
        assert reader.read().snapshot is snapshot
    assert {reading.error for reading in readings} == {"Error 111 connecting to redis:6379. Connection refused."}
    assert reader.last is snapshot
    first, second = [record.getMessage() for record in caplog.records]
    assert "Connection refused" in first
    assert second.startswith("Redis can be read again after")


def test_who_is_in_a_hurry_makes_no_outage(
    caplog: pytest.LogCaptureFixture, release: threading.Event, eventually: Callable[..., None]
) -> None:
    """A stranger who gives us no time cannot fill the log; a real failure is told though nobody waited for it."""
    failing = threading.Event()

    def read() -> Snapshot:
        release.wait()
        if failing.is_set():
            raise redis.ConnectionError("refused")
        return Snapshot(taken_at=1.0)

    reader = SnapshotReader(read, 20)
    with caplog.at_level(logging.INFO):
        assert [reader.read(0.01).snapshot for _ in range(3)] == [None] * 3
        assert caplog.records == []
        failing.set()
        release.set()
        eventually(lambda: caplog.records)
    assert "Redis cannot be read" in caplog.records[0].getMessage()


def test_a_fault_of_our_own_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is not Redis' is no reason to die, and can be found in the log."""

    def read() -> Snapshot:
        raise KeyError("job")

    reading = SnapshotReader(read).read()
    assert reading.snapshot is None
    assert reading.error == "KeyError: 'job'"
    assert caplog.records[0].exc_info
