"""Faults in jobtelemetry's own code: which functions a run calls inside fences, and a run in which one of them raises.

Nothing is replaced: Python's trace function raises at the moment of the call, so closures, properties and methods are
reached alike, in a work-horse too, which inherits the trace function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock

import jobtelemetry
from jobtelemetry.exporter import binding, forks
from jobtelemetry.own_metrics import background
from jobtelemetry.rq import runtime
from jobtelemetry.rq.runtime import Fence, Runtime

_PACKAGE = str(Path(jobtelemetry.__file__).parent)
#: The fence itself, and what it does with an error: if these raise, nothing is left to catch it.
_FENCE = {
    code
    for function in (Runtime.note_error, Fence.__init__, Fence.__enter__, Fence.__exit__)
    if (code := function.__code__).co_filename == runtime.__file__
}
#: What Python runs in each forked child of a process with an exporter or metrics of its own, and fences itself.
_AT_FORK = {forks._in_child.__code__, binding._close_in_child.__code__, background.Writer.begin_anew.__code__}


class InjectedFault(Exception):
    """A fault that a test has put there."""


@dataclass(frozen=True, order=True)
class Point:
    """A function of jobtelemetry's."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


def point_of(code: CodeType) -> Point:
    """The function that a code object belongs to."""
    name = getattr(code, "co_qualname", code.co_name)  # Python 3.11
    return Point(os.path.relpath(code.co_filename, _PACKAGE), code.co_firstlineno, name)


class _Trace:
    """A trace function that is put back after it has raised: Python takes it away then."""

    def __init__(self, book: Path) -> None:
        self._book = book
        self.depth = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE) and code not in _FENCE and not _at_fork(frame):
            self.called(code)

    def called(self, code: CodeType) -> None:
        raise NotImplementedError

    def note(self, line: str) -> None:
        """In a file, so that a work-horse can do it too."""
        descriptor = os.open(self._book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


def _at_fork(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _AT_FORK:
            return True
        frame = frame.f_back
    return False


class _Listing(_Trace):
    def called(self, code: CodeType) -> None:
        point = point_of(code)
        self.note(f"{point.file}\t{point.line}\t{point.name}\t{self.depth > 0}")


class _Raising(_Trace):
    def __init__(self, book: Path, point: Point, *, once: bool) -> None:
        super().__init__(book)
        self._point, self._once, self._done = point, once, False

    def called(self, code: CodeType) -> None:
        if code.co_firstlineno == self._point.line and not self._done and point_of(code) == self._point:
            self._done = self._once
            self.note("raised")
            raise InjectedFault(f"in {self._point}")


@contextmanager
def _tracing(trace: _Trace) -> Iterator[None]:
    leave, note_error = Fence.__exit__, Runtime.note_error

    def enter(_: Fence) -> None:
        sys.settrace(trace)
        trace.depth += 1

    def tracked(self: Fence, *raised: Any) -> bool:
        try:
            return leave(self, *raised)
        finally:
            trace.depth -= 1

    def resumed(self: Runtime, *args: Any, **kwargs: Any) -> None:
        note_error(self, *args, **kwargs)
        sys.settrace(trace)

    with (
        mock.patch.object(Fence, "__enter__", enter),
        mock.patch.object(Fence, "__exit__", tracked),
        mock.patch.object(Runtime, "note_error", resumed),
    ):
        sys.settrace(trace)
        try:
            yield
        finally:
            sys.settrace(None)


@contextmanager
def listing(book: Path) -> Iterator[None]:
    """While this lasts, every call of a function of jobtelemetry's is written into the book; see :func:`listed`."""
    with _tracing(_Listing(book)):
        yield


def listed(book: Path) -> tuple[set[Point], set[Point]]:
    """The functions that were called inside fences, and those that were only called outside."""
    inside, outside = set(), set()
    for row in book.read_text().splitlines():
        file, line, name, fenced = row.split("\t")
        (inside if fenced == "True" else outside).add(Point(file, int(line), name))
    return inside, outside - inside


@contextmanager
def raising(book: Path, point: Point, *, once: bool) -> Iterator[None]:
    """While this lasts, calls of this function raise: every one, or the first in each process."""
    with _tracing(_Raising(book, point, once=once)):
        yield
