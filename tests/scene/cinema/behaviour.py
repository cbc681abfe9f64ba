"""Whether the jobs behave: a key in Redis says so, so that a deploy can spoil them."""

from __future__ import annotations

import random
import time

from rq import get_current_job

#: ``1`` from the bad deploy on.
SPOILT = "scene:spoilt"


def spoilt(part: float) -> bool:
    """Whether this execution, one of this part of them, is to go wrong."""
    job = get_current_job()
    return bool(job and job.connection.get(SPOILT)) and random.random() < part


def work(least: float, most: float) -> None:
    """Take so many seconds, as most things do: seldom the most."""
    time.sleep(least + (most - least) * random.betavariate(2, 5))
