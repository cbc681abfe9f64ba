"""What is said when a metric is defined in another way than it was before: once, by whoever brings the new one."""

from __future__ import annotations

import logging
from collections.abc import Mapping

log = logging.getLogger("jobtelemetry")


def say_redefined(found: Mapping[str, str]) -> None:
    """One warning for each; Redis tells it to one process alone, and once.

    Args:
        found: Names, and how they were defined before.
    """
    try:
        for name, before in found.items():
            log.warning(
                "a metric of your own is defined differently from before; the newest definition is shown",
                extra={"metric": name, "before": before},
            )
    except Exception:  # noqa: BLE001, S110 - a log handler of the user's that raises must not reach the job
        pass
