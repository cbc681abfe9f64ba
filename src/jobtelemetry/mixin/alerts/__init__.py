"""The alerts, one file per group."""

from __future__ import annotations

from jobtelemetry.mixin.alerts import jobs, past, queues, slo, telemetry
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.promql import PromQL
from jobtelemetry.mixin.rules import Alert, Group


def groups(config: MixinConfig) -> tuple[Group, ...]:
    """All alerts."""
    q = PromQL(config)
    return (
        Group("jobtelemetry.slo.alerts", config.interval, slo.alerts(q)),
        Group("jobtelemetry.job.alerts", config.interval, jobs.alerts(q)),
        Group("jobtelemetry.past.alerts", config.interval, past.alerts(q)),
        Group("jobtelemetry.queue.alerts", config.interval, queues.alerts(q)),
        Group("jobtelemetry.telemetry.alerts", config.interval, telemetry.alerts(q)),
    )


def every(config: MixinConfig) -> tuple[Alert, ...]:
    """All alerts in one row; a name can come several times."""
    return tuple(rule for group in groups(config) for rule in group.rules if isinstance(rule, Alert))
