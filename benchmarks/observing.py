"""One scrape, and what the server itself says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.exporters import Exporter, samples

#: Microseconds from which on the server notes a command; those of this module are passed over.
_NOTED_FROM = 100
_OURS = (b"SLOWLOG", b"INFO", b"CONFIG", b"EVAL", b"ECHO")


@dataclass(frozen=True)
class Observed:
    """One scrape.

    Args:
        seconds: Until its answer was complete.
        series: Lines that are series.
        bytes: Of the answer.
        up: Whether it could read Redis; also of an exporter that does not say so, if it answered with more than that.
        commands: That the server executed meanwhile, a reconciler's included.
        round_trips: Times that the server read from a socket; a large pipeline needs several of one round trip.
        longest_block: Seconds that the server was held by one command or one transaction, on average of its kind.
    """

    seconds: float
    series: int
    bytes: int
    up: bool
    commands: int
    round_trips: int
    longest_block: float


def observed(connection: Any, exporter: Exporter) -> Observed:
    """Scrape once. The server is asked before and after."""
    connection.config_set("slowlog-log-slower-than", _NOTED_FROM)
    connection.slowlog_reset()
    before = connection.info("commandstats")
    reads = connection.info("stats")["total_reads_processed"]
    seconds, text = exporter.scrape()
    reads = connection.info("stats")["total_reads_processed"] - reads - 1  # that of this question
    after = connection.info("commandstats")
    slow = [entry["duration"] for entry in connection.slowlog_get(128) if not entry["command"].startswith(_OURS)]
    connection.config_set("slowlog-log-slower-than", -1)
    ran = {name: _difference(of, before.get(name, {})) for name, of in after.items()}
    commands = {name: calls for name, (calls, _) in ran.items() if name.removeprefix("cmdstat_") != "info"}
    transactions, held = ran.get("cmdstat_exec", (0, 0.0))
    longest = max([*slow, held / transactions if transactions else 0.0], default=0.0)
    return Observed(
        seconds=seconds,
        series=len(samples(text)),
        bytes=len(text),
        up="jobtelemetry_up 0" not in text,
        commands=sum(commands.values()),
        round_trips=reads,
        longest_block=longest / 1e6,
    )


def _difference(after: Any, before: Any) -> tuple[int, float]:
    return after["calls"] - before.get("calls", 0), float(after["usec"]) - float(before.get("usec", 0))
