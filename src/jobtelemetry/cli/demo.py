"""``jobtelemetry demo``: the Cinema City pipeline on a server of its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from jobtelemetry.config import parse_listen
from jobtelemetry.demo.titles import Titles


@click.command("demo")
@click.option(
    "--titles",
    type=click.Choice([str(titles) for titles in Titles]),
    default=str(Titles.POLISH),
    show_default=True,
    help="Which titles to look up: the Polish one alone, or the original one first.",
)
@click.option("--serve", is_flag=True, help="Keep the metrics page up after the pipeline has ended.")
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Where the metrics page is; 127.0.0.1:10427 with --serve, else a free port.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(8, max(2, os.cpu_count() or 2)),
    show_default="one per core, from 2 to 8",
    help="How many RQ workers to run.",
)
@click.option(
    "--traces",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the spans of the sync into a new file, one line of JSON each, and show its trace as a tree.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the workers' log into a new file, a line per ending.",
)
def demo(titles: str, serve: bool, listen: str | None, workers: int, traces: Path | None, log: Path | None) -> None:
    """Run a cinema listing of 1,274 showtimes through a real RQ worker pool, and show what /metrics says of it.

    Everything runs on a private Valkey and is gone afterwards: no Redis, no Prometheus and no settings are needed.
    """
    from jobtelemetry.demo import display, run

    for option, file in (("--traces", traces), ("--log", log)):
        if file is not None and file.exists():
            raise click.UsageError(f"{option}: {file} is there already; name a new file")
    options = run.Options(Titles(titles), workers, serve, _address(listen), traces, log)
    raise SystemExit(run.run(options, display.console()))


def _address(listen: str | None) -> str:
    """``HOST:PORT``, on this machine alone unless a host is given; empty if nothing was."""
    if listen is None:
        return ""
    address = listen if ":" in listen else f"127.0.0.1:{listen}"
    parse_listen(address, option="--listen")
    return address
