"""A progress bar on stderr for what takes more than a second, and nothing for what does not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from jobtelemetry.cli.terminal import console

T = TypeVar("T")
_PATIENCE = 1.0


def with_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The items as they come; on a terminal the user sees how far it is.

    Args:
        items: What takes its time.
        total: How many there will be, about.
        what: What is being done: ``Reading the log``.
    """
    from rich.progress import Progress

    out, began, bar = console(stderr=True), time.monotonic(), None
    with ExitStack() as stack:
        for done, item in enumerate(items):
            if done % 100 == 0 and out.is_terminal and time.monotonic() - began > _PATIENCE:
                if bar is None:
                    bar = stack.enter_context(Progress(console=out, transient=True))
                    task = bar.add_task(what, total=total)
                bar.update(task, completed=done)
            yield item
