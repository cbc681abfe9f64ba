"""Exporters as processes of their own, scraped over HTTP as Prometheus does it."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.pairing import ROOT


@dataclass
class Exporter:
    """A running exporter.

    Args:
        url: Its metrics.
        process: For its memory and its CPU.
    """

    url: str
    process: psutil.Process

    def scrape(self) -> tuple[float, str]:
        """Seconds, and what it answered."""
        request = urllib.request.Request(self.url, headers={"Accept": "text/plain"})  # noqa: S310 - ours
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - the same
            body = response.read()
        return time.perf_counter() - began, body.decode()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 1e6

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def jobtelemetry_exporter(redis_url: str) -> Iterator[Exporter]:
    """Ours, with its defaults, reconciler included."""
    command = [sys.executable, "-m", "jobtelemetry", "exporter", "-u", redis_url, "--listen", "127.0.0.1:0"]
    with _running(command, subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://\S+/metrics", line):
                break
        else:
            raise RuntimeError("the exporter ended before it served")
        yield Exporter(found[0], psutil.Process(process.pid))


@contextlib.contextmanager
def rq_exporter(redis_url: str, python: Path) -> Iterator[Exporter]:
    """The peer, on a port that is free now, since it cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--redis-url", redis_url]
    with _running([str(python), "-m", "rq_exporter", *arguments], subprocess.DEVNULL) as process:
        exporter = Exporter(f"http://127.0.0.1:{port}/metrics", psutil.Process(process.pid))
        deadline = time.monotonic() + 60
        while True:
            try:
                exporter.scrape()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield exporter


@contextlib.contextmanager
def _running(command: Sequence[str], stderr: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own arguments
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def samples(text: str) -> list[str]:
    """The lines that are series."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def is_up(text: str) -> bool:
    """Whether it says that it could read Redis."""
    return "jobtelemetry_up 1.0" in text
