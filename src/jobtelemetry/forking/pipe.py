"""What a work-horse tells the parent that waits for it: lines of JSON through a pipe.

The parent reads when the horse is gone and never waits. A horse that dies, or a grandchild that keeps the pipe
open, costs nothing; a message that does not fit is dropped, and the parent asks Redis instead.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from _signal import pthread_sigmask  # type: ignore[import-not-found]  # that of ``signal`` makes enumerations
from contextlib import suppress
from typing import Any

#: A pipe holds 64 KiB on Linux; more than that would make the horse wait for a parent that is not reading yet.
MOST_BYTES = 60_000
#: Made once: ``json.dumps`` makes an encoder for every call that is not its usual one.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_of_json = json.JSONDecoder().decode


class PipeLost(OSError):
    """The job has closed its end of the pipe. The parent, unlike after a ``BrokenPipeError``, may well be there."""


class HorsePipe:
    """One pipe per forked execution.

    A job may close every descriptor it finds and open files of its own under the same numbers, so each is looked at
    before it is used.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        #: After :meth:`receive`: whether another process could still have said something.
        self.held = False
        self._identity = _identity(self._writer)
        for end in (self._reader, self._writer):  # before anything can go wrong: nobody must ever wait here
            os.set_blocking(end, False)

    @property
    def writer(self) -> int:
        """The descriptor that the horse writes to, inherited by a spawned one."""
        os.set_inheritable(self._writer, True)
        return self._writer

    @classmethod
    def of_spawned(cls, writer: int) -> HorsePipe:
        """The horse's end in a process that was spawned and not forked."""
        pipe = cls.__new__(cls)
        pipe._reader, pipe._writer, pipe._identity, pipe.held = -1, writer, _identity(writer), False
        os.set_inheritable(writer, False)
        return pipe

    def in_horse(self) -> None:
        """Keep only the writing end."""
        self._reader = self._close(self._reader)

    def in_parent(self) -> None:
        """Keep only the reading end."""
        self._writer = self._close(self._writer)

    def tell(self, **message: Any) -> int:
        """Say something at once, for the horse may be killed, to a parent that need not hear it. Returns its bytes."""
        with suppress(OSError):
            return self.send(**message)
        return 0

    def send(self, **message: Any) -> int:
        """Write one message. Returns its bytes.

        Raises:
            BrokenPipeError: The parent is gone.
            PipeLost: The job has closed the pipe.
            OSError: The pipe is full.
        """
        line = _as_json(message).encode("utf-8", "backslashreplace") + b"\n"
        if len(line) <= MOST_BYTES:
            if self._identity is None or _identity(self._writer) != self._identity:
                raise PipeLost(errno.EBADF, "the job has closed the pipe to its worker")
            _write(self._writer, line)
        return len(line)

    def receive(self) -> dict[str, Any]:
        """Everything the horse said, later messages over earlier ones (attributes are added up), and close."""
        said: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        self.in_parent()  # where RQ's own way was not taken
        for line in self._read().splitlines():
            with suppress(ValueError):  # cut off by the horse's death
                message = _of_json(line.decode())
                attributes.update(message.pop("attributes", {}))
                said.update(message)
        said["attributes"] = attributes
        self.close()
        return said

    def close(self) -> None:
        """Close what is open."""
        self._reader, self._writer = self._close(self._reader), self._close(self._writer)

    def _read(self) -> bytes:
        chunks = []
        if self._identity is not None and _identity(self._reader) != self._identity:
            return b""
        try:
            while chunk := os.read(self._reader, MOST_BYTES):
                chunks.append(chunk)
        except BlockingIOError:
            self.held = True
        return b"".join(chunks)

    def _close(self, descriptor: int) -> int:
        try:
            if descriptor >= 0 and _identity(descriptor) == self._identity:
                os.close(descriptor)
        except OSError:  # contextlib's way of passing over it costs every horse some pages more
            pass
        return -1


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Which file it is; ``None`` where there is none."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write(descriptor: int, line: bytes) -> None:
    """Write, and never die of it: a job may have asked for death where nobody reads any more (SIGPIPE)."""
    before = pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        os.write(descriptor, line)
    except BrokenPipeError:
        if signal.SIGPIPE not in before and hasattr(signal, "sigtimedwait"):  # not on macOS
            signal.sigtimedwait({signal.SIGPIPE}, 0)
        raise
    finally:
        pthread_sigmask(signal.SIG_SETMASK, before)
