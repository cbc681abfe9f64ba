"""A module of jobs that instruments whoever imports it: under plain ``rq worker``, that is the work-horse."""

from __future__ import annotations

import jobtelemetry
from support import jobs

jobtelemetry.instrument()


def meet(name: str, then: str = "return") -> str:
    """Do as :func:`support.jobs.meet` does."""
    return jobs.meet(name, then)
