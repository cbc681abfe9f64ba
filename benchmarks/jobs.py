"""Job functions of the benchmarks. Jobs name them by path, so a work-horse imports this module as it would an app's."""

import time

from benchmarks import marks


def no_op() -> None:
    """The cheapest job there is, so that all the time is RQ's and ours."""


def sleep_50_ms() -> None:
    """What people really run: a job that takes a while."""
    time.sleep(0.05)


def allocating() -> None:
    """What makes Python look for garbage, several times among all objects."""
    _ = [[number] for number in range(200_000)]


def marked() -> None:
    """A no-op that notes when it ran."""
    marks.mark(marks.FUNCTION)
    marks.mark(marks.RETURNED)
