"""One scrape, and what the server itself says about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.exporters import Exporter, samples

#: Commands of this module, which are not the exporter's.
_OURS = ("info", "config")


@dataclass(frozen=True)
class Observed:
    """One scrape.

    Args:
        seconds: Until its answer was complete.
        series: Lines that are series.
        bytes: Of the answer.
        up: Whether it could read Redis; an exporter that does not say so counts as up.
        commands: That the server executed meanwhile, those within scripts and a reconciler's included.
        round_trips: Times that the server read from a socket; a large pipeline needs several of one round trip.
        longest_block: Seconds that one command, script or transaction held the server at most.
    """

    seconds: float
    series: int
    bytes: int
    up: bool
    commands: int
    round_trips: int
    longest_block: float


def observed(connection: Any, exporter: Exporter) -> Observed:
    """Scrape once. The server's statistics are reset before and read after."""
    connection.config_set("latency-tracking-info-percentiles", "100")  # the slowest of each command
    connection.config_resetstat()
    seconds, text = exporter.scrape()
    reads = connection.info("stats")["total_reads_processed"] - 1  # that of this question
    calls = _by_command(connection, "commandstats", "cmdstat_")
    slowest = _by_command(connection, "latencystats", "latency_percentiles_usec_")
    return Observed(
        seconds=seconds,
        series=len(samples(text)),
        bytes=len(text),
        up="jobtelemetry_up 0" not in text,
        commands=sum(of["calls"] for of in calls.values()),
        round_trips=reads,
        longest_block=max((float(of["p100"]) for of in slowest.values()), default=0.0) / 1e6,
    )


def settle(connection: Any, seconds: float = 0.3) -> None:
    """Wait until a new exporter has done what it does once, as it starts, beside its first answers."""
    for _ in range(100):
        before = connection.info("stats")["total_commands_processed"]
        time.sleep(seconds)
        if connection.info("stats")["total_commands_processed"] - before <= 1:  # that of this question
            return


def _by_command(connection: Any, section: str, prefix: str) -> dict[str, Any]:
    found = {name.removeprefix(prefix): of for name, of in connection.info(section).items()}
    return {name: of for name, of in found.items() if name.partition("|")[0] not in _OURS}
