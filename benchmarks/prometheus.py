"""What a real Prometheus takes of memory for our series: two sizes, and the difference for each series."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import report, seeding
from benchmarks.exporters import jobtelemetry_exporter
from benchmarks.pairing import ROOT
from jobtelemetry.demo.server import EmbeddedServer

DOCS = ROOT / "docs" / "scaling.md"
_BEGIN = "<!-- prometheus: python -m benchmarks prometheus --write-docs -->"
_END = "<!-- /prometheus -->"
#: Label sets of the two sizes.
SIZES = (100, 500)
#: Samples of each series: more than the 120 of one chunk, the last of which Prometheus keeps in memory.
SCRAPES = 130
_QUEUES = 10
_CONFIG = """
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
  - job_name: jobtelemetry
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True)
class Taken:
    """What Prometheus says of itself after so many scrapes.

    Args:
        label_sets: That there were.
        series: In its head.
        samples: That it took.
        resident: Bytes of the process (``process_resident_memory_bytes``).
        heap: Bytes that are in use right after a garbage collection (``go_memstats_heap_alloc_bytes``).
    """

    label_sets: int
    series: float
    samples: float
    resident: float
    heap: float


def measure(
    sizes: Sequence[int] = SIZES, scrapes: int = SCRAPES, *, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Each size in a Prometheus of its own, at the same time.

    Raises:
        RuntimeError: There is no ``prometheus``, or it does not get on.
    """
    say(f"prometheus: {scrapes} scrapes of {', '.join(map(str, sizes))} label sets, one every 2 s")
    with ThreadPoolExecutor(len(sizes)) as pool:
        found = [asdict(taken) for taken in pool.map(lambda size: _measure(size, scrapes), sizes)]
    return {"scrapes": scrapes, "version": _version(), "sizes": found}


def _measure(label_sets: int, scrapes: int) -> Taken:
    with EmbeddedServer() as server, contextlib.ExitStack() as stack:
        connection = server.connection()
        seeding.rq_queues(connection, _QUEUES)
        seeding.rq_workers(connection, 10, _QUEUES)
        seeding.label_sets(connection, range(label_sets), _QUEUES)
        exporter = stack.enter_context(jobtelemetry_exporter(server.url))
        url = stack.enter_context(_prometheus(exporter.url.split("/")[2]))
        began, turn = time.monotonic(), 0
        while (taken := _said(url))["prometheus_tsdb_head_samples_appended_total"] < scrapes * max(
            1.0, taken["prometheus_tsdb_head_series"]
        ):
            if time.monotonic() - began > 60 + 10 * scrapes:
                raise RuntimeError(
                    f"Prometheus has not taken {scrapes} samples of each series: is the machine too busy?"
                )
            # A tenth of the label sets changes between two scrapes.
            seeding.label_sets(connection, range(turn % 10, label_sets, 10), _QUEUES, all_states=False)
            turn += 1
            time.sleep(1)
        resident = _said(url)["process_resident_memory_bytes"]
        _get(f"{url}/debug/pprof/heap?gc=1")
        said = _said(url)
        return Taken(
            label_sets,
            said["prometheus_tsdb_head_series"],
            said["prometheus_tsdb_head_samples_appended_total"],
            resident,
            said["go_memstats_heap_alloc_bytes"],
        )


@contextlib.contextmanager
def _prometheus(target: str) -> Iterator[str]:
    """The URL of a Prometheus that scrapes this address every other second."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise RuntimeError("there is no prometheus on the PATH: install it to measure it")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        home = Path(folder)
        (home / "prometheus.yml").write_text(_CONFIG.format(target=target), "utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [binary, f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'tsdb'}"]
        command.append(f"--web.listen-address=127.0.0.1:{port}")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while True:
                try:
                    _get(f"{url}/-/ready")
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


def _said(url: str) -> dict[str, float]:
    """Prometheus' metrics of itself, each with the sum of its series."""
    found: dict[str, float] = defaultdict(float)
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", _get(f"{url}/metrics"), re.MULTILINE):
        found[name] += float(value)
    return found


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - ours
        return str(response.read().decode("utf-8", "replace"))


def _version() -> str:
    done = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    return (done.stdout or done.stderr).split()[2]


def markdown(figures: dict[str, Any]) -> str:
    """What was measured, and what one more series takes."""
    sizes = [Taken(**size) for size in figures["sizes"]]
    rows = [
        [f"{one.label_sets:,}", f"{one.series:,.0f}", f"{one.resident / 1e6:,.0f}", f"{one.heap / 1e6:,.0f}"]
        for one in sizes
    ]
    table = report.table(["label sets", "series in the head", "resident, MB", "heap in use, MB"], rows)
    first, last = sizes[0], sizes[-1]
    more = last.series - first.series
    resident, heap = (last.resident - first.resident) / more / 1e3, (last.heap - first.heap) / more / 1e3
    return (
        f"Prometheus {figures['version']}, a process of its own for each size, scraped our exporter every 2 s until "
        f"it had {figures['scrapes']} samples of each series, so that a full chunk is among them; a tenth of the label "
        "sets changed in between. *Resident* is `process_resident_memory_bytes`, *heap in use* is "
        "`go_memstats_heap_alloc_bytes` right after a garbage collection; Go lets the heap grow to twice that.\n\n"
        f"{table}\n**One more series takes {resident:.1f} kB of resident memory**, of which {heap:.1f} kB are in use: "
        "the difference of the two sizes. Rules, queries and series that ended within the last hours come on top."
    )


def write_docs(figures: dict[str, Any], about: str) -> None:
    """Put it between the marks of the page about scaling."""
    page = DOCS.read_text("utf-8")
    begin, end = page.index(_BEGIN) + len(_BEGIN), page.index(_END)
    DOCS.write_text(f"{page[:begin]}\n{about}\n\n{markdown(figures)}\n{page[end:]}", "utf-8")
