"""The dashboards, one file per dashboard."""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.dashboards import executions, health, overview, pipeline, queues, worker
from jobtelemetry.mixin.dashboards.frame import numbered
from jobtelemetry.mixin.names import Board

_MAKERS = {
    Board.OVERVIEW: overview.make,
    Board.WORKER: worker.make,
    Board.PIPELINE: pipeline.make,
    Board.QUEUES: queues.make,
    Board.HEALTH: health.make,
    Board.EXECUTIONS: executions.make,
}


def documents(config: MixinConfig) -> dict[str, str]:
    """Every dashboard as Grafana's JSON, by its uid; that of the log only where it is said where the log is."""
    return {
        board.uid: json.dumps(numbered(make(config).build()), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for board, make in _MAKERS.items()
        if board is not Board.EXECUTIONS or config.loki_selector
    }
