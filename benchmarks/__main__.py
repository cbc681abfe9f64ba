"""``python -m benchmarks``: what jobtelemetry costs. Everything runs on this machine, on a server of its own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks import peers, profile, report, startup
from benchmarks.pairing import GROWTH, WORKLOADS, bench
from benchmarks.variants import BARE, BY_NAME, PEERS, VARIANTS, Variant


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Costs of jobtelemetry as ratios against bare RQ in the same run."""


_rounds = click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
_jobs = click.option("--jobs", type=click.IntRange(min=10), default=200, show_default=True, help="Jobs per trial.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
_peers = click.option("--peers", "with_peers", is_flag=True, help="Other tools too, in environments made for them.")
_home = click.option(
    "--environments",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the environments of --peers in this folder, to use them again; else they are made anew.",
)


@main.command("overhead")
@click.option("--workload", "workloads", multiple=True, type=click.Choice(list(WORKLOADS)), help="Else all of them.")
@click.option(
    "--variant", "names", multiple=True, type=click.Choice(list(BY_NAME)), help="Else all but the failing ones."
)
@_jobs
@_rounds
@_peers
@_home
@_json
def overhead_command(
    workloads: Sequence[str],
    names: Sequence[str],
    jobs: int,
    rounds: int,
    with_peers: bool,
    environments: Path | None,
    as_json: bool,
) -> None:
    """Running and enqueuing, bare RQ and each variant in turn."""
    sections, figures, versions = _overhead(workloads, names, jobs, rounds, with_peers, environments)
    _print(sections, {"overhead": figures}, versions, as_json)


@main.command("profile")
@click.option("--variant", "names", multiple=True, type=click.Choice([v.name for v in VARIANTS]), help="Else four.")
@_jobs
@_rounds
@_json
def profile_command(names: Sequence[str], jobs: int, rounds: int, as_json: bool) -> None:
    """Where a forked job's added time goes, phase by phase."""
    sections, figures = _profile(names, jobs, rounds)
    _print(sections, {"profile": figures}, {}, as_json)


@main.command("growth")
@click.option("--workload", "workloads", multiple=True, type=click.Choice(list(GROWTH)), help="Else all of them.")
@_jobs
@_rounds
@_json
def growth_command(workloads: Sequence[str], jobs: int, rounds: int, as_json: bool) -> None:
    """What one execution adds with 1, 8 and 64 RQ workers on one server, and with 10 to 5,000 label sets in it."""
    sections, figures = _growth(workloads, jobs, rounds)
    _print(sections, {"growth": figures}, {}, as_json)


@main.command("startup")
@_rounds
@_json
def startup_command(rounds: int, as_json: bool) -> None:
    """What importing and instrumenting add to a process that has imported RQ."""
    figures = startup.measure(rounds)
    _print([report.startup(figures)], {"startup": figures}, {}, as_json)


@main.command("all")
@_jobs
@_rounds
@_peers
@_home
@click.option("--small", is_flag=True, help="Fewer rows of the scale tables, to try it out.")
@click.option(
    "--write-docs", is_flag=True, help=f"Write {report.DOCS.name} in the documentation, and the JSON beside it."
)
@_json
def all_command(
    jobs: int, rounds: int, with_peers: bool, environments: Path | None, small: bool, write_docs: bool, as_json: bool
) -> None:
    """Everything, and with --write-docs the page that shows it."""
    from benchmarks import scale

    about = report.machine()  # before all this makes the load
    sections, figures, versions = _overhead((), (), jobs, rounds, with_peers, environments)
    profile_sections, profiles = _profile((), jobs, max(1, rounds // 3))
    growth_sections, growths = _growth((), jobs, rounds)
    starts = startup.measure(rounds)
    scales = scale.measure(small=small, rounds=rounds, with_peers=with_peers, environments=environments, say=_say)
    sections += [*growth_sections, *profile_sections, report.startup(starts), scale.markdown(scales)]
    versions |= scales["versions"]
    everything = {"overhead": figures, "growth": growths, "profile": profiles, "startup": starts, "scale": scales}
    if write_docs:
        report.write_docs(sections, report.machine_lines(about, versions))
        data = {"machine": about, "peers": versions, **everything}
        report.DOCS.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    _print(sections, everything, versions, as_json, about)


@main.command("scale")
@click.option("--small", is_flag=True, help="Fewer rows, to try it out.")
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@_peers
@_home
@click.option("--write-docs", is_flag=True, help="Put the tables into the page about scaling.")
@_json
def scale_command(
    small: bool, rounds: int, with_peers: bool, environments: Path | None, write_docs: bool, as_json: bool
) -> None:
    """Scrapes of up to 1,000 label sets, RQ workers, queues: times, commands, how long Redis is held, memory."""
    from benchmarks import scale

    about = report.machine()  # before all this makes the load
    figures = scale.measure(small=small, rounds=rounds, with_peers=with_peers, environments=environments, say=_say)
    if write_docs:
        scale.write_docs(figures, report.machine_lines(about, figures["versions"]))
    _print([scale.markdown(figures)], {"scale": figures}, figures["versions"], as_json, about)


@main.command("prometheus")
@click.option("--write-docs", is_flag=True, help="Put the table into the page about scaling.")
@_json
def prometheus_command(write_docs: bool, as_json: bool) -> None:
    """What a Prometheus of this machine takes of memory for each of our series. Some five minutes."""
    from benchmarks import prometheus

    about = report.machine()
    figures = prometheus.measure(say=_say)
    if write_docs:
        prometheus.write_docs(figures, report.machine_lines(about, {}))
    _print([prometheus.markdown(figures)], {"prometheus": figures}, {}, as_json, about)


def _overhead(
    workloads: Sequence[str], names: Sequence[str], jobs: int, rounds: int, with_peers: bool, environments: Path | None
) -> tuple[list[str], list[dict[str, Any]], dict[str, str]]:
    chosen = [BY_NAME[name] for name in names] or [v for v in VARIANTS if v.default] + (
        list(PEERS) if with_peers else []
    )
    if BARE not in {variant.name for variant in chosen}:
        chosen.insert(0, BY_NAME[BARE])
    with _environments(environments) as home:
        interpreters = peers.for_variants(home, chosen, _say)
        chosen = [variant for variant in chosen if not variant.packages or variant.name in interpreters]
        versions = {
            f"{name} (for {variant.name})": version
            for variant in chosen
            if variant.packages
            for name, version in peers.installed(interpreters[variant.name], variant.packages).items()
        }
        with bench(interpreters) as running:
            measured = [
                running.measure(name, _fitting(chosen, name), jobs=jobs, rounds=rounds, say=_say)
                for name in workloads or WORKLOADS
            ]
    return [report.overhead(one) for one in measured], [asdict(one) for one in measured], versions


def _growth(workloads: Sequence[str], jobs: int, rounds: int) -> tuple[list[str], list[dict[str, Any]]]:
    variants = [BY_NAME[BARE], BY_NAME["default"]]
    with bench() as running:
        measured = [
            running.measure(name, variants, jobs=jobs, rounds=rounds, count=False, say=_say)
            for name in workloads or GROWTH
        ]
    return [report.growth(measured)], [asdict(one) for one in measured]


def _fitting(chosen: Sequence[Variant], workload: str) -> list[Variant]:
    """What is done before a fork is about forked work-horses alone, and collecting garbage about ``gc.freeze()``."""
    if workload == "forking, allocating":
        return [variant for variant in chosen if variant.frozen or variant.name in (BARE, "default")]
    return [v for v in chosen if workload.startswith("forking") or not (v.preload or v.frozen)]


def _profile(names: Sequence[str], jobs: int, rounds: int) -> tuple[list[str], dict[str, Any]]:
    chosen = [BY_NAME[name] for name in names or ("pass-through", "counts only", "default", "everything")]
    variants = [BY_NAME[BARE], *(variant for variant in chosen if variant.name != BARE)]
    with bench() as running:
        found = profile.measure(running, variants, jobs=jobs, rounds=rounds, say=_say)
    return [report.phases(found)], found


@contextlib.contextmanager
def _environments(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as temporary:
        yield folder.absolute() if folder else Path(temporary)


def _print(
    sections: Sequence[str], figures: dict[str, Any], peers: dict[str, str], as_json: bool, about: Any = None
) -> None:
    about = about or report.machine()
    if as_json:
        click.echo(json.dumps({"machine": about, "peers": peers, **figures}, indent=1))
    else:
        click.echo("\n".join([report.machine_lines(about, peers) + "\n", *sections]))


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
