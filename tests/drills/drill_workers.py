"""RQ workers of the drills."""

from __future__ import annotations

from typing import Any

from rq import Worker


class ImpatientWorker(Worker):
    """Beats every second and is given up two seconds after its last heartbeat; RQ's own figures are 30 and 90."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.job_monitoring_interval = 1

    def get_heartbeat_ttl(self, *args: Any, **kwargs: Any) -> int:
        return 2
