"""What a scrape costs with more label sets, RQ workers, queues and jobs; warm and cold, alone and three at once."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import peers, reference, report, seeding
from benchmarks.exporters import Exporter, is_up, jobtelemetry_exporter, rq_exporter
from benchmarks.observing import Observed, observed
from jobtelemetry.demo.server import EmbeddedServer

_RQ_EXPORTER = ("rq-exporter",)


@dataclass(frozen=True)
class Row:
    """What there is to read.

    Args:
        rq_workers: Registered RQ workers.
        queues: Queues.
        label_sets: Workers (labels) that have run.
        changed: How many of them change between two scrapes.
        jobs: Finished jobs in a registry.
    """

    rq_workers: int
    queues: int
    label_sets: int
    changed: int = 0
    jobs: int = 0


ROWS = (
    Row(10, 1, 10),
    Row(10, 1, 10, jobs=1_000_000),
    Row(10, 1000, 10),
    Row(1000, 10, 10),
    Row(10, 10, 100),
    Row(10, 10, 500),
    Row(10, 10, 1000),
    Row(10, 10, 1000, changed=50),
    Row(10, 10, 1000, changed=1000),
)
SMALL = (Row(10, 1, 10), Row(10, 10, 100, changed=10))


def measure(
    *,
    small: bool,
    rounds: int,
    with_peers: bool,
    environments: Path | None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Every row: figures of ours, of prometheus_client writing as many series, of rq-exporter where it is asked for."""
    with contextlib.ExitStack() as stack:
        python = None
        if with_peers:
            home = environments or Path(stack.enter_context(TemporaryDirectory(prefix="benchmarks-")))
            python = peers.environment(home.absolute(), "rq-exporter", _RQ_EXPORTER)
        versions = peers.installed(python, (*_RQ_EXPORTER, "prometheus-client")) if python else {}
        found = []
        for row in SMALL if small else ROWS:
            found.append({"row": asdict(row), **_measure(row, rounds, python)})
            say(f"scale: {row}")
    return {"rows": found, "versions": {f"{name} (peer)": version for name, version in versions.items()}}


def _measure(row: Row, rounds: int, python: Path | None) -> dict[str, Any]:
    with EmbeddedServer() as server:
        connection = server.connection()
        seeding.rq_queues(connection, row.queues)
        seeding.rq_workers(connection, row.rq_workers, row.queues)
        seeding.finished_jobs(connection, row.jobs)
        seeding.label_sets(connection, range(1), row.queues)  # scripts and keys that are there once
        before = connection.info("memory")["used_memory"]
        seeding.label_sets(connection, range(1, row.label_sets), row.queues)
        kilobytes = (connection.info("memory")["used_memory"] - before) / (row.label_sets - 1) / 1e3
        figures: dict[str, Any] = {
            "redis_kilobytes_per_label_set": kilobytes,
            "server_microseconds": _of_one_execution(connection, row),
        }
        with jobtelemetry_exporter(server.url) as exporter:
            figures["cold_at_once"] = _at_once(connection, exporter, row, 1)
        with jobtelemetry_exporter(server.url) as exporter:
            cold = observed(connection, exporter)
            warm, cpu = _rounds(connection, exporter, row, rounds)
            figures |= {"cold": asdict(cold), "warm": _summary(warm), "cpu_per_scrape": cpu}
            figures["megabytes"] = exporter.megabytes
            figures["at_once"] = _at_once(connection, exporter, row, rounds)
            text = max((exporter.scrape()[1] for _ in range(3)), key=len)
        seconds, series = reference.generating(reference.registry_like(text), max(3, rounds // 2))
        figures["prometheus_client"] = {"seconds": statistics.median(seconds), "series": series}
        if python:
            with rq_exporter(server.url, python) as peer:
                figures["rq_exporter"] = _summary(_rounds(connection, peer, row, min(rounds, 5))[0])
    return figures


def _of_one_execution(connection: Any, row: Row, executions: int = 500) -> float:
    """The server's time for start and end of one more execution, with so much in the store already."""
    connection.config_resetstat()
    seeding.label_sets(
        connection, [number % row.label_sets for number in range(executions)], row.queues, all_states=False
    )
    ran = connection.info("commandstats")
    scripts = (ran[name] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in ran)
    return sum(float(of["usec"]) for of in scripts) / executions


def _rounds(connection: Any, exporter: Exporter, row: Row, rounds: int) -> tuple[list[Observed], float]:
    """Scrapes one after the other, and the CPU seconds of one."""
    before, found = exporter.cpu, []
    for number in range(rounds):
        _change(connection, row, number)
        found.append(observed(connection, exporter))
    return found, (exporter.cpu - before) / rounds


def _change(connection: Any, row: Row, number: int) -> None:
    first = number * row.changed % row.label_sets
    chosen = [(first + offset) % row.label_sets for offset in range(row.changed)]
    seeding.label_sets(connection, chosen, row.queues, all_states=False)


def _at_once(connection: Any, exporter: Exporter, row: Row, rounds: int, scrapers: int = 3) -> dict[str, Any]:
    """Several Prometheus servers that ask at the same moment."""
    answers: list[tuple[float, str]] = []
    with ThreadPoolExecutor(scrapers) as pool:
        for number in range(min(rounds, 5)):
            _change(connection, row, number)
            answers += pool.map(lambda _: exporter.scrape(), range(scrapers))
    return {
        "scrapers": scrapers,
        "scrapes": len(answers),
        "down": sum(not is_up(text) for _, text in answers),
        "slowest": max(seconds for seconds, _ in answers),
    }


def _summary(found: list[Observed]) -> dict[str, Any]:
    return {
        "seconds": statistics.median(one.seconds for one in found),
        "slowest": max(one.seconds for one in found),
        "commands": statistics.median(one.commands for one in found),
        "round_trips": statistics.median(one.round_trips for one in found),
        "longest_block": max(one.longest_block for one in found),
        "bytes": statistics.median(one.bytes for one in found),
        "series": max(one.series for one in found),
        "down": sum(not one.up for one in found),
    }


def markdown(figures: dict[str, Any]) -> str:
    """The table of scrapes, and that of memory, CPU, and the server's time to count one more execution."""
    peer = any("rq_exporter" in of for of in figures["rows"])
    heads = ["RQ workers, queues, label sets", "changed", "series", "ms", "slowest", "commands", "round trips"]
    heads += ["Redis held, ms", "cold, ms", "3 at once: slowest, ms", "cold", "`up 0`"]
    heads += ["prometheus_client writes as many, ms"]
    heads += ["rq-exporter: series", "ms", "commands"] if peer else []
    rows, memory = [], []
    for of in figures["rows"]:
        row, warm, cold, once = Row(**of["row"]), of["warm"], of["cold"], of["at_once"]
        cold_once = of["cold_at_once"]
        name = f"{row.rq_workers:,}, {row.queues:,}, {row.label_sets:,}" + (f"; {row.jobs:,} jobs" if row.jobs else "")
        down = warm["down"] + (not cold["up"]) + once["down"] + cold_once["down"]
        line = [name, f"{row.changed:,}", f"{warm['series']:,}", _ms(warm["seconds"]), _ms(warm["slowest"])]
        line += [f"{warm['commands']:,.0f}", f"{warm['round_trips']:,.0f}", _ms(warm["longest_block"], 2)]
        line += [_ms(cold["seconds"]), _ms(once["slowest"]), _ms(cold_once["slowest"]), f"{down}"]
        line.append(_ms(of["prometheus_client"]["seconds"]))
        if theirs := of.get("rq_exporter"):
            line += [f"{theirs['series']:,}", _ms(theirs["seconds"]), f"{theirs['commands']:,.0f}"]
        elif peer:
            line += ["", "", ""]
        rows.append(line)
        used = [f"{of['megabytes']:.0f}", f"{of['redis_kilobytes_per_label_set']:.1f}"]
        used.append(f"{of['server_microseconds']:.0f}")
        memory.append([name, f"{row.changed:,}", f"{warm['series']:,}", *used, _ms(of["cpu_per_scrape"])])
        memory[-1].append(f"{of['cpu_per_scrape'] / 15:.1%}")
    used_heads = [*heads[:3], "exporter, MB", "Redis per label set, kB", "server us an execution"]
    used_heads += ["CPU ms a scrape", "CPU at one every 15 s"]
    return f"## Scrapes\n\n{_NOTE}\n{report.table(heads, rows)}\n{report.table(used_heads, memory)}"


_NOTE = """Over HTTP, from a process of its own; medians. *Changed* label sets did so between two scrapes. *Redis held*
is the longest that it did nothing else, as it says itself (the longest command, or transaction). *Round trips* are the
times it read from a socket. *Cold* is the first scrape of a new exporter.
"""


def _ms(seconds: float, digits: int = 1) -> str:
    return f"{seconds * 1e3:,.{digits}f}"
