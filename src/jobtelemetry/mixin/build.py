"""All files of the bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from jobtelemetry.errors import MissingExtraError
from jobtelemetry.mixin import alerts, recording
from jobtelemetry.mixin.config import MixinConfig
from jobtelemetry.mixin.rules import rule_file

_OLDEST_PYTHON = (3, 11)


def files(config: MixinConfig) -> dict[str, str]:
    """Every file of the bundle: its path below the output directory, and its text.

    Raises:
        MissingExtraError: The extra ``mixin`` is not installed.
    """
    try:
        from jobtelemetry.mixin import dashboards

        return {
            "prometheus/rules/jobtelemetry-recording.yml": rule_file(recording.groups(config), config),
            "prometheus/rules/jobtelemetry-alerts.yml": rule_file(alerts.groups(config), config),
            **{f"grafana/dashboards/{name}.json": text for name, text in dashboards.documents(config).items()},
        }
    except ModuleNotFoundError as error:
        if sys.version_info < _OLDEST_PYTHON:
            needed, here = (".".join(map(str, version[:2])) for version in (_OLDEST_PYTHON, sys.version_info))
            raise MissingExtraError(
                f"the mixin needs Python {needed} or later, because grafana-foundation-sdk does, and this is {here}; "
                "run it with another Python: the rules and dashboards do not depend on the one that your workers use"
            ) from error
        raise MissingExtraError(
            f"the mixin needs the package {error.name}; install it with: pip install 'jobtelemetry[mixin]'"
        ) from error


def build(config: MixinConfig, out: Path) -> list[Path]:
    """Write the bundle.

    Args:
        config: What it is made for.
        out: The directory; ``grafana/dashboards`` and ``prometheus/rules`` are made below it.

    Returns:
        What was written.
    """
    written = []
    for name, text in files(config).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
