"""The jobs that the tests run, and their callbacks. They keep their own books, outside of Redis.

``JOBTELEMETRY_TEST_BOOKS`` names a directory. Every call of a job's function adds a line to ``ledger`` there, and a
job that waits for a test says so, and is told to go on, with files.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rq import Queue, Retry, get_current_job

import jobtelemetry
from jobtelemetry import Cancel, Discard, RateLimited

BOOKS = "JOBTELEMETRY_TEST_BOOKS"
_LONGEST_WAIT = 60.0


def books() -> Path:
    """The directory in which jobs and test talk."""
    return Path(os.environ[BOOKS])


def note(line: str = "") -> int:
    """Write into the ledger that the job ran, and return how often it has by now."""
    job = get_current_job()
    assert job is not None
    _append("ledger", f"{job.id} {os.getpid()} {line}")
    return sum(entry.startswith(f"{job.id} ") for entry in (books() / "ledger").read_text().splitlines())


def _append(name: str, line: str) -> None:
    descriptor = os.open(books() / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())  # one write, so that a SIGKILL cannot cut it
    finally:
        os.close(descriptor)


class ShowtimeNotFound(LookupError):
    """An error of the application's own."""


class TooManyRequests(Exception):
    """What HTTP clients raise for 429."""

    status_code = 429


ERRORS = {error.__name__: error for error in (ShowtimeNotFound, TooManyRequests, RateLimited, RuntimeError, ValueError)}


def mistaken(how: str) -> Any:
    """Means to cancel or to discard, and makes one of the usual mistakes."""
    note(how)
    kind = Discard if how.startswith("discard") else Cancel
    match how.partition(" ")[2]:
        case "raised class":
            raise kind
        case "returned class":
            return kind
        case "free text":
            raise kind("movie not matched", "film 4711")
    raise AssertionError(how)


def complete(value: Any = None) -> Any:
    """Return the value."""
    note()
    return value


def fail(error: str = "ValueError", message: Any = "as told") -> None:
    """Raise."""
    note()
    raise ERRORS[error](message)


def fail_until(attempt: int, error: str = "ValueError", message: Any = "not yet") -> int:
    """Raise before the given attempt and return in it."""
    if (now := note()) < attempt:
        raise ERRORS[error](message)
    return now


@jobtelemetry.job(max_attempts=3)
def fail_three_times() -> None:
    """Raise always; somebody outside puts it back."""
    note()
    raise ValueError("not yet")


@jobtelemetry.job(max_attempts=2)
def die_twice() -> None:
    """Kill the work-horse always; somebody outside puts it back."""
    note()
    os.kill(os.getpid(), signal.SIGKILL)


def cancel_and_let_run() -> None:
    """Cancelled on purpose; what depends on it does not mind."""
    note()
    raise Cancel("movie_not_matched", enqueue_dependents=True)


def cancel(reason: str = "movie_not_matched", returned: bool = False) -> Any:
    """End as cancelled."""
    note()
    verdict = Cancel(reason, detail="no film is as similar as 0.60")
    if returned:
        return verdict
    raise verdict


def discard(reason: str = "bad_payload", returned: bool = False) -> Any:
    """Fail without a retry."""
    note()
    verdict = Discard(reason, detail="no showtimes in it")
    if returned:
        return verdict
    raise verdict


def come_again(times: int, most: int, interval: int = 0) -> Any:
    """Return a ``Retry`` the first ``times`` times."""
    return Retry(max=most, interval=interval) if note() <= times else "done"


def hang_until(attempt: int) -> None:
    """Run for ever before the given attempt, and return in it."""
    if note() < attempt:
        while True:
            time.sleep(0.01)


def meet(name: str = "job", then: str = "return") -> str:
    """Say that it runs, wait until the test says go, and end as told."""
    note()
    return _meet(name, then)


def meet_first(name: str = "job") -> str:
    """Do so in the first attempt, and return at once in the others."""
    return _meet(name, "return") if note() == 1 else name


def _meet(name: str, then: str) -> str:
    (books() / f"{name}.pid").write_text(str(os.getpid()))
    deadline = time.monotonic() + _LONGEST_WAIT
    while not (books() / f"{name}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the test never said go")
        time.sleep(0.002)
    if then == "cancel":
        raise Cancel("movie_not_matched")
    if then == "fail":
        raise ValueError("as told")
    if then == "exit":
        os._exit(0)
    return name


def note_loading() -> None:
    """Stand for an argument; called in every process that loads it."""
    _append("loadings", str(os.getpid()))


def die(how: str, until: int = 1_000_000, _argument: Any = None) -> int:
    """Die before the given attempt: by a signal, of a segmentation fault, at a memory limit, or by ``exit 3``."""
    if (now := note()) >= until:
        return now
    if how == "SIGSEGV":
        ctypes.string_at(0)
    if how == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        _need_more_memory()
    if how.startswith("exit"):
        os._exit(int(how.removeprefix("exit") or 0))
    os.kill(os.getpid(), getattr(signal, how))
    return now


def _need_more_memory() -> None:
    """What a native library does that gets none."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    if not libc.malloc(1 << 34):
        libc.abort()


def out_of_memory() -> int:
    """Reach a limit that Python notices."""
    note()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
    try:
        return len(bytearray(1 << 34))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def unpicklable() -> Any:
    """Return what no serializer can save."""
    note()
    return lambda: None


class Refresh:
    """A job as a callable instance, a class and methods."""

    limit = 3

    def __call__(self) -> None:
        note()

    def instance_method(self) -> None:
        note()

    @classmethod
    def class_method(cls) -> None:
        note()

    @staticmethod
    def static_method() -> None:
        note()


refresh = Refresh()


@jobtelemetry.job(name="cinema.jobs.RefreshJob")
def named() -> None:
    """A job that says under which name it is counted."""
    note()


@jobtelemetry.job(name="cinema.jobs.DieJob")
def named_die(how: str) -> int:
    """One that dies."""
    return die(how)


@jobtelemetry.job(name="cinema.jobs.MeetJob")
def named_meet(name: str = "job") -> str:
    """One that meets."""
    return meet(name)


@jobtelemetry.job(name="cinema.jobs.Named")
class Named:
    """A class that does."""

    def __call__(self) -> None:
        note()


def succeeded(job: Any, connection: Any, result: Any) -> None:
    """A success callback."""
    _append("callbacks", f"success {job.id}")


def failed(job: Any, connection: Any, kind: Any, error: Any, trace: Any) -> None:
    """A failure callback."""
    _append("callbacks", f"failure {job.id} {kind.__name__}")


def stopped(job: Any, connection: Any) -> None:
    """A stopped callback."""
    _append("callbacks", f"stopped {job.id}")


def raising_stopped_callback(job: Any, connection: Any) -> None:
    """A stopped callback that raises."""
    raise ShowtimeNotFound("in the stopped callback")


def raising_success_callback(job: Any, connection: Any, result: Any) -> None:
    """A success callback that raises."""
    raise ShowtimeNotFound("in the success callback")


def raising_failure_callback(job: Any, connection: Any, kind: Any, error: Any, trace: Any) -> None:
    """A failure callback that raises."""
    raise ShowtimeNotFound("in the failure callback")


def put_back(job: Any, connection: Any, kind: Any, error: Any, trace: Any) -> None:
    """A failure callback that is the user's own way to retry."""
    Queue(job.origin, connection=connection).enqueue_job(job)


def noted_exception(job: Any, kind: Any, error: Any, trace: Any) -> bool:
    """An exception handler."""
    _append("handlers", f"{job.id} {kind.__name__}")
    return True


def grow(megabytes: int, then: str = "return") -> int:
    """Hold so much memory for a moment, and end as told: ``return``, ``fail``, ``child`` (one grows) or a signal."""
    note()
    if then == "child":
        subprocess.run([sys.executable, "-c", f"bytearray(b'x') * {megabytes * 1_000_000}"], check=True)
        return 0
    held = bytearray(b"x") * (megabytes * 1_000_000)
    if then == "fail":
        raise ValueError("as told")
    if then.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, then))
    return len(held)


def compute(seconds: float) -> float:
    """Keep a processor busy for so many seconds of its time."""
    note()
    begun = time.process_time()
    while time.process_time() - begun < seconds:
        pass
    return seconds
