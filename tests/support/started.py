"""What a test starts as a whole, and ends as a whole, also where its start fails half-way."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Started:
    """A context manager of several processes; subclasses have ``_start``, which enters what it starts in ``_stack``."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError
