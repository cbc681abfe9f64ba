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
from benchmarks.observing import Observed, observed, settle
from benchmarks.pairing import ROOT
from jobtelemetry.demo.server import EmbeddedServer

DOCS = ROOT / "docs" / "scaling.md"
_BEGIN = "<!-- figures: python -m benchmarks scale --peers --write-docs -->"
_END = "<!-- /figures -->"
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
    Row(10, 10_000, 10),
    Row(10_000, 10, 10),
    Row(10, 10, 100),
    Row(10, 10, 500),
    Row(10, 10, 1000),
    Row(10, 10, 1000, changed=50),
    Row(10, 10, 1000, changed=1000),
)
_FEW, _JOBS, _QUEUES, _RQ_WORKERS = ROWS[:4]
_SOME, _EVERY = ROWS[-2:]
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
            settle(connection)
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
        "scrapes": len(found),
        "seconds": statistics.median(one.seconds for one in found),
        "slowest": max(one.seconds for one in found),
        "commands": statistics.median(one.commands for one in found),
        "round_trips": statistics.median(one.round_trips for one in found),
        "longest_block": statistics.median(one.longest_block for one in found),
        "longest_block_of_all": max(one.longest_block for one in found),
        "bytes": statistics.median(one.bytes for one in found),
        "series": max(one.series for one in found),
        "down": sum(not one.up for one in found),
    }


def markdown(figures: dict[str, Any]) -> str:
    """The table of scrapes, that of memory, CPU and the server's time for one more execution, and the targets."""
    return f"## Scrapes\n\n{_NOTE}\n{_scrapes(figures)}\n{_costs(figures)}\n## Targets\n\n{_targets(figures)}"


def write_docs(figures: dict[str, Any], about: str) -> None:
    """Put the tables between the marks of the page about scaling."""
    page = DOCS.read_text("utf-8")
    begin, end = page.index(_BEGIN) + len(_BEGIN), page.index(_END)
    DOCS.write_text(f"{page[:begin]}\n{about}\n\n{markdown(figures)}{page[end:]}", "utf-8")


def _scrapes(figures: dict[str, Any]) -> str:
    peer = any("rq_exporter" in of for of in figures["rows"])
    heads = ["RQ workers, queues, label sets", "changed", "series", "ms", "slowest", "commands", "round trips"]
    heads += ["Redis held, ms", "most", "cold, ms", "3 at once: slowest, ms", "cold", "`up 0`"]
    heads += ["prometheus_client writes as many, ms"]
    heads += ["rq-exporter: series", "ms", "commands"] if peer else []
    rows = []
    for of in figures["rows"]:
        row, warm, cold, once = Row(**of["row"]), of["warm"], of["cold"], of["at_once"]
        line = [_name(row), f"{row.changed:,}", f"{warm['series']:,}", _ms(warm["seconds"]), _ms(warm["slowest"])]
        line += [f"{warm['commands']:,.0f}", f"{warm['round_trips']:,.0f}"]
        line += [_ms(warm["longest_block"], 2), _ms(warm["longest_block_of_all"], 2)]
        line += [_ms(cold["seconds"]), _ms(once["slowest"]), _ms(of["cold_at_once"]["slowest"]), f"{_down(of)}"]
        line.append(_ms(of["prometheus_client"]["seconds"]))
        if theirs := of.get("rq_exporter"):
            line += [f"{theirs['series']:,}", _ms(theirs["seconds"]), f"{theirs['commands']:,.0f}"]
        elif peer:
            line += ["", "", ""]
        rows.append(line)
    return report.table(heads, rows)


def _costs(figures: dict[str, Any]) -> str:
    heads = ["RQ workers, queues, label sets", "changed", "series", "exporter, MB", "Redis per label set, kB"]
    heads += ["server us an execution", "CPU ms a scrape", "CPU at one every 15 s"]
    rows = []
    for of in figures["rows"]:
        row = Row(**of["row"])
        rows.append([_name(row), f"{row.changed:,}", f"{of['warm']['series']:,}", f"{of['megabytes']:.0f}"])
        rows[-1] += [f"{of['redis_kilobytes_per_label_set']:.1f}", f"{of['server_microseconds']:.0f}"]
        rows[-1] += [_ms(of["cpu_per_scrape"]), f"{of['cpu_per_scrape'] / 15:.2%}"]
    return report.table(heads, rows)


def _targets(figures: dict[str, Any]) -> str:
    """What a scrape shall cost at most, and what it cost in this run."""
    of = {Row(**one["row"]): one for one in figures["rows"]}
    lines: list[tuple[str, str, str]] = []

    def add(what: str, target: str, said: Callable[[], str]) -> None:
        with contextlib.suppress(KeyError):  # a small run, or one without rq-exporter
            lines.append((what, target, said()))

    some, every = of.get(_SOME, {}), of.get(_EVERY, {})
    add("1,000 label sets, 50 changed", "100 ms, a tenth of prometheus_client", lambda: _against_client(some))
    add("1,000 label sets, all changed", "not slower than prometheus_client", lambda: _against_client(every))
    down, asked = sum(map(_down, of.values())), sum(_asked(one) for one in of.values())
    add("one or three at once, warm and cold, of all rows", "never `up 0`", lambda: f"{down} of {asked}")
    held = max((one["warm"]["longest_block"] for one in of.values()), default=0.0)
    most = max((one["warm"]["longest_block_of_all"] for one in of.values()), default=0.0)
    add("Redis held by one read", "2 ms", lambda: f"{_ms(held, 2)} ms in the worst row, at most {_ms(most, 2)} ms once")
    for name, row in (("1,000 queues", _QUEUES), ("1,000 RQ workers", _RQ_WORKERS)):
        add(f"{name}: against rq-exporter", "0.1", lambda row=row: _against_peer(of[row]))  # type: ignore[misc]
        add(
            f"{name}: round trips, against few",
            "no more",
            lambda row=row: f"{of[row]['warm']['round_trips']:.0f} : {of[_FEW]['warm']['round_trips']:.0f}",  # type: ignore[misc]
        )
    add("1,000,000 jobs in a registry, against none", "1", lambda: f"{_ratio(of[_JOBS], of[_FEW]):.2f}")
    add("exporter's memory at 100,000 series", "300 MB", lambda: f"{every['megabytes']:.0f} MB")
    add("CPU at 1,000 series, a scrape every 15 s", "1 %", lambda: f"{of[_FEW]['cpu_per_scrape'] / 15:.2%}")
    return report.table(["", "at most", "measured"], lines)


def _against_client(of: dict[str, Any]) -> str:
    ours, theirs = of["warm"]["seconds"], of["prometheus_client"]["seconds"]
    return f"{_ms(ours)} ms, {ours / theirs:.2f} of prometheus_client"


def _against_peer(of: dict[str, Any]) -> str:
    ours, theirs = of["warm"], of["rq_exporter"]
    per_series = (ours["seconds"] / ours["series"]) / (theirs["seconds"] / theirs["series"])
    return f"{ours['seconds'] / theirs['seconds']:.2f}; {per_series:.2f} for each series"


def _ratio(one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(one["warm"]["seconds"] / other["warm"]["seconds"])


def _down(of: dict[str, Any]) -> int:
    return int(of["warm"]["down"] + (not of["cold"]["up"]) + of["at_once"]["down"] + of["cold_at_once"]["down"])


def _asked(of: dict[str, Any]) -> int:
    return int(of["warm"]["scrapes"] + 1 + of["at_once"]["scrapes"] + of["cold_at_once"]["scrapes"])


def _name(row: Row) -> str:
    name = f"{row.rq_workers:,}, {row.queues:,}, {row.label_sets:,}"
    return name + (f"; {row.jobs:,} jobs" if row.jobs else "")


_NOTE = """Over HTTP, from a process of its own; medians. *Changed* label sets did so between two scrapes. *Redis held*
is the longest that it did nothing else, as it says itself (the longest command, script or transaction of a scrape, and
the most that it ever was: on a busy machine that is mostly time that somebody else had). *Round trips* are the times it
read from a socket. *Cold* is the first scrape of a new exporter.
"""


def _ms(seconds: float, digits: int = 1) -> str:
    return f"{seconds * 1e3:,.{digits}f}"
