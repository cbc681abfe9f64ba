"""What a work-horse tells the parent that waits for it: lines of JSON through a pipe.

The parent reads when the horse is gone and never waits. A horse that dies, or a grandchild that keeps the pipe
open, costs nothing; a message that does not fit is dropped, and the parent asks Redis instead.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

#: A pipe holds 64 KiB on Linux; more than that would make the horse wait for a parent that is not reading yet.
MOST_BYTES = 60_000


class HorsePipe:
    """One pipe per forked execution."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
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
        pipe._reader, pipe._writer = -1, writer
        os.set_inheritable(writer, False)
        return pipe

    def in_horse(self) -> None:
        """Keep only the writing end."""
        self._reader = _close(self._reader)

    def in_parent(self) -> None:
        """Keep only the reading end."""
        self._writer = _close(self._writer)

    def tell_attribute(self, key: str, value: Any) -> int:
        """Tell an attribute at once, for the horse may be killed. Returns its bytes; the pipe is not endless."""
        with suppress(OSError):
            self.send(attributes={key: value})
        return len(key) + len(str(value)) + 24

    def send(self, **message: Any) -> None:
        """Write one message.

        Raises:
            OSError: The parent is gone, or the pipe is full.
        """
        line = json.dumps(message, ensure_ascii=False).encode() + b"\n"
        if len(line) <= MOST_BYTES:
            os.write(self._writer, line)

    def receive(self) -> dict[str, Any]:
        """Everything the horse said, later messages over earlier ones (attributes are added up), and close."""
        said: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for line in self._read().splitlines():
            with suppress(ValueError):  # cut off by the horse's death
                message = json.loads(line)
                attributes.update(message.pop("attributes", {}))
                said.update(message)
        said["attributes"] = attributes
        self.close()
        return said

    def close(self) -> None:
        """Close what is open."""
        self._reader, self._writer = _close(self._reader), _close(self._writer)

    def _read(self) -> bytes:
        chunks = []
        with suppress(BlockingIOError):
            while chunk := os.read(self._reader, MOST_BYTES):
                chunks.append(chunk)
        return b"".join(chunks)


def _close(descriptor: int) -> int:
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
    return -1
