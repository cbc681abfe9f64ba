"""``jobtelemetry mixin``."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def mixin() -> None:
    """Make Grafana dashboards and Prometheus rules for your labels, objective and thresholds."""


@mixin.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where to write grafana/dashboards/*.json and prometheus/rules/*.yml.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting; may be given more than once. See 'jobtelemetry mixin settings'.",
)
def build(out: Path, settings: tuple[str, ...]) -> None:
    """Write the dashboards and rules.

    \b
    Example:
      jobtelemetry mixin build --out monitoring --set slo=99.5 --set selector='job="jobs"'
    """  # noqa: D301 - click wants the character, not the backslash
    from jobtelemetry.config import Config
    from jobtelemetry.exporter.cardinality import Cardinality
    from jobtelemetry.mixin.build import build as write
    from jobtelemetry.mixin.config import MixinConfig
    from jobtelemetry.mixin.durations import seconds

    config = MixinConfig().with_settings(settings)
    for path in write(config, out):
        click.echo(path)
    for setting, loss in Cardinality.of(Config.from_env()).losses(seconds(config.latency_target)):
        click.echo(f"Warning: with this {setting} {loss}", err=True)


@mixin.command()
def settings() -> None:
    """List every setting with its default."""
    from dataclasses import fields

    from jobtelemetry.mixin.config import MixinConfig, shown

    config = MixinConfig()
    for one in fields(config):
        click.echo(f"{one.name}={shown(getattr(config, one.name))}")
