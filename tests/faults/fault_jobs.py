"""Jobs that end in ways of their own when a test tells them to go on."""

from __future__ import annotations

from typing import Any

from rq import Retry

from support import jobs


def meet_and_come_again() -> Any:
    """Return ``Retry``."""
    jobs.meet()
    return Retry(max=2, interval=3600)


def meet_and_discard() -> Any:
    """Discard itself."""
    jobs.meet()
    return jobs.discard()
