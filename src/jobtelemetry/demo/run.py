"""The demo from curtain to curtain: set the stage, run the pipeline, show what the metrics page says, serve."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry import trace
from rich.console import Console

from jobtelemetry.config import DEFAULT_PORT, Config
from jobtelemetry.demo import display, logfile, summary, traces
from jobtelemetry.demo.errors import DemoError
from jobtelemetry.demo.server import find_binary, missing_extra
from jobtelemetry.demo.stage import Stage
from jobtelemetry.demo.titles import Titles
from jobtelemetry.errors import MissingExtraError

_TICK = 0.3
_STALLED = 60.0


@dataclass(frozen=True)
class Options:
    """What can be chosen.

    Args:
        titles: Which titles of the listing are looked up.
        workers: How many RQ workers run.
        serve: Whether to keep everything up after the pipeline has ended.
        listen: ``HOST:PORT`` for the exporter; empty for a free port, or the exporter's own where it keeps serving.
        traces: The file for the spans; ``None`` for none. It must not exist.
        log: The file for the workers' log; ``None`` for none. It must not exist.
    """

    titles: Titles = Titles.POLISH
    workers: int = 2
    serve: bool = False
    listen: str = ""
    traces: Path | None = None
    log: Path | None = None

    @property
    def address(self) -> str:
        """Where the exporter listens."""
        return self.listen or f"127.0.0.1:{DEFAULT_PORT if self.serve else 0}"


def run(options: Options, console: Console) -> int:
    """Run the demo.

    Returns:
        The exit status: 0, or 1 if executions went unrecorded, or 130 after a Ctrl-C in the middle.

    Raises:
        MissingExtraError: A package that only the demo needs is not installed.
        ConfigError: An environment variable, which the workers read too, has no usable value.
        DemoError: Something did not start, ended, or got stuck.
    """
    check_extras()
    Config.from_env()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell script's background jobs have it ignored
    signal.signal(signal.SIGTERM, _leave)
    done = False
    try:
        environment = traces.environment(options.traces) | logfile.environment(options.log)
        with Stage(options.address, options.workers, environment) as stage:
            began = time.monotonic()
            enqueue_sync(stage.redis_url, options.titles, environment)
            figures = follow(stage, console)
            report(figures, time.monotonic() - began, console)
            if options.traces is not None:
                console.print(f"\nThe trace of it, from {options.traces}:\n")
                console.print(traces.tree(traces.read(options.traces, figures.executions)))
            done = True
            if options.serve:
                serve(stage, console)
    except KeyboardInterrupt:
        console.print("Stopped; no process and no file is left behind.")
        return 0 if done else 130
    return 1 if figures.unrecorded else 0


def check_extras() -> None:
    """Nothing, if the packages that only the demo needs are there.

    Raises:
        MissingExtraError: One is not; the message says what to install.
    """
    find_binary()
    if find_spec("rapidfuzz") is None:
        raise MissingExtraError(missing_extra("rapidfuzz"))


def enqueue_sync(redis_url: str, titles: Titles, environment: Mapping[str, str] | None = None) -> None:
    """Start the pipeline: put the one :class:`~jobtelemetry.demo.jobs.SyncJob` on its queue, in a trace."""
    from redis import Redis

    import jobtelemetry
    from jobtelemetry.demo import jobs

    traces.set_up({**os.environ, **(environment or {})})
    jobtelemetry.instrument(Config.from_env().with_overrides(extra_labels=("source",)))
    with Redis.from_url(redis_url) as connection, trace.get_tracer(__name__).start_as_current_span(traces.ROOT):
        jobs.enqueue(connection, jobs.SCRAPING, [jobs.SyncJob(titles)])


def follow(stage: Stage, console: Console) -> summary.Summary:
    """Show the progress until nothing is left to run.

    Returns:
        The last look at the metrics page. Two looks in a row must have found nothing to do, since RQ may move a job
        from one place to another while the exporter counts.

    Raises:
        DemoError: Something has ended, or nothing has moved for a minute.
    """
    previous, changed = summary.Summary(), time.monotonic()
    with display.Progress(console, stage.exporter_url) as progress:
        while True:
            stage.check()
            figures = summary.read(scrape(stage.exporter_url))
            progress.show(figures)
            if figures.executions != previous.executions:
                changed = time.monotonic()
            elif figures.idle and previous.idle:
                return figures
            elif time.monotonic() - changed > _STALLED:
                raise DemoError(f"nothing has moved for {_STALLED:.0f} s with {figures.pending} jobs left; try again")
            previous = figures
            time.sleep(_TICK)


def scrape(exporter_url: str) -> str:
    """The metrics page, over HTTP as Prometheus would get it.

    Raises:
        DemoError: The exporter does not answer.
    """
    url = urlsplit(exporter_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"the exporter at {exporter_url} does not answer: {error}") from error
    finally:
        connection.close()


def report(figures: summary.Summary, seconds: float, console: Console) -> None:
    """Print the table and what it means."""
    console.print(f"\nCinema City, as /metrics shows it: {figures.executions} executions in {seconds:.1f} s\n")
    console.print(display.table(figures, console.width))
    console.print()
    for line in display.verdict(figures):
        console.print(line, soft_wrap=True)


def serve(stage: Stage, console: Console) -> None:
    """Keep everything up until Ctrl-C.

    Raises:
        DemoError: Something has ended.
    """
    url = stage.exporter_url
    console.print(f"\nOpen {url}/ in a browser; Prometheus reads {url}/metrics", soft_wrap=True)
    console.print("In another terminal, ask what no metric can answer:")
    console.print(f"  export JOBTELEMETRY_REDIS_URL={stage.redis_url}", soft_wrap=True)
    console.print("  jobtelemetry top --by title --worker ShowtimeProcessJob --state cancelled")
    console.print("Ctrl-C ends it all.")
    while True:
        stage.check()
        time.sleep(_TICK)


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)
